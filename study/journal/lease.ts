import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
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
 * have been renamed and its name be another's. A lease left by a process of this host that no longer lives is taken over.
 * @throws {StudyBusyError} while another live process, or another host, holds it.
 */
export function takeLease(folder: string): () => void {
  mkdirSync(folder, { recursive: true });
  const path = join(resolve(folder), leaseFileName);
  const mine = `${path}.${process.pid}`;
  const token = randomUUID();
  const holder: LeaseHolder = { host: hostname(), pid: process.pid, started: startOf(process.pid), token };
  try {
    writeFileSync(mine, JSON.stringify(holder));
    if (!tryLink(mine, path)) {
      const other = readHolder(path);
      if (other && (other.host !== hostname() || isAlive(other))) throw busy(folder, path, other);
      // Renamed away, not removed: of two who find the same dead holder, one renames it and the other fails here.
      renameSync(path, `${mine}.stale`);
      rmSync(`${mine}.stale`, { force: true });
      if (!tryLink(mine, path)) throw busy(folder, path, readHolder(path));
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw busy(folder, path, undefined);
    throw error;
  } finally {
    rmSync(mine, { force: true });
  }
  return () => {
    if (readHolder(path)?.token === token) rmSync(path, { force: true });
  };
}

/** The process that writes a study's folder, as far as can be told: one of another host is taken to live. */
export function leaseHolder(folder: string): LeaseHolder | undefined {
  const holder = readHolder(join(resolve(folder), leaseFileName));
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

function busy(folder: string, path: string, holder: LeaseHolder | undefined): StudyBusyError {
  const who = holder ? `process ${holder.pid} on ${holder.host}` : 'another process that started just now';
  return new StudyBusyError(
    `${folder}: expected no other writer, got ${who}; stop it, or delete ${path} if that host is gone`,
  );
}

function readHolder(path: string): LeaseHolder | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LeaseHolder;
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
