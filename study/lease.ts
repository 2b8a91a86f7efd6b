import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { EnvironmentError } from '../core/errors.ts';

/** Another process is writing this study. */
export class StudyBusyError extends EnvironmentError {
  override readonly code = 'study-busy';
}

/**
 * Takes the right to write a study's folder; the returned function gives it back.
 * A lease left by a process of this host that no longer lives is taken over.
 * @throws {StudyBusyError} while another live process, or another host, holds it.
 */
export function takeLease(folder: string): () => void {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'lease.json');
  const mine = JSON.stringify({ host: hostname(), pid: process.pid });
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      writeFileSync(path, mine, { flag: 'wx' });
      return () => rmSync(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const holder = readHolder(path);
      if (holder && (holder.host !== hostname() || isAlive(holder.pid)))
        throw new StudyBusyError(
          `${folder}: expected no other writer, got process ${holder.pid} on ${holder.host}; stop it, or delete ${path} if that host is gone`,
        );
      rmSync(path, { force: true });
    }
  }
  throw new StudyBusyError(`${path}: could not be taken, another process takes it again and again`);
}

function readHolder(path: string): { host: string; pid: number } | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as { host: string; pid: number };
  } catch {
    return undefined; // torn while being written by a process that died
  }
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
