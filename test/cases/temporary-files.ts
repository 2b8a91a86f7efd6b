import { afterAll, beforeAll } from 'vitest';

/** Lets what this test file's processes leave in the system's temporary folder, such as logs of failures, go into another. */
export function temporaryFilesIn(folder: string): void {
  const before = process.env['TMPDIR'];
  beforeAll(() => {
    process.env['TMPDIR'] = folder;
  });
  afterAll(() => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  });
}
