import { randomUUID } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { ConfigError } from './errors.ts';

/**
 * Writes a folder that appears whole or not at all: into another one beside it, renamed at the end.
 * @param flag that named it, for the error.
 * @throws {ConfigError} when it exists; what `write` throws, and then nothing is left.
 */
export async function writeNewFolder<T>(
  flag: string,
  to: string,
  write: (work: string) => T | Promise<T>,
): Promise<Awaited<T>> {
  const folder = resolve(to);
  if (existsSync(folder)) throw new ConfigError(`${flag}: expected a folder that does not exist yet, got ${to}`);
  const work = `${folder}.${randomUUID()}.part`;
  try {
    const result = await write(work);
    renameSync(work, folder);
    return result;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
