import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { EnvironmentError, InterruptedError } from '../core/errors.ts';
import { type Command, requestPlaceholder } from './declaration.ts';
import { EventLines } from './event-lines.ts';
import { CappedLog } from './log.ts';
import { type Exit, endLeftOver, identify, type ProcessIdentity, startGroup } from './process-group.ts';
import {
  type CommandEvent,
  exitCodes,
  type Operation,
  protocolName,
  type RequestOf,
  requestSchema,
  type ResultOf,
  resultSchemas,
} from './protocol.ts';

/** Bytes of a program's output that are kept. */
const logBytes = 1 << 20;
/** A larger result file is not read: what is large goes into files of its own. */
const maxResultBytes = 16 << 20;
/** How long pipes may stay open after the last process has ended. */
const drainMs = 500;

/** How a program failed, as stable codes, and whether it may do better another time. `told` is a result that says so. */
export const commandFailures = {
  notStarted: { code: 'command-not-started', retry: false },
  exit: { code: 'command-exit', retry: true },
  noResult: { code: 'command-no-result', retry: true },
  badResult: { code: 'command-bad-result', retry: false },
  overtime: { code: 'command-overtime', retry: true },
  silent: { code: 'command-silent', retry: true },
  preempted: { code: 'command-preempted', retry: true },
  environmentBroken: { code: 'command-environment', retry: false },
  told: { code: 'command-failed', retry: false },
} as const;
export type CommandFailure = keyof typeof commandFailures;

/** A program gave no valid answer. The message quotes the end of its output and names its log. */
export class CommandError extends EnvironmentError {
  readonly failure: CommandFailure;

  /** @param options.code, options.retry what a program told, instead of what is usual. */
  constructor(failure: CommandFailure, message: string, options?: { cause?: unknown; code?: string; retry?: boolean }) {
    super(message, { ...commandFailures[failure], ...options });
    this.failure = failure;
  }
}

/** What the caller says of a request; the rest is filled in here. */
export type RequestBody<Op extends Operation> = Omit<RequestOf<Op>, 'protocol' | 'limits' | 'paths'>;

export interface RunOptions {
  /** New folder for the request, the result and the log. */
  readonly folder: string;
  /** Kept over requests; inside `folder` when left out. */
  readonly state?: string;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: CommandEvent) => void;
}

/** A program's valid answer. */
export interface Answer<Op extends Operation> {
  readonly result: ResultOf<Op>;
  /** Folder that paths in the result start from. */
  readonly out: string;
  readonly wallS: number;
}

/**
 * Asks a program and waits for its result.
 * @throws {CommandError} when it gives none that is valid, exceeds a limit, or says that it was preempted
 * (exit code 75) or that its environment is broken (78).
 * @throws {InterruptedError} when aborted, after all of it has ended.
 */
export async function runCommand<Op extends Operation>(
  command: Command,
  body: RequestBody<Op> & { readonly op: Op },
  options: RunOptions,
): Promise<Answer<Op>> {
  const where = `command ${command.name}: ${body.op}`;
  if (options.signal?.aborted) throw new InterruptedError(`${where}: interrupted before it was started`);
  const run = await runProgram(command, writeRequest(command, body, options), options);
  const fail = (failure: CommandFailure, got: string, cause?: unknown): CommandError => {
    const quoted = run.lastLines ? `; its last output:\n${run.lastLines}` : ' and printed nothing';
    return new CommandError(failure, `${where}: expected a result, but the program ${got}${quoted}\n(${run.log})`, {
      cause,
    });
  };
  const { exit, stopped, limits } = run;
  if (stopped === 'aborted') throw new InterruptedError(`${where}: interrupted`);
  if (stopped === 'overtime') throw fail('overtime', `ran for more than ${limits.wallS} s (wallS)`);
  if (stopped === 'silent') throw fail('silent', `sent no event for ${limits.silenceS} s (silenceS)`);
  if ('notStarted' in exit)
    throw fail('notStarted', `${command.command[0]} could not be started: ${exit.notStarted.message}`);
  if ('signal' in exit) throw fail('exit', `was ended by ${exit.signal}`);
  if (exit.code === exitCodes.preempted) throw fail('preempted', `was preempted (exit code ${exit.code})`);
  if (exit.code === exitCodes.environmentBroken)
    throw fail('environmentBroken', `says that its environment is broken (exit code ${exit.code})`);
  if (exit.code !== 0) throw fail('exit', `ended with exit code ${exit.code}`);
  if (!existsSync(run.result)) throw fail('noResult', 'ended with exit code 0 and wrote none');
  try {
    return { result: readResult(body.op, run.result), out: run.out, wallS: run.wallS };
  } catch (error) {
    const problem = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw fail('badResult', `wrote another:\n${problem}`, error);
  }
}

/** Limits of one request in seconds, from what was declared and the defaults of its operation. */
function limitsOf({ limits }: Command, op: Operation): RequestOf<Operation>['limits'] {
  const wallMs = {
    describe: Math.min(limits.wall ?? Number.POSITIVE_INFINITY, 60e3),
    prepare: limits.prepare ?? 30 * 60e3,
    measure: limits.wall ?? 10 * 60e3,
    train: limits.wall ?? 24 * 3600e3,
    build: limits.prepare ?? 30 * 60e3,
    'train-model': limits.wall ?? 24 * 3600e3,
  }[op];
  const silenceMs = limits.silence ?? (op === 'train' || op === 'train-model' ? 15 * 60e3 : wallMs);
  return { wallS: wallMs / 1e3, silenceS: Math.min(silenceMs, wallMs) / 1e3, graceS: (limits.grace ?? 10e3) / 1e3 };
}

