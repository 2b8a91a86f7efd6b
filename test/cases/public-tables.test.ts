import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { fileFolder } from './file-folder.ts';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  vi.resetModules();
});

/** The module as it is where the variable is set. */
function tablesAt(folder: string): Promise<typeof import('./public-tables.ts')> {
  vi.stubEnv('RIDGEPOINT_TABLES', folder);
  return import('./public-tables.ts');
}

describe('public tables', () => {
  it('are read where RIDGEPOINT_TABLES says', async () => {
    const folder = fileFolder();
    writeFileSync(join(folder, 'some.csv'), 'a,b\n1,2\n');
    const { publicTable } = await tablesAt(folder);
    expect(publicTable('some.csv')).toBe('a,b\n1,2\n');
  });

  it('that are not there are told of, with where they were looked for', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const folder = fileFolder();
    const { publicTable } = await tablesAt(folder);
    expect(publicTable('none.csv')).toBeUndefined();
    expect(warn).toHaveBeenCalledWith(`skipped: none.csv is not in ${folder}; RIDGEPOINT_TABLES names another folder`);
  });
});
