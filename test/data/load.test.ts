import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ConfigError, InterruptedError, InvalidFileError } from '../../core/errors.ts';
import { loadDataset, outlineDataset } from '../../data/load.ts';
import { dataSourceSchema } from '../../data/source.ts';
import { temporaryFolder } from './temporary-folder.ts';

const geometry = { format: 'records', channels: 2, height: 4, width: 5 };
const load = (baseDirectory: string, source: unknown, signal?: AbortSignal) =>
  loadDataset(dataSourceSchema.parse(source), { baseDirectory, signal });

/** `count` records whose labels take turns; every pixel is the record's index. */
function records(count: number, { classes = 3, values = 40 } = {}): Buffer {
  return Buffer.concat(
    Array.from({ length: count }, (_, index) =>
      Buffer.concat([Buffer.of(index % classes), Buffer.alloc(values, index)]),
    ),
  );
}

describe('records', () => {
  it('are read plain and gzipped, from several files, and divided', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'a.bin'), records(30));
    await writeFile(join(folder, 'b.bin.gz'), gzipSync(records(30)));
    const dataset = await load(folder, { ...geometry, path: ['a.bin', 'b.bin.gz'], holdout: 0.2, testShare: 0.25 });
    const { splits } = dataset;
    expect([splits.train.count, splits.holdout.count, splits.test.count]).toEqual([36, 9, 15]);
    expect(dataset).toMatchObject({ channels: 2, height: 4, width: 5, classNames: ['0', '1', '2'] });
    for (const { count, pixels, labels } of Object.values(splits))
      for (let index = 0; index < count; index++) expect(labels[index]).toBe((pixels[index * 40] ?? -1) % 3);
  });

  it('tell which classes a split has none of', async () => {
    const folder = await temporaryFolder();
    const notices: string[] = [];
    await writeFile(join(folder, 'train.bin'), records(30));
    await writeFile(join(folder, 'test.bin'), records(2));
    const source = dataSourceSchema.parse({ ...geometry, path: 'train.bin', test: 'test.bin' });
    await loadDataset(source, { baseDirectory: folder, onNotice: (text) => notices.push(text) });
    expect(notices).toEqual(['data: expected examples of all 3 classes in every split, got no test example of 1 (2)']);
  });

  it('leave a test split of their own as it is', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'train.bin'), records(30));
    await writeFile(join(folder, 'test.bin'), records(7));
    const { splits } = await load(folder, { ...geometry, path: 'train.bin', test: 'test.bin', limit: 9 });
    expect(Array.from(splits.test.labels)).toEqual([0, 1, 2, 0, 1, 2, 0]);
    expect([splits.train.count, splits.holdout.count]).toEqual([9, 3]);
  });

  it('are the same when loaded again, and divided otherwise by another seed', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'a.bin'), records(30));
    const source = { ...geometry, path: 'a.bin' };
    const first = await load(folder, source);
    expect(await load(folder, source)).toEqual(first);
    expect(await load(folder, { ...source, seed: 1 })).not.toEqual(first);
  });

  it('are refused when one is cut short, with file and sizes', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'a.bin'), records(30).subarray(0, 30 * 41 - 3));
    const reading = load(folder, { ...geometry, path: 'a.bin' });
    await expect(reading).rejects.toThrow(InvalidFileError);
    await expect(reading).rejects.toThrow(/a\.bin: expected whole records of 41 bytes .* got 1227 bytes/);
  });

  it('are refused when empty or when gzip is damaged', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'empty.bin'), '');
    await writeFile(join(folder, 'cut.gz'), gzipSync(records(30)).subarray(0, -9));
    await expect(load(folder, { ...geometry, path: 'empty.bin' })).rejects.toThrow(/empty\.bin: .* got 0 bytes/);
    await expect(load(folder, { ...geometry, path: 'cut.gz' })).rejects.toThrow(/cut\.gz: expected a whole gzip/);
  });

  it('are refused when a label is out of range, with file and record', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'a.bin'), records(30));
    const reading = load(folder, { ...geometry, path: 'a.bin', classNames: ['x', 'y'] });
    await expect(reading).rejects.toThrow(/a\.bin: record 2: expected a label below 2, got 2/);
  });

  it('are refused when a class is empty or there is only one', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'a.bin'), records(30));
    await writeFile(join(folder, 'one.bin'), records(30, { classes: 1 }));
    const empty = load(folder, { ...geometry, path: 'a.bin', classNames: ['a', 'b', 'c', 'none'] });
    await expect(empty).rejects.toThrow(/none of class 3/);
    await expect(load(folder, { ...geometry, path: 'one.bin' })).rejects.toThrow(/two or more classes/);
  });

  it('are asked for by path when missing', async () => {
    const reading = load('/nowhere', { ...geometry, path: 'a.bin' });
    await expect(reading).rejects.toThrow(ConfigError);
    await expect(reading).rejects.toThrow(/nothing at \/nowhere\/a\.bin/);
  });
});

