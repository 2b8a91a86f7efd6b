import { fork } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Child, ChildCrashedError, childEntry, openChild, runChild } from '../../core/child.ts';
import { ConfigError, InterruptedError } from '../../core/errors.ts';
import type { Task } from './tasks-child.ts';

const entry = childEntry(import.meta.url, './tasks-child');
const run = (
  input: Task,
  options: { signal?: AbortSignal; onEvent?: (event: unknown) => void; graceMs?: number } = {},
) => runChild<Task, unknown, unknown>({ entry, input, ...options });

describe('a child that answers', () => {
  let child: Child<Task, unknown, unknown>;
  beforeAll(() => {
    child = openChild({ entry });
  });
  afterAll(() => child.close());

  it('carries typed arrays both ways', async () => {
    const { output } = await child.call({ do: 'double', values: new Float32Array([1, 2.5]) });
    expect(output).toEqual(new Float32Array([2, 5]));
  });

  it('delivers events in order and before the result', async () => {
    const events: unknown[] = [];
    const { output } = await child.call({ do: 'count', to: 5 }, { onEvent: (event) => events.push(event) });
    expect(events).toEqual([1, 2, 3, 4, 5]);
    expect(output).toBe(5);
  });

  it('carries an error across with its class, code and message, and lives on', async () => {
    const failure = await child.call({ do: 'reject' }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ConfigError);
    expect(failure).toMatchObject({ code: 'config', retry: false, message: 'expected a width above 0, got -1' });
    expect(child.alive).toBe(true);
  });

  it('refuses a second call while one runs', async () => {
    const first = child.call({ do: 'count', to: 1 });
    await expect(child.call({ do: 'count', to: 1 })).rejects.toThrow('one call at a time');
    await first;
  });

  it('reports its own peak memory, not its parent’s', async () => {
    const before = await child.call({ do: 'pid' });
    const after = await child.call({ do: 'allocate', bytes: 200e6 });
    expect(before.peakRssBytes).toBeGreaterThan(10e6);
    expect(after.peakRssBytes - before.peakRssBytes).toBeGreaterThan(150e6);
    expect(after.peakRssBytes).toBeLessThan(600e6);
  });

  it('ignores Ctrl-C, which the parent decides about', async () => {
    const { output: pid } = await child.call({ do: 'pid' });
    process.kill(pid as number, 'SIGINT');
    await expect(child.call({ do: 'pid' })).resolves.toMatchObject({ output: pid });
  });
});

describe('a child that ends without an answer', () => {
  it('is a retryable crash quoting the exit code and what it printed last', async () => {
    const failure = await run({ do: 'exit', code: 7 }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ChildCrashedError);
    expect(failure).toMatchObject({ code: 'child-crashed', retry: true });
    expect((failure as Error).message).toMatch(/tasks-child\.ts.*exited with code 7.*\nthe driver is not amused/s);
  });

  it('is a retryable crash quoting the signal of a native crash', async () => {
    await expect(run({ do: 'abort' })).rejects.toThrow(/was ended by SIGABRT/);
  });

  it('answers no further calls', async () => {
    const child = openChild<Task, unknown>({ entry });
    await child.call({ do: 'exit', code: 3 }).catch(() => {});
    expect(child.alive).toBe(false);
    await expect(child.call({ do: 'pid' })).rejects.toBeInstanceOf(ChildCrashedError);
    await child.close();
  });

  it('is a crash too when the entry does not exist', async () => {
    const missing = runChild({ entry: childEntry(import.meta.url, './no-such-child'), input: null });
    await expect(missing).rejects.toThrow(/no-such-child/);
  });
});

describe('an aborted call', () => {
  it('lets the task stop by itself, then rejects as interrupted', async () => {
    const controller = new AbortController();
    const graceMs = 50_000;
    const startedMs = performance.now();
    const call = run(
      { do: 'wait', cooperative: true },
      { signal: controller.signal, graceMs, onEvent: () => controller.abort() },
    );
    await expect(call).rejects.toBeInstanceOf(InterruptedError);
    // Had the task not stopped by itself, only SIGKILL after the grace would have ended it.
    expect(performance.now() - startedMs).toBeLessThan(graceMs);
  });

  it('kills a task that will not stop', async () => {
    const controller = new AbortController();
    const call = run(
      { do: 'wait', cooperative: false },
      { signal: controller.signal, graceMs: 50, onEvent: () => controller.abort() },
    );
    await expect(call).rejects.toBeInstanceOf(InterruptedError);
  });

  it('starts nothing when aborted beforehand', async () => {
    await expect(run({ do: 'pid' }, { signal: AbortSignal.abort() })).rejects.toBeInstanceOf(InterruptedError);
  });
});

it('ends when its parent dies', async () => {
  // The middle process starts a child, passes on its pid, and is killed.
  const middle = fork(childEntry(import.meta.url, './orphan-parent'), { execArgv: ['--import', 'tsx'] });
  const [pid] = (await once(middle, 'message')) as [number];
  middle.kill('SIGKILL');
  await once(middle, 'exit');
  const alive = () => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  await expect.poll(alive, { timeout: 20_000, interval: 20 }).toBe(false);
});
