import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { EnvironmentError, fromWire, InterruptedError, toWire, type WireError } from './errors.ts';

// One task in a process of its own: `session.run` of onnxruntime-node blocks the event loop, and
// native code may crash. The entry module calls `serveChild`; the parent calls `runChild` for one
// task, or keeps an `openChild` for many (starting a process costs a few hundred milliseconds).

/** What a task gave, and what its process used. */
export interface ChildResult<Output> {
  readonly output: Output;
  /** Peak resident set of the child since it started, all its calls together, in bytes. */
  readonly peakRssBytes: number;
}

/** The child ended without an answer: a native crash, an exit, or a signal nobody here sent. */
export class ChildCrashedError extends EnvironmentError {
  override readonly code = 'child-crashed';

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, { ...options, retry: true });
  }
}

export interface ChildOptions {
  /** Module that calls {@link serveChild}; see {@link childEntry}. */
  readonly entry: URL;
  /** Added to the parent's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Time between SIGTERM and SIGKILL, 2000 ms by default. */
  readonly graceMs?: number;
}

export interface CallOptions<Event> {
  /** Aborting ends the child: SIGTERM first, so that the task may stop at a good place, then SIGKILL. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: Event) => void;
}

/** A living child process that answers one call at a time. */
export interface Child<Input, Output, Event = never> {
  /** False once it has ended, by `close`, an abort or a crash; then it answers no more calls. */
  readonly alive: boolean;
  /**
   * Values cross by structured clone: typed arrays and maps survive, functions and classes do not.
   * @throws {InterruptedError} when aborted, after the child has ended.
   * @throws {ChildCrashedError} when the child ends without an answer.
   * @throws {RidgepointError} what the task threw, rebuilt by `fromWire`.
   */
  call(input: Input, options?: CallOptions<Event>): Promise<ChildResult<Output>>;
  /** Ends the process; resolves when it is gone. */
  close(): Promise<void>;
}

type FromParent = { readonly type: 'call'; readonly input: unknown } | { readonly type: 'close' };
type FromChild =
  | { readonly type: 'event'; readonly event: unknown }
  | { readonly type: 'result'; readonly output: unknown; readonly peakRssBytes: number }
  | { readonly type: 'error'; readonly error: WireError };

/**
 * URL of a module beside the caller, with the caller's own extension: `.ts` when running from
 * sources, `.js` when built.
 * @param base the caller's `import.meta.url`.
 * @param path relative and without extension, e.g. `./measure-child`.
 */
export function childEntry(base: string, path: string): URL {
  return new URL(`${path}${extname(new URL(base).pathname)}`, base);
}

/** Runs one task in a fresh process and ends it. Rejects as {@link Child.call} does. */
export async function runChild<Input, Output, Event = never>(
  options: ChildOptions & CallOptions<Event> & { readonly input: Input },
): Promise<ChildResult<Output>> {
  if (options.signal?.aborted) throw interrupted(options.entry);
  const child = openChild<Input, Output, Event>(options);
  try {
    return await child.call(options.input, options);
  } finally {
    await child.close();
  }
}

/** Starts a child that answers many calls, one after another. Close it, or it keeps this process alive. */
export function openChild<Input, Output, Event = never>(options: ChildOptions): Child<Input, Output, Event> {
  const { entry, graceMs = 2000 } = options;
  const child = fork(entry, {
    serialization: 'advanced',
    execArgv: entry.pathname.endsWith('.ts') ? ['--import', typescriptLoader()] : [],
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const outputTail = keepTail(child, 20);
  let ended: string | undefined;
  const gone = new Promise<void>((resolve) => {
    // 'close' rather than 'exit': by then what it said last has been read.
    child.once('close', (code, signal) => {
      ended ??= signal ? `was ended by ${signal}` : `exited with code ${code}`;
      resolve();
    });
    child.once('error', (error) => {
      ended ??= `could not be started: ${error.message}`;
      if (child.pid === undefined) resolve();
    });
  });
  let busy = false;

  const send = (message: FromParent): void => {
    // A failed write needs no handling: the child is ending, and `gone` tells.
    if (child.connected) child.send(message, () => {});
  };

  const stop = async (how: () => void): Promise<void> => {
    how();
    const kill = setTimeout(() => child.kill('SIGKILL'), graceMs);
    await gone;
    clearTimeout(kill);
  };

  const answer = (input: Input, { signal, onEvent }: CallOptions<Event>): Promise<ChildResult<Output>> =>
    new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        child.off('message', receive);
        signal?.removeEventListener('abort', abort);
        settle();
      };
      const receive = (message: FromChild): void => {
        if (signal?.aborted) return;
        if (message.type === 'event') onEvent?.(message.event as Event);
        else if (message.type === 'error') finish(() => reject(fromWire(message.error)));
        else finish(() => resolve({ output: message.output as Output, peakRssBytes: message.peakRssBytes }));
      };
      const abort = (): void => void stop(() => child.kill('SIGTERM'));
      child.on('message', receive);
      signal?.addEventListener('abort', abort);
      void gone.then(() =>
        finish(() => {
          // Ctrl-C reaches the whole process group: a child still starting dies of it before the parent decides.
          if (signal?.aborted || child.signalCode === 'SIGINT') return reject(interrupted(entry));
          const said = outputTail();
          const quoted = said ? `; its last output:\n${said}` : ' and printed nothing';
          reject(new ChildCrashedError(`${name(entry)}: expected an answer, but the process ${ended}${quoted}`));
        }),
      );
      send({ type: 'call', input });
    });