/** 40 records of CIFAR-10's size. */
const batch = (): Buffer => records(40, { classes: 10, values: 3072 });

describe('CIFAR-10', () => {
  it('is read from its folder, or from a file', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'cifar'));
    await writeFile(join(folder, 'cifar', 'data_batch_1.bin'), batch());
    await writeFile(join(folder, 'cifar', 'data_batch_2.bin.gz'), gzipSync(batch()));
    await writeFile(join(folder, 'cifar', 'test_batch.bin'), batch());
    await writeFile(join(folder, 'some.gz'), gzipSync(batch()));
    const whole = await load(folder, { format: 'cifar10', path: 'cifar' });
    expect(whole).toMatchObject({ channels: 3, height: 32, width: 32 });
    const { train, holdout, test } = whole.splits;
    expect([train.count, holdout.count, test.count]).toEqual([72, 8, 40]);
    expect((await load(folder, { format: 'cifar10', path: 'some.gz' })).classNames[9]).toBe('truck');
  });

  it('takes its test split from a file', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'a.bin'), batch());
    const { splits } = await load(folder, { format: 'cifar10', path: ['a.bin', 'a.bin'], test: 'a.bin', holdout: 10 });
    expect([splits.train.count, splits.holdout.count, splits.test.count]).toEqual([70, 10, 40]);
  });

  it('is refused when the folder named holds no batches', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'readme.txt'), '');
    const reading = load(folder, { format: 'cifar10', path: '.' });
    await expect(reading).rejects.toThrow(/expected files like .*data_batch.*found none/);
  });
});

/** Every fine class once; superclasses in turn. */
const hundred = (change: (record: Buffer, index: number) => void = () => {}) =>
  Buffer.concat(
    Array.from({ length: 400 }, (_, index) => {
      const record = Buffer.alloc(3074, index % 251);
      record.set([index % 20, index % 100]);
      change(record, index);
      return record;
    }),
  );

async function loadHundred(train: Uint8Array, source: object = {}) {
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'train.bin'), train);
  await writeFile(join(folder, 'test.bin.gz'), gzipSync(hundred()));
  return load(folder, { format: 'cifar100', path: '.', ...source });
}

describe('CIFAR-100', () => {
  it('is read from its folder, by fine or coarse labels', async () => {
    const fine = await loadHundred(hundred());
    expect(fine.classNames).toHaveLength(100);
    expect(new Set(fine.classNames).size).toBe(100);
    expect([fine.classNames[0], fine.classNames[99], fine.splits.test.count]).toEqual(['apple', 'worm', 400]);
    expect(fine.classNames.toSorted()).toEqual(fine.classNames);
    const coarse = await loadHundred(hundred(), { labels: 'coarse' });
    expect([coarse.classNames.length, coarse.classNames[19]]).toEqual([20, 'vehicles_2']);
    for (const { splits, classNames } of [fine, coarse])
      splits.test.labels.forEach((label, index) => {
        expect(label).toBe(index % classNames.length);
        expect(splits.test.pixels[3072 * index]).toBe(index % 251);
        expect(splits.test.pixels[3072 * index + 3071]).toBe(index % 251);
      });
  });

  it('is refused for labels out of range and for CIFAR-10’s records', async () => {
    const coarse = hundred((record, index) => index === 7 && record.set([20]));
    await expect(loadHundred(coarse)).rejects.toThrow(/train\.bin: record 7: expected a coarse label below 20, got 20/);
    const fine = hundred((record, index) => index === 8 && record.set([0, 100]));
    await expect(loadHundred(fine)).rejects.toThrow(/train\.bin: record 8: expected a fine label below 100, got 100/);
    const message = /expected whole records of 3074 bytes \(2 label \+ 3 × 32 × 32 pixels\), got 122920 bytes/;
    await expect(loadHundred(batch())).rejects.toThrow(message);
  });
});

