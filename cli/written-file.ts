import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { extname } from 'node:path';
import { ConfigError } from '../core/errors.ts';

/**
 * Checks the files that `-o` names before any work is done for them.
 * @param kinds extensions the command writes. @throws {ConfigError} for another one.
 */
export function outputPaths<Kind extends string>(
  paths: readonly string[],
  kinds: readonly Kind[],
): readonly { readonly path: string; readonly kind: Kind }[] {
  return paths.map((path) => {
    const extension = extname(path).toLowerCase();
    const kind = kinds.find((kind) => kind === extension);
    if (!kind)
      throw new ConfigError(`-o: expected a file that ends in ${kinds.join(' or ')}, got ${JSON.stringify(path)}`);
    return { path, kind };
  });
}

/** Writes a text file whole or not at all. @throws {ConfigError} when it cannot be written. */
export function writeWhole(path: string, text: string): void {
  const beside = `${path}.${process.pid}.part`;
  try {
    writeFileSync(beside, text);
    renameSync(beside, path);
  } catch (cause) {
    rmSync(beside, { force: true });
    throw new ConfigError(`-o: expected a file that can be written, got ${path}: ${(cause as Error).message}`, {
      cause,
    });
  }
}