/** Writes `request.json` into the folder. @returns the request. */
export function writeRequest<Op extends Operation>(
  command: Command,
  body: RequestBody<Op> & { readonly op: Op },
  { folder, state }: RunOptions,
): RequestOf<Operation> {
  const out = join(folder, 'out');
  const paths = {
    work: join(folder, 'work'),
    state: state ?? join(folder, 'state'),
    out,
    result: join(out, 'result.json'),
  };
  const request = requestSchema.parse({
    protocol: protocolName,
    ...body,
    limits: limitsOf(command, body.op),
    paths,
  });
  // What an earlier run left must not pass for this one's answer.
  for (const path of [paths.work, paths.out]) rmSync(path, { recursive: true, force: true });
  for (const path of [paths.work, paths.state, paths.out]) mkdirSync(path, { recursive: true });
  writeFileSync(join(folder, 'request.json'), `${JSON.stringify(request, null, 2)}\n`);
  return request;
}

/** How a run of a program went, whatever it answered. */
export interface ProgramRun {
  readonly exit: Exit;
  /** Why Ridgepoint stopped it; undefined when it ended by itself. */
  readonly stopped: 'aborted' | 'overtime' | 'silent' | undefined;
  /** Whether anything it started was still running when it had ended, and had to be ended. */
  readonly leftRunning: boolean;
  readonly events: number;
  /** Lines that began like an event and were none. */
  readonly malformedEvents: number;
  readonly wallS: number;
  readonly limits: RequestOf<Operation>['limits'];
  /** Path the result was asked for at, and the folder of what it names. */
  readonly result: string;
  readonly out: string;
  readonly log: string;
  readonly lastLines: string;
}

/** Runs a program on a request that is written already, within its limits; nothing of it lives afterwards. */
export async function runProgram(
  command: Command,
  { limits, paths }: Pick<RequestOf<Operation>, 'limits' | 'paths'>,
  { folder, signal, onEvent }: RunOptions,
): Promise<ProgramRun> {
  const graceMs = limits.graceS * 1e3;
  const owner = `${paths.state}.process.json`;
  await endPrevious(owner, graceMs);
  const logPath = join(folder, 'log.txt');
  const log = new CappedLog(logPath, logBytes);
  const startMs = performance.now();
  const requestPath = join(folder, 'request.json');
  const group = startGroup(
    command.command.map((argument) => argument.replaceAll(requestPlaceholder, requestPath)),
    { cwd: command.directory, env: { ...process.env, ...command.env } },
  );
  if (group.child.pid !== undefined) writeFileSync(owner, JSON.stringify(identify(group.child.pid)));

  let events = 0;
  let stopped: ProgramRun['stopped'];
  const stop = (why: ProgramRun['stopped']): void => {
    if (stopped) return;
    stopped = why;
    void group.end(graceMs);
  };
  const wall = setTimeout(() => stop('overtime'), limits.wallS * 1e3);
  const silence = setTimeout(() => stop('silent'), limits.silenceS * 1e3);
  const abort = (): void => stop('aborted');
  signal?.addEventListener('abort', abort);
  if (signal?.aborted) abort();
  const lines = new EventLines(
    (event) => {
      events++;
      silence.refresh();
      onEvent?.(event);
    },
    (bytes) => log.write(bytes),
  );
  const { stdout, stderr } = group.child;
  stdout?.on('data', (chunk: Buffer) => lines.write(chunk));
  stderr?.on('data', (chunk: Buffer) => log.write(chunk));
  const drained = new Promise<void>((resolve) => void group.child.once('close', () => resolve()));
  try {
    const exit = await group.ended;
    clearTimeout(wall);
    clearTimeout(silence);
    const leftRunning = stopped === undefined && group.isAlive();
    await group.end(graceMs);
    // A pipe that something outside the group holds open is not waited for.
    if (!('notStarted' in exit)) await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, drainMs))]);
    lines.close();
    const wallS = (performance.now() - startMs) / 1e3;
    const lastLines = log.lastLines(10);
    const { result, out } = paths;
    const { malformed: malformedEvents } = lines;
    return { exit, stopped, leftRunning, events, malformedEvents, wallS, limits, result, out, log: logPath, lastLines };
  } finally {
    signal?.removeEventListener('abort', abort);
    stdout?.destroy();
    stderr?.destroy();
    log.close();
    rmSync(owner, { force: true });
  }
}

/** A Ridgepoint that was killed left its program running: two must not write one state. */
async function endPrevious(owner: string, graceMs: number): Promise<void> {
  if (!existsSync(owner)) return;
  try {
    await endLeftOver(JSON.parse(readFileSync(owner, 'utf8')) as ProcessIdentity, graceMs);
  } catch (error) {
    // Torn while it was written: then the program had hardly begun.
    if (!(error instanceof SyntaxError)) throw error;
  }
}

/** A result file. @throws {z.ZodError | Error} when it is not one. */
export function readResult<Op extends Operation>(op: Op, path: string): ResultOf<Op> {
  const { size } = statSync(path);
  if (size > maxResultBytes) throw new Error(`expected at most ${maxResultBytes} bytes, got ${size}`);
  return resultSchemas[op].parse(JSON.parse(readFileSync(path, 'utf8'))) as ResultOf<Op>;
}

/**
 * A file that a result names.
 * @throws {Error} when it is not below the result's folder.
 */
export function pathInOut(out: string, path: string): string {
  const found = join(out, path);
  if (!found.startsWith(`${out}/`)) throw new Error(`expected a path below ${out}, got ${path}`);
  return found;
}