const refused = (folder: string, source: object, maxPixelBytes: number) =>
  expect(loadDataset(dataSourceSchema.parse(source), { baseDirectory: folder, maxPixelBytes })).rejects;

describe('what would not fit', () => {
  it('is refused before memory is taken: records, packed ones too, and generated pictures', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'a.bin'), records(30));
    await writeFile(join(folder, 'a.bin.gz'), gzipSync(records(30_000)));
    const source = { ...geometry, path: 'a.bin' };
    await refused(folder, source, 1199).toThrow(/a\.bin: expected at most .* got at least 30 images of 2 × 4 × 5/);
    await refused(folder, { ...source, path: ['a.bin', 'a.bin'] }, 2399).toThrow(
      /a\.bin, .*a\.bin: .* at least 60 images/,
    );
    // Counting stops where it is clear.
    await refused(folder, { ...source, path: 'a.bin.gz' }, 1200).toThrow(/a\.bin\.gz: .* got at least \d{2,4} images/);
    const pictures = { format: 'rendered', train: 1_000_000, resolution: 512 };
    await refused(folder, pictures, 8e9).toThrow(/data: expected at most 8 GB of pixels, .* which are 786 GB/);
  });
});

describe('files', () => {
  it.each(['a.bin', 'a.bin.gz'])('stop being read when interrupted: %s', async (path) => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, path), path.endsWith('.gz') ? gzipSync(records(30)) : records(30));
    await expect(load(folder, { ...geometry, path }, AbortSignal.abort())).rejects.toThrow(InterruptedError);
  });
});

describe('a path', () => {
  it('is refused when it is no folder, saying what files need', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'what.bin'), records(30));
    await expect(load(folder, './what.bin')).rejects.toThrow(/none at .*what\.bin \(files need \{format/);
    await expect(load(folder, './nothing')).rejects.toThrow(ConfigError);
  });
});

describe('rendered', () => {
  const small = { format: 'rendered', classes: 4, resolution: 16, train: 40, test: 12 };

  it('is rendered and divided, each class alike', async () => {
    const { splits, classNames } = await load('/', { ...small, holdout: 8 });
    expect(classNames.length).toBe(4);
    expect([splits.train.count, splits.holdout.count, splits.test.count]).toEqual([32, 8, 12]);
    expect(Array.from(splits.holdout.labels).toSorted()).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
  });

  it('stops when interrupted', async () => {
    await expect(load('/', small, AbortSignal.abort())).rejects.toThrow(InterruptedError);
  });
});

describe('an outline', () => {
  it('says of a data set what loading it would: what it is, what a person should know of it, and why it is refused', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'a.bin'), records(30));
    const sources = [
      { format: 'rendered', classes: 12, resolution: 16, train: 24, test: 10, holdout: 3 },
      { ...geometry, path: 'a.bin', holdout: 2 },
      { format: 'rendered', classes: 12, train: 20 },
      { format: 'rendered', train: 20, holdout: 15 },
      { ...geometry, path: 'b.bin' },
    ].map((source) => dataSourceSchema.parse(source));
    for (const [index, source] of sources.entries()) {
      const told: string[][] = [[], []];
      const [outline, loaded] = await Promise.allSettled(
        [outlineDataset, loadDataset].map((of, which) =>
          of(source, { baseDirectory: folder, onNotice: (text) => told[which]?.push(text) }),
        ),
      );
      expect(outline?.status).toBe(index < 2 ? 'fulfilled' : 'rejected');
      if (outline?.status === 'rejected') expect(outline).toEqual(loaded);
      else expect(loaded).toMatchObject(outline as object);
      expect(told[0]).toHaveLength(index < 2 ? 1 : 0);
      expect(told[0]).toEqual(told[1]);
    }
  });
});
