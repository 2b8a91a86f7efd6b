import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { childEntry, openChild, runChild } from '../../core/child.ts';
import { InterruptedError } from '../../core/errors.ts';
import { type HostLease, type LockMode, withHostLock } from '../../latency/host-lock.ts';
import type { LockTask } from './lock-child.ts';

const entry = childEntry(import.meta.url, './lock-child');
let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ridgepoint-test-lock-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const nothing = (): void => {};

/** A promise settled from outside. */
function deferred<T>() {
  let resolve: (value: T) => void = nothing;
  let reject: (reason: unknown) => void = nothing;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

/** Takes the lock and holds it until told; `held` resolves when it has it. */
function hold(mode: LockMode, signal?: AbortSignal) {
  const entered = deferred<HostLease>();
  const left = deferred<void>();
  const task = async (lease: HostLease): Promise<void> => {
    entered.resolve(lease);
    await left.promise;
  };
  const done = withHostLock(mode, task, { directory, signal });
  done.catch(entered.reject);
  return { held: entered.promise, leave: left.resolve, done };
}

const queued = (count: number) =>
  expect.poll(async () => (await readdir(directory)).filter((file) => file.startsWith('ticket.')).length).toBe(count);
const state = async (promise: Promise<unknown>) =>
  Promise.race([promise.then(() => 'held'), Promise.resolve('waiting')]);

describe('the host’s lock in one process', () => {
  it('is shared by many', async () => {
    const [a, b] = [hold('shared'), hold('shared')];
    await Promise.all([a.held, b.held]);
    a.leave();
    b.leave();
    await Promise.all([a.done, b.done]);
    expect(await readdir(directory)).toEqual([]);
  });

  it('keeps an exclusive holder out until all who share it have left, and later sharers behind that', async () => {
    const first = hold('shared');
    await first.held;
    const exclusive = hold('exclusive');
    await queued(2);
    const second = hold('shared');
    await queued(3);
    expect([await state(exclusive.held), await state(second.held)]).toEqual(['waiting', 'waiting']);
    first.leave();
    await exclusive.held;
    expect(await state(second.held)).toBe('waiting');
    exclusive.leave();
    await second.held;
    second.leave();
    await Promise.all([first.done, exclusive.done, second.done]);
  });

  it('is left when the task throws', async () => {
    const failing = withHostLock('exclusive', async () => Promise.reject(new Error('task failed')), { directory });
    await expect(failing).rejects.toThrow('task failed');
    await expect(withHostLock('exclusive', async () => 'next', { directory })).resolves.toBe('next');
  });

  it('is given up by who is aborted while waiting', async () => {
    const holder = hold('exclusive');
    await holder.held;
    const controller = new AbortController();
    const waiting = hold('exclusive', controller.signal);
    waiting.held.catch(nothing);
    await queued(2);
    controller.abort();
    await expect(waiting.done).rejects.toBeInstanceOf(InterruptedError);
    await queued(1);
    holder.leave();
    await holder.done;
  });

  it('lets a waiting measurement go first when a training yields, and gives the lock back after it', async () => {
    const training = hold('shared');
    const lease = await training.held;
    await lease.yield();
    const measuring = hold('exclusive');
    await queued(2);
    const yielded = lease.yield();
    await measuring.held;
    expect(await state(yielded)).toBe('waiting');
    measuring.leave();
    await yielded;
    training.leave();
    await Promise.all([training.done, measuring.done]);
  });
});

describe('the host’s lock across processes', () => {
  it('is never held exclusively beside anybody', async () => {
    const log = join(directory, 'log');
    const run = (...modes: LockMode[]) => runChild<LockTask, number>({ entry, input: { directory, log, modes } });
    await Promise.all([
      run('exclusive', 'shared', 'exclusive', 'exclusive', 'shared'),
      run('shared', 'exclusive', 'shared', 'exclusive', 'exclusive'),
      run('exclusive', 'exclusive', 'shared', 'shared', 'exclusive'),
    ]);
    const inside = { exclusive: 0, shared: 0 };
    const lines = (await readFile(log, 'utf8')).trim().split('\n');
    expect(lines).toHaveLength(30);
    for (const line of lines) {
      const [what, mode] = line.split(' ') as ['enter' | 'leave', LockMode];
      inside[mode] += what === 'enter' ? 1 : -1;
      expect(inside.exclusive === 0 || (inside.exclusive === 1 && inside.shared === 0)).toBe(true);
    }
  });

  it('is free again when its holder was killed', async () => {
    const child = openChild<LockTask, number, 'held'>({ entry, graceMs: 0 });
    const held = deferred<void>();
    const input: LockTask = { directory, log: join(directory, 'log'), modes: ['exclusive'], hang: true };
    const call = child.call(input, { onEvent: () => held.resolve() }).catch(() => {});
    await held.promise;
    await child.close();
    await call;
    await expect(withHostLock('exclusive', async () => 'mine', { directory })).resolves.toBe('mine');
  });

  it('clears what the dead left: a holder, and one who died choosing', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    await writeFile(join(directory, `ticket.1.exclusive.${pid}.a`), '');
    await writeFile(join(directory, `choosing.${pid}.b`), '');
    await withHostLock('exclusive', async () => {}, { directory });
    expect(await readdir(directory)).toEqual([]);
  });

  it('clears a lease nobody renewed, though a process of that number lives', async () => {
    const stale = join(directory, `ticket.1.exclusive.${process.pid}.a`);
    await writeFile(stale, '');
    const longAgo = new Date(Date.now() - 3600e3);
    await utimes(stale, longAgo, longAgo);
    await expect(withHostLock('shared', async () => 'mine', { directory })).resolves.toBe('mine');
  });
});
