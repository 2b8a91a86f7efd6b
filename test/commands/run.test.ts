import { existsSync, mkdtempSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Command } from '../../commands/declaration.ts';
import { identify, startGroup } from '../../commands/process-group.ts';
import type { CommandEvent } from '../../commands/protocol.ts';
import { CommandError, pathInOut, runCommand } from '../../commands/run.ts';
import { InterruptedError } from '../../core/errors.ts';
import { fileFolder } from '../cases/file-folder.ts';

const programFile = fileURLToPath(new URL('program.mjs', import.meta.url));

function program(behaviour: string, limits: Command['limits'] = {}): Command {
  return {
    name: 'program',
    directory: fileFolder(),
    command: [process.execPath, programFile, behaviour, '{request}'],
    limits: { wall: 20_000, grace: 5000, ...limits },
  };
}

const newFolder = () => mkdtempSync(join(fileFolder(), 'run-'));
const ask = (command: Command, folder = newFolder(), signal?: AbortSignal, onEvent?: (event: CommandEvent) => void) =>
  runCommand(command, { op: 'describe' }, { folder, signal, onEvent });

function lives(pid: number): boolean {
  try {
    // A process that has ended and that nobody has waited for yet is a zombie: it runs no more.
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}
const childOf = (folder: string) => Number(readFileSync(join(folder, 'state', 'child'), 'utf8'));

async function failure(promise: Promise<unknown>): Promise<CommandError> {
  const error = await promise.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(CommandError);
  return error as CommandError;
}

describe('runCommand', () => {
  it('gives the valid result of a program', async () => {
    const { result } = await ask(program('describe'));
    expect(result).toMatchObject({ status: 'ok', name: 'program', operations: ['describe'], onThisHost: true });
  });

  it('starts it in its folder with the declared environment added', async () => {
    const command = { ...program('environment'), env: { COMMAND_TEST: 'given' } };
    const { result } = await ask(command);
    expect(result).toMatchObject({ name: `given ${realpathSync(command.directory)}` });
  });

  it('hands on a failure that the program tells', async () => {
    const { result } = await ask(program('failed-result'));
    expect(result).toEqual({ status: 'failed', code: 'licence', retry: false, detail: 'no seat left' });
  });

  it('tells events from log, in whatever pieces they come', async () => {
    const folder = newFolder();
    const events: CommandEvent[] = [];
    await ask(program('events'), folder, undefined, (event) => events.push(event));
    expect(events).toEqual([
      { t: 'progress', examples: 3, imagesPerS: 2 },
      { t: 'handle', handle: { job: 17 } },
    ]);
    const log = readFileSync(join(folder, 'log.txt'), 'utf8');
    expect(log).toContain('plain log\n@ridgepoint {not json}\n@ridgepoint {"t":"unknown"}\n');
    expect(log).toContain('to stderr');
    expect(log).not.toContain('progress');
  });

  it('keeps the beginning and the end of endless output', async () => {
    const folder = newFolder();
    await ask(program('huge-output'), folder);
    const path = join(folder, 'log.txt');
    expect(statSync(path).size).toBeLessThan(1.1 * 2 ** 20);
    expect(readFileSync(path, 'utf8')).toMatch(/^first\nxxx[^]*\n\[\d+ bytes left out\]\n[^]*line\nlast\n$/);
  });

  it.each([
    ['crash', 'exit', true, /ended by SIGSEGV[^]*the end is near/],
    ['exit', 'exit', true, /exit code 3[^]*about to exit/],
    ['preempted', 'preempted', true, /preempted/],
    ['broken', 'environmentBroken', false, /environment is broken/],
    ['nothing', 'noResult', true, /exit code 0 and wrote none/],
    ['garbage', 'badResult', false, /not valid JSON|Unexpected token/],
    ['wrong-result', 'badResult', false, /version/],
    ['huge-result', 'badResult', false, /expected at most \d+ bytes, got 20971520/],
  ])('says how a program failed that does %s', async (behaviour, expected, retry, message) => {
    const error = await failure(ask(program(behaviour)));
    expect(error.failure).toBe(expected);
    expect(error.retry).toBe(retry);
    expect(error.message).toMatch(message);
  });

  it('says when a program cannot be started', async () => {
    const error = await failure(ask({ ...program('describe'), command: ['./no-such-program', '{request}'] }));
    expect(error).toMatchObject({ failure: 'notStarted', retry: false });
    expect(error.message).toContain('./no-such-program could not be started');
  });

  it('stops a program that is silent', async () => {
    const error = await failure(ask(program('hang', { silence: 300 })));
    expect(error).toMatchObject({ failure: 'silent', retry: true });
    expect(error.message).toContain('sent no event for 0.3 s');
  });

  it('lets one run that talks, until its time is over', async () => {
    const startMs = performance.now();
    const error = await failure(ask(program('hang-talking', { wall: 3000, silence: 1500 })));
    expect(error.failure).toBe('overtime');
    expect(performance.now() - startMs).toBeGreaterThan(2900);
  });

  it('kills what ignores SIGTERM after the grace', async () => {
    const startMs = performance.now();
    const controller = new AbortController();
    const stopped = ask(program('ignore-sigterm', { grace: 300 }), newFolder(), controller.signal, () =>
      controller.abort(),
    );
    await expect(stopped).rejects.toBeInstanceOf(InterruptedError);
    expect(performance.now() - startMs).toBeLessThan(5000);
  });

  it('ends what a program leaves running, whoever holds its pipes', async () => {
    const folder = newFolder();
    await ask(program('leave-child'), folder);
    expect(lives(childOf(folder))).toBe(false);
  });

  it('ends children with their parent when aborted', async () => {
    const folder = newFolder();
    const controller = new AbortController();
    const stopped = ask(program('child-and-hang'), folder, controller.signal, () => controller.abort());
    await expect(stopped).rejects.toBeInstanceOf(InterruptedError);
    expect(lives(childOf(folder))).toBe(false);
  });

  it.skipIf(process.platform !== 'linux')('ends what a killed Ridgepoint left running on the same state', async () => {
    const folder = newFolder();
    const state = join(folder, 'state');
    const left = startGroup([process.execPath, '-e', 'setInterval(() => {}, 1000)'], { cwd: folder, env: process.env });
    writeFileSync(`${state}.process.json`, JSON.stringify(identify(left.child.pid as number)));
    await runCommand(program('describe'), { op: 'describe' }, { folder, state });
    expect(await left.ended).toEqual({ signal: 'SIGTERM' });
    expect(existsSync(`${state}.process.json`)).toBe(false);
  });

  it('leaves another process alone that has the number of a dead one', async () => {
    const folder = newFolder();
    const state = join(folder, 'state');
    const other = startGroup([process.execPath, '-e', 'setInterval(() => {}, 1000)'], {
      cwd: folder,
      env: process.env,
    });
    const { pid } = identify(other.child.pid as number);
    writeFileSync(`${state}.process.json`, JSON.stringify({ pid, started: '1' }));
    await runCommand(program('describe'), { op: 'describe' }, { folder, state });
    expect(other.isAlive()).toBe(true);
    await other.end(1000);
  });
});

describe('paths of a result', () => {
  it.each(['../secret', 'a/../../secret', '.', '..'])('may not leave its folder: %s', (path) => {
    expect(() => pathInOut('/x/out', path)).toThrow('expected a path below /x/out');
  });

  it.each(['a', 'a/b', './a'])('may be below it: %s', (path) => {
    expect(pathInOut('/x/out', path)).toMatch(/^\/x\/out\/a/);
  });
});
