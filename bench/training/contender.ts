import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { EnvironmentError } from '../../core/errors.ts';
import { processCpuMs, residentBytes } from './load.ts';
import type { Ready, Turn } from './protocol.ts';

/** How to start a contender. */
export interface ContenderCommand {
  /** Names it in tables, e.g. `channels_last`. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Whether it computes the problem's own function, so that its losses must agree. */
  readonly exact: boolean;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A turn as seen from outside. */
export interface ContendedTurn extends Turn {
  /** CPU time of all its threads, spinning included, in steps of 10 ms. */
  readonly cpuMs: number;
}

type ContenderProcess = ChildProcessByStdio<Writable, Readable, null>;

/** A living process that trains one problem, a turn at a time; between its turns it only waits. */
export class Contender {
  readonly name: string;
  readonly exact: boolean;
  readonly pid: number;
  readonly ready: Ready;
  /** Resident set when it was ready: interpreter, libraries and the built network. */
  readonly startRssBytes: number | undefined;
  readonly #process: ContenderProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    { name, exact }: ContenderCommand,
    ready: Ready,
    child: ContenderProcess,
    lines: AsyncIterator<string>,
  ) {
    this.name = name;
    this.exact = exact;
    this.ready = ready;
    this.pid = child.pid as number;
    this.#process = child;
    this.#lines = lines;
    this.startRssBytes = residentBytes(this.pid, 'now');
  }

  /** Starts a contender and waits until it could step. @throws {EnvironmentError} when it ends instead. */
  static async open(how: ContenderCommand): Promise<Contender> {
    const { name, command, args, env } = how;
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } });
    const failed = once(child, 'error').then(([error]) => {
      throw new EnvironmentError(`${name}: expected ${command} to start, got: ${(error as Error).message}`);
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return new Contender(how, await Promise.race([next<Ready>(name, lines), failed]), child, lines);
  }

  /** Takes steps. @throws {EnvironmentError} when it ends instead of answering. */
  async run(steps: number): Promise<ContendedTurn> {
    const before = processCpuMs(this.pid);
    this.#process.stdin.write(`run ${steps}\n`);
    const turn = await next<Turn>(this.name, this.#lines);
    return { ...turn, cpuMs: processCpuMs(this.pid) - before };
  }

  /** Largest resident set so far; undefined where there is no /proc. */
  get peakRssBytes(): number | undefined {
    return residentBytes(this.pid, 'peak');
  }

  async close(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, 'exit');
    this.#process.stdin.end();
    await exited;
  }
}

async function next<Message>(name: string, lines: AsyncIterator<string>): Promise<Message> {
  const line = await lines.next();
  if (line.done) throw new EnvironmentError(`${name}: expected a line of JSON, but the process ended`);
  return JSON.parse(line.value) as Message;
}
