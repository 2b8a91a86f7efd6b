import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { InterruptedError } from '../core/errors.ts';

// One lock for all processes of a user on a host: whoever measures latency holds it exclusively,
// whoever trains shares it. It is Lamport's bakery ("A new solution of Dijkstra's concurrent
// programming problem", 1974) with files for variables, so it needs no atomic operation beyond
// creating a file, and a crashed holder is known by its dead process. Tickets are served in order:
// a waiting measurement lets no later training in before it.

export type LockMode = 'exclusive' | 'shared';

export interface HostLockOptions {
  /** Aborting gives up waiting; it does not end `task`. */
  readonly signal?: AbortSignal;
  /** Where the lock lives; all who should see each other name the same. By default one per user under the system's temporary folder. */
  readonly directory?: string;
}

/** The lock while it is held. */
export interface HostLease {
  /**
   * Lets a waiting measurement go first: releases the lock and takes it again when somebody waits
   * for it exclusively, returns at once when nobody does. Long trainings call it between steps.
   */
  yield(): Promise<void>;
}

/** Waiting looks again after so long. */
const pollMs = 25;
/** A lease is renewed so often, */
const renewMs = 10_000;
/** and is stale when it was not for so long, even if a process of that number lives: numbers are reused. */
const staleMs = 60_000;

/**
 * Runs `task` holding the host's lock. Not re-entrant: taking it exclusively inside itself waits for ever.
 * @throws {InterruptedError} when aborted while waiting; and what `task` throws.
 */
export async function withHostLock<T>(
  mode: LockMode,
  task: (lease: HostLease) => Promise<T>,
  options: HostLockOptions = {},
): Promise<T> {
  const directory = options.directory ?? join(tmpdir(), `ridgepoint-lock-${process.getuid?.() ?? userInfo().username}`);
  await mkdir(directory, { recursive: true });
  let ticket = await acquire(directory, mode, options.signal);
  const renewal = setInterval(() => void renew(directory, ticket), renewMs).unref();
  try {
    return await task({
      async yield() {
        const waiting = (await tickets(directory)).some((other) => other.mode === 'exclusive' && before(ticket, other));
        if (!waiting) return;
        await release(directory, ticket);
        ticket = await acquire(directory, mode, options.signal);
      },
    });
  } finally {
    clearInterval(renewal);
    await release(directory, ticket);
  }
}

/** A place in the queue; holders keep theirs until they leave. */
interface Ticket {
  readonly order: number;
  readonly mode: LockMode;
  /** Process id and a random part: unique, and tells who is dead. */
  readonly owner: string;
}

const ticketFile = ({ order, mode, owner }: Ticket): string => `ticket.${order}.${mode}.${owner}`;

async function acquire(directory: string, mode: LockMode, signal: AbortSignal | undefined): Promise<Ticket> {
  if (signal?.aborted) throw waitingInterrupted(mode);
  const owner = `${process.pid}.${randomUUID()}`;
  const ticket = await draw(directory, mode, owner);
  try {
    let renewedMs = Date.now();
    while (!(await isServed(directory, ticket))) {
      await delay(pollMs, undefined, { signal });
      if (Date.now() - renewedMs < renewMs) continue;
      await renew(directory, ticket);
      renewedMs = Date.now();
    }
    return ticket;
  } catch (error) {
    await release(directory, ticket);
    throw signal?.aborted ? waitingInterrupted(mode) : error;
  }
}

/** Takes the next number. Two may draw the same at once; then the owner's name decides. */
async function draw(directory: string, mode: LockMode, owner: string): Promise<Ticket> {
  const choosing = join(directory, `choosing.${owner}`);
  await writeFile(choosing, '', { flag: 'wx' });
  try {
    const order = 1 + Math.max(0, ...(await tickets(directory)).map((ticket) => ticket.order));
    const ticket = { order, mode, owner };
    await writeFile(join(directory, ticketFile(ticket)), '', { flag: 'wx' });
    return ticket;
  } finally {
    await rm(choosing, { force: true });
  }
}

/**
 * Whether nobody this ticket must wait for is before it. First nobody may be choosing: who chooses
 * now might be about to write a smaller number. Only a listing *after* that one is sure to hold it.
 */
async function isServed(directory: string, ticket: Ticket): Promise<boolean> {
  const choosing = (await livingFiles(directory)).some((file) => file.startsWith('choosing.'));
  if (choosing) return false;
  const earlier = (await tickets(directory)).filter((other) => before(other, ticket));
  return ticket.mode === 'exclusive' ? earlier.length === 0 : earlier.every(({ mode }) => mode === 'shared');
}

function before(a: Ticket, b: Ticket): boolean {
  return a.order < b.order || (a.order === b.order && a.owner < b.owner);
}

async function tickets(directory: string): Promise<Ticket[]> {
  return (await livingFiles(directory)).flatMap((file) => {
    const match = /^ticket\.(\d+)\.(exclusive|shared)\.(\d+\..+)$/.exec(file);
    return match ? [{ order: Number(match[1]), mode: match[2] as LockMode, owner: match[3] as string }] : [];
  });
}

/** Names in the lock's folder whose owners live; what the dead left is removed. */
async function livingFiles(directory: string): Promise<string[]> {
  const files = await readdir(directory);
  const living = await Promise.all(
    files.map(async (file) => {
      const pid = /(?:^choosing|^ticket\.\d+\.\w+)\.(\d+)\./.exec(file)?.[1];
      if (pid === undefined) return false;
      if (isAlive(Number(pid)) && (await ageMs(join(directory, file))) < staleMs) return true;
      await rm(join(directory, file), { force: true });
      return false;
    }),
  );
  return files.filter((_, index) => living[index]);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Infinite for a file that has just gone. */
async function ageMs(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined);
  return found ? Date.now() - found.mtimeMs : Number.POSITIVE_INFINITY;
}

async function renew(directory: string, ticket: Ticket): Promise<void> {
  const now = new Date();
  // A lease cleared while this process was suspended is not taken back: another may hold the lock by now.
  await utimes(join(directory, ticketFile(ticket)), now, now).catch(() => {});
}

async function release(directory: string, ticket: Ticket): Promise<void> {
  await rm(join(directory, ticketFile(ticket)), { force: true });
}

function waitingInterrupted(mode: LockMode): InterruptedError {
  return new InterruptedError(`waiting for the host's lock (${mode}): interrupted`);
}
