import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

const folders: string[] = [];

// A process just killed may still write; then the removal is tried again.
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
});

/** A new folder, removed when the test file is done: several of its tests may share it. */
export function fileFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ridgepoint-test-'));
  folders.push(folder);
  return folder;
}
