import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { digestBytes, shortDigest } from '../../core/digest.ts';
import { EnvironmentError } from '../../core/errors.ts';

/** Another process is writing this study. */
export class StudyBusyError extends EnvironmentError {
  override readonly code = 'study-busy';
}

/** Holds the lease of a folder, which it is in. */
export const leaseFileName = 'lease.json';

/** Process that holds a lease. */
export interface LeaseHolder {
  readonly host: string;
  readonly pid: number;
  /** When that process started, where the system tells: process numbers are used again. */
  readonly started: string | undefined;
  /** Tells leases of one process apart. */
  readonly token: string;
}

/**
 * Takes the right to write a study's folder; the returned function gives it back, and only what it took: the folder may
 * have been renamed and its name be another's. A lease left by a process of this host that no longer lives is taken over,
 * by one process however many find it at once.
 * @param lives whether a holder on this host still runs.
 * @throws {StudyBusyError} while another live process, or another host, holds it.
 */
export function takeLease(folder: string, lives: (holder: LeaseHolder) => boolean = isAlive): () => void {
  mkdirSync(folder, { recursive: true });
  const path = join(resolve(folder), leaseFileName);
  const token = randomUUID();
  const mine = `${path}.${token}`;
  const holder: LeaseHolder = { host: hostname(), pid: process.pid, started: startOf(process.pid), token };
  try {
    writeFileSync(mine, JSON.stringify(holder));
    if (!tryLink(mine, path)) takeOver(mine, path, (other) => other.host !== hostname() || lives(other));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw busy(path, undefined);
    throw error;
  } finally {
    rmSync(mine, { force: true });
  }
  return () => {
    if (holderIn(textOf(path))?.token === token) rmSync(path, { force: true });
  };
}

/**
 * Puts a lease in the place of a dead holder's. Whoever is first to link its own to the name made of what that holder
 * wrote is its one successor; where the successor died before it was done, too, the next number is taken likewise.
 */
function takeOver(mine: string, path: string, holds: (other: LeaseHolder) => boolean): void {
  const found = textOf(path);
  const other = holderIn(found);
  if (found === undefined || (other && holds(other))) throw busy(path, other);
  const links: string[] = [];
  for (;;) {
    const link = `${path}.${shortDigest(digestBytes(found))}.${links.length + 1}`;
    links.push(link);
    if (tryLink(mine, link)) break;
    const successor = holderIn(textOf(link));
    if (successor && holds(successor)) throw busy(link, successor);
  }
  // Another may have been done with all of this since the dead holder was found: its lease is left alone.
  if (textOf(path) !== found) {
    rmSync(links.at(-1) ?? '', { force: true });
    throw busy(path, holderIn(textOf(path)));
  }
  renameSync(mine, path);
  for (const link of links) rmSync(link, { force: true });
}

/** The process that writes a study's folder, as far as can be told: one of another host is taken to live. */
export function leaseHolder(folder: string): LeaseHolder | undefined {
  const holder = holderIn(textOf(join(resolve(folder), leaseFileName)));
  return holder && (holder.host !== hostname() || isAlive(holder)) ? holder : undefined;
}

/** A link appears whole or not at all, and only one can be the first. */
function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function busy(path: string, holder: LeaseHolder | undefined): StudyBusyError {
  const who = holder ? `process ${holder.pid} on ${holder.host}` : 'another process that started just now';
  return new StudyBusyError(
    `${dirname(path)}: expected no other writer, got ${who}; stop it, or delete ${path} if that host is gone`,
  );
}

/** A file's text; undefined where there is none. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Undefined where the text is no holder: a host that lost its power may leave an empty file. */
function holderIn(text: string | undefined): LeaseHolder | undefined {
  try {
    return text === undefined ? undefined : (JSON.parse(text) as LeaseHolder);
  } catch {
    return undefined;
  }
}

function isAlive({ pid, started }: LeaseHolder): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const now = startOf(pid);
  return started === undefined || now === undefined || started === now;
}

/** Start time of a process in clock ticks since boot, on Linux: field 22 of its stat, after the name in brackets. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
