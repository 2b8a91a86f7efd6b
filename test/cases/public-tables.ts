import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Folder of public tables, which have licences of their own and are not part of the project: the one that `RIDGEPOINT_TABLES`
 * names, else `shared/data` beside the checkout.
 */
export const tablesFolder: string =
  process.env['RIDGEPOINT_TABLES'] ?? fileURLToPath(new URL('../../../shared/data', import.meta.url));

/** Why what needs a table is skipped. */
export function tableMissing(file: string): string {
  return `${file} is not in ${tablesFolder}; RIDGEPOINT_TABLES names another folder`;
}

/** Text of a public table; undefined, said aloud, where it is not. */
export function publicTable(file: string): string | undefined {
  const path = join(tablesFolder, file);
  if (existsSync(path)) return readFileSync(path, 'utf8');
  console.warn(`skipped: ${tableMissing(file)}`);
  return undefined;
}
