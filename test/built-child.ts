import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { inject } from 'vitest';
import { childEntry as sourceEntry } from '../core/child.ts';

export * from '../core/child.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Stands for the sources' own in tests (vitest.config.ts): children run compiled; those of the tests' own run as they are. */
export function childEntry(base: string, path: string): URL {
  const source = sourceEntry(base, path);
  const built = join(inject('built'), relative(root, fileURLToPath(source)).replace(/\.ts$/, '.js'));
  return existsSync(built) ? pathToFileURL(built) : source;
}
