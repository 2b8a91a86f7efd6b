import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ConfigError, InterruptedError, InvalidFileError } from '../../core/errors.ts';
import { loadDataset } from '../../data/load.ts';
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

describe('a path', () => {
  it('is refused when it is no folder, saying what records need', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'what.bin'), records(30));
    await expect(load(folder, './what.bin')).rejects.toThrow(/none at .*what\.bin \(files of records need \{format/);
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