  return {
    get alive() {
      return ended === undefined && child.connected;
    },
    async call(input, callOptions = {}) {
      if (busy) throw new Error(`${name(entry)}: expected one call at a time, got a second one`);
      if (callOptions.signal?.aborted) throw interrupted(entry);
      busy = true;
      try {
        return await answer(input, callOptions);
      } finally {
        busy = false;
      }
    },
    // Asked, not disconnected: Node emits no 'close' for a child whose channel the parent closed.
    close: () => stop(() => send({ type: 'close' })),
  };
}

/** What a task is given besides its input. */
export interface TaskContext<Event> {
  /** Sends progress to the parent's `onEvent`. */
  readonly emit: (event: Event) => void;
  /** Aborts on SIGTERM: stop soon, for SIGKILL follows. It is heard only between `session.run`s. */
  readonly signal: AbortSignal;
}

/**
 * Makes this process answer the parent's calls with `task`, until the parent closes it or dies.
 * SIGINT is ignored: a terminal sends Ctrl-C to the whole process group, and the parent decides.
 * @throws {Error} when this process was not started by {@link openChild}.
 */
export function serveChild<Input, Output, Event = never>(
  task: (input: Input, context: TaskContext<Event>) => Promise<Output>,
): void {
  if (!process.send) throw new Error('expected to be started by runChild or openChild, got a process without a parent');
  const controller = new AbortController();
  let running = false;

  const answer = async (input: Input): Promise<FromChild> => {
    try {
      const emit = (event: Event): void => void tell({ type: 'event', event });
      const output = await task(input, { emit, signal: controller.signal });
      return { type: 'result', output, peakRssBytes: peakRssBytes() };
    } catch (error) {
      return { type: 'error', error: toWire(error) };
    }
  };

  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => {
    controller.abort();
    if (!running) process.exit(143);
  });
  process.on('disconnect', () => process.exit(0));
  process.on('message', async (message: FromParent) => {
    if (message.type === 'close') process.exit(0);
    running = true;
    await tell(await answer(message.input as Input));
    running = false;
    if (controller.signal.aborted) process.exit(143);
  });
}

/** Sends to the parent; resolves when written. A parent that is gone is no error: 'disconnect' ends us. */
function tell(message: FromChild): Promise<void> {
  return new Promise((resolve) => process.send?.(message, () => resolve()) ?? resolve());
}

/**
 * On Linux from /proc: `getrusage` there starts from the resident set of the *parent* at fork
 * (the kernel keeps its maximum across exec), which a large parent makes useless.
 */
function peakRssBytes(): number {
  if (process.platform === 'linux') {
    const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
    if (peak) return Number(peak[1]) * 1024;
  }
  return process.resourceUsage().maxRSS * 1024;
}

/** The module that lets Node 20 run TypeScript sources; built code never asks for it. */
function typescriptLoader(): string {
  return pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
}

/** Reads what the child prints, so that its pipes never fill up, and keeps the last lines. */
function keepTail(child: ChildProcess, lines: number): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text = (text + chunk)
        .split('\n')
        .slice(-lines - 1)
        .join('\n');
    });
  return () => text.trim();
}

function name(entry: URL): string {
  return `child process ${entry.pathname.split('/').at(-1)}`;
}

function interrupted(entry: URL): InterruptedError {
  return new InterruptedError(`${name(entry)}: interrupted before it answered`);
}
