import { createHash } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { z } from 'zod';
import { InvalidFileError } from '../core/errors.ts';
import type { Dataset, Split, SplitName } from './dataset.ts';

// A prepared data set: magic, length of the JSON header (uint32, little-endian), header, then the
// labels and pixels of train, hold-out and test. Child processes read it in milliseconds.

const magic = 'RPDATA01';
const splitNames = ['train', 'holdout', 'test'] as const satisfies readonly SplitName[];

const headerSchema = z.strictObject({
  schema: z.literal(1),
  name: z.string(),
  channels: z.int(),
  height: z.int(),
  width: z.int(),
  classNames: z.array(z.string()),
  mean: z.array(z.number()),
  std: z.array(z.number()),
  counts: z.strictObject({ train: z.int(), holdout: z.int(), test: z.int() }),
});

/** Content address of a data set: equal splits have equal digests whatever they were read from. */
export function datasetDigest({ classNames, channels, height, width, splits }: Dataset): string {
  const hash = createHash('sha256').update(JSON.stringify({ classNames, channels, height, width }));
  for (const name of splitNames) hash.update(name).update(bytesOf(splits[name].labels)).update(splits[name].pixels);
  return `sha256:${hash.digest('hex')}`;
}

function bytesOf(labels: Uint16Array): Uint8Array {
  return new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength);
}

/** Writes a prepared data set, beside and renamed. */
export async function writeDatasetFile(dataset: Dataset, path: string): Promise<void> {
  const { name, channels, height, width, classNames, mean, std, splits } = dataset;
  const counts = { train: splits.train.count, holdout: splits.holdout.count, test: splits.test.count };
  const header = Buffer.from(
    JSON.stringify({ schema: 1, name, channels, height, width, classNames, mean, std, counts }),
  );
  const prefix = Buffer.alloc(12);
  prefix.write(magic, 'latin1');
  prefix.writeUInt32LE(header.length, 8);
  const temporary = `${path}.part`;
  const file = await open(temporary, 'w');
  try {
    await file.writev([
      prefix,
      header,
      ...splitNames.flatMap((split) => [bytesOf(splits[split].labels), splits[split].pixels]),
    ]);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path).catch(async (error: unknown) => {
    await rm(temporary, { force: true });
    throw error;
  });
}

/** @throws {InvalidFileError} when the file is not a whole prepared data set. */
export async function readDatasetFile(path: string): Promise<Dataset> {
  const bytes = await readFile(path);
  const broken = (why: string) => new InvalidFileError(`${path}: expected a prepared data set, got ${why}`);
  if (bytes.length < 12 || bytes.toString('latin1', 0, 8) !== magic) throw broken('another kind of file');
  const headerEnd = 12 + bytes.readUInt32LE(8);
  if (headerEnd > bytes.length) throw broken('a truncated one');
  const {
    counts,
    schema: _schema,
    ...described
  } = headerSchema.parse(JSON.parse(bytes.toString('utf8', 12, headerEnd)));
  const values = described.channels * described.height * described.width;
  let at = headerEnd;
  const take = (length: number) => {
    if (at + length > bytes.length) throw broken('a truncated one');
    at += length;
    return bytes.subarray(at - length, at);
  };
  const split = (count: number): Split => {
    const labels = new Uint16Array(count);
    bytesOf(labels).set(take(2 * count));
    return { count, labels, pixels: take(count * values) };
  };
  const splits = { train: split(counts.train), holdout: split(counts.holdout), test: split(counts.test) };
  if (at !== bytes.length) throw broken(`${bytes.length - at} bytes too many`);
  return { ...described, splits };
}
