import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError, InvalidFileError } from '../../core/errors.ts';
import { datasetDigest, readDatasetFile, writeDatasetFile } from '../../data/cache.ts';
import { smallDataset } from './small-dataset.ts';
import { temporaryFolder } from './temporary-folder.ts';

async function stored(): Promise<{ folder: string; file: string }> {
  const folder = await temporaryFolder();
  const file = join(folder, 'data.bin');
  await writeDatasetFile(smallDataset(), file);
  return { folder, file };
}

describe('dataset file', () => {
  it('gives back what was written, empty splits too, and leaves nothing beside it', async () => {
    const { folder, file } = await stored();
    expect(await readDatasetFile(file)).toEqual(smallDataset());
    const uneven = smallDataset({ train: 3, holdout: 0, test: 1 });
    await writeDatasetFile(uneven, file);
    expect(await readDatasetFile(file)).toEqual(uneven);
    expect(await readdir(folder)).toEqual(['data.bin']);
  });

  it('is refused wherever it was cut short', async () => {
    const { file } = await stored();
    const whole = await readFile(file);
    for (const length of [0, 5, 17, 100, whole.length - 1]) {
      await truncate(file, length);
      await expect(readDatasetFile(file)).rejects.toThrow(InvalidFileError);
      await writeFile(file, whole);
    }
  });

  it('is refused when any byte was changed', async () => {
    const { file } = await stored();
    const whole = await readFile(file);
    const flips = fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }));
    await fc.assert(
      fc.asyncProperty(flips, async ([at, flip]) => {
        const changed = Buffer.from(whole);
        changed[at] = (changed[at] ?? 0) ^ flip;
        await writeFile(file, changed);
        await expect(readDatasetFile(file)).rejects.toThrow(InvalidFileError);
      }),
      { numRuns: 60 },
    );
  });

  it('is asked for by name when it is missing', async () => {
    await expect(readDatasetFile('/nowhere/data.bin')).rejects.toThrow(ConfigError);
    await expect(readDatasetFile('/nowhere/data.bin')).rejects.toThrow(/\/nowhere\/data\.bin: .*ENOENT/);
  });
});

describe('datasetDigest', () => {
  it('follows the content, not the name', () => {
    const dataset = smallDataset();
    const digest = datasetDigest(dataset);
    expect(datasetDigest({ ...dataset, name: 'other' })).toBe(digest);
    expect(datasetDigest({ ...dataset, classNames: ['odd', 'even'] })).not.toBe(digest);
    expect(datasetDigest(smallDataset({ train: 10, holdout: 5, test: 3 }))).not.toBe(digest);
  });
});
