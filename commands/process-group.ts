import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { EnvironmentError } from '../core/errors.ts';

// A program and all that it starts are one process group, so that all of it can be ended. What moves
// into a session of its own (setsid, a daemon) is out of reach.

const pollMs = 10;
/** How long the kernel may take to end what got SIGKILL. */
const killedMs = 2000;

/** A running process group. */
export interface ProcessGroup {
  readonly child: ChildProcess;
  /** Resolves when the leader has ended: its exit code or signal, or why it could not be started. */
  readonly ended: Promise<Exit>;
  /** Whether any process of the group lives, the leader or what it started. */
  isAlive(): boolean;
  /** SIGTERM to all of it, SIGKILL after `graceMs`; resolves when nothing of it lives. Only the first call counts. */
  end(graceMs: number): Promise<void>;
}

/** How the first process of a group ended. */
export type Exit =
  | { readonly code: number }
  | { readonly signal: NodeJS.Signals }
  | { readonly notStarted: NodeJS.ErrnoException };

/**
 * Starts a program as the leader of a group of its own; stdin is empty, stdout and stderr are pipes.
 * @throws {EnvironmentError} on Windows, which has no process groups.
 */
export function startGroup(
  argv: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): ProcessGroup {
  if (process.platform === 'win32')
    throw new EnvironmentError(
      'commands: expected Linux or macOS, got Windows: it has no process groups to end a program by',
    );
  const child = spawn(argv[0] as string, argv.slice(1), {
    ...options,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal === null ? { code: code ?? 0 } : { signal }));
    child.once('error', (error) => {
      if (child.pid === undefined) resolve({ notStarted: error });
    });
  });
  let ending: Promise<void> | undefined;
  return {
    child,
    ended,
    isAlive: () => child.pid !== undefined && groupLives(child.pid),
    async end(graceMs) {
      if (child.pid !== undefined) await (ending ??= endGroup(child.pid, graceMs));
      await ended;
    },
  };
}

/** Ends a group by its leader's process id. */
async function endGroup(leader: number, graceMs: number): Promise<void> {
  signalGroup(leader, 'SIGTERM');
  if (await isGone(leader, graceMs)) return;
  signalGroup(leader, 'SIGKILL');
  await isGone(leader, killedMs);
}

async function isGone(leader: number, withinMs: number): Promise<boolean> {
  const untilMs = performance.now() + withinMs;
  while (groupLives(leader)) {
    if (performance.now() >= untilMs) return false;
    await delay(pollMs);
  }
  return true;
}

/**
 * Whether any process of a group runs. One that has ended and that its parent has not waited for is still a
 * process to signals; in containers whose first process waits for none it stays one for ever.
 */
function groupLives(leader: number): boolean {
  if (!signalGroup(leader, 0)) return false;
  if (process.platform !== 'linux') return true;
  return readdirSync('/proc').some((entry) => {
    const [state, , group] = /^\d+$/.test(entry) ? statOf(entry) : [];
    return Number(group) === leader && state !== 'Z' && state !== 'X';
  });
}

/** @returns whether there was a process to signal. */
function signalGroup(leader: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-leader, signal);
  } catch {
    return false;
  }
}

/** A process that can be told from a later one of the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks from the start of the machine to that of the process; null where the system does not tell. */
  readonly started: string | null;
}

/** What tells a living process apart. */
export function identify(pid: number): ProcessIdentity {
  return { pid, started: startOf(pid) };
}

/** Ends what an earlier Ridgepoint left running when it was killed; only where it is surely that process. */
export async function endLeftOver({ pid, started }: ProcessIdentity, graceMs: number): Promise<void> {
  if (started !== null && startOf(pid) === started) await endGroup(pid, graceMs);
}

function startOf(pid: number): string | null {
  return statOf(pid)[19] ?? null;
}

/** What Linux says of a process from field 3 on: state, parent, group, …; nothing where there is none or no Linux. */
function statOf(pid: number | string): readonly string[] {
  try {
    // The second field, the name in parentheses, may hold spaces.
    return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? [];
  } catch {
    return [];
  }
}
