import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import type { Dataset, Split, SplitName } from './dataset.ts';

// A prepared data set: magic, length and CRC-32 of the JSON header (uint32, little-endian), header, then
// the labels and pixels of train, hold-out and test as they lie in memory.

const magic = 'RPDATA02';
const prefixBytes = magic.length + 8;
const splitNames = ['train', 'holdout', 'test'] as const satisfies readonly SplitName[];

const partSchema = z.strictObject({ count: z.int().nonnegative(), crc: z.int().nonnegative() });
const extent = z.int().positive();
const headerSchema = z.strictObject({
  schema: z.literal(2),
  name: z.string(),
  channels: extent,
  height: extent,
  width: extent,
  classNames: z.array(z.string()),
  mean: z.array(z.number()),
  std: z.array(z.number()),
  splits: z.strictObject({ train: partSchema, holdout: partSchema, test: partSchema }),
});
type Header = z.infer<typeof headerSchema>;

/** Content address of a data set: equal splits have equal digests whatever they were read from. */
export function datasetDigest({ classNames, channels, height, width, splits }: Dataset): string {
  const hash = createHash('sha256').update(JSON.stringify({ classNames, channels, height, width }));
  for (const name of splitNames) {
    hash.update(name).update(bytesOf(splits[name].labels));
    for (const piece of pieces(splits[name].pixels)) hash.update(piece);
  }
  return `sha256:${hash.digest('hex')}`;
}

/** Neither hashing nor reading takes more than 2 GiB at once. */
const pieceBytes = 2 ** 30;

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

function bytesOf(labels: Uint16Array): Uint8Array {
  return new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength);
}

/** Writes a prepared data set. The file appears whole or not at all. */
export async function writeDatasetFile(dataset: Dataset, path: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.part`;
  try {
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(encodeHeader(dataset));
      for (const name of splitNames) {
        await file.writeFile(bytesOf(dataset.splits[name].labels));
        await file.writeFile(dataset.splits[name].pixels);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

function checksum({ labels, pixels }: Split): number {
  let crc = crc32(bytesOf(labels));
  for (const piece of pieces(pixels)) crc = crc32(piece, crc);
  return crc;
}

function sealed(split: Split): { count: number; crc: number } {
  return { count: split.count, crc: checksum(split) };
}

function encodeHeader({ name, channels, height, width, classNames, mean, std, splits }: Dataset): Uint8Array {
  const parts = { train: sealed(splits.train), holdout: sealed(splits.holdout), test: sealed(splits.test) };
  const described = { name, channels, height, width, classNames, mean, std };
  const header = Buffer.from(JSON.stringify({ schema: 2, ...described, splits: parts }));
  const prefix = Buffer.alloc(prefixBytes);
  prefix.write(magic, 'latin1');
  prefix.writeUInt32LE(header.length, magic.length);
  prefix.writeUInt32LE(crc32(header), magic.length + 4);
  return Buffer.concat([prefix, header]);
}

/**
 * The data set a file holds, in milliseconds.
 * @throws {ConfigError} when there is no such file.
 * @throws {InvalidFileError} when it is not a prepared data set, was cut short or has been changed.
 */
export async function readDatasetFile(path: string): Promise<Dataset> {
  const file = await open(path).catch((cause: unknown) => {
    throw new ConfigError(`${path}: expected a prepared data set, got ${(cause as NodeJS.ErrnoException).code}`, {
      cause,
    });
  });
  try {
    return await readParts(file, (why) => {
      return new InvalidFileError(`${path}: expected a prepared data set, got ${why}; delete it to have it made again`);
    });
  } finally {
    await file.close();
  }
}

async function readParts(file: FileHandle, broken: (why: string) => Error): Promise<Dataset> {
  const { size } = await file.stat();
  const { header, end } = await readHeader(file, size, broken);
  const { schema: _schema, splits: parts, ...described } = header;
  const values = described.channels * described.height * described.width;
  const expected = splitNames.reduce((sum, name) => sum + parts[name].count * (2 + values), end);
  if (size !== expected) throw broken(`${size} bytes where its header says ${expected}`);
  let at = end;
  const split = async (name: SplitName): Promise<Split> => {
    const { count, crc } = parts[name];
    const labels = new Uint16Array(count);
    const pixels = new Uint8Array(count * values);
    for (const piece of [bytesOf(labels), ...pieces(pixels)]) {
      await file.read(piece, 0, piece.length, at);
      at += piece.length;
    }
    const read = { count, labels, pixels };
    if (checksum(read) !== crc) throw broken(`a ${name} split that was changed`);
    return read;
  };
  return {
    ...described,
    splits: { train: await split('train'), holdout: await split('holdout'), test: await split('test') },
  };
}

async function readHeader(
  file: FileHandle,
  size: number,
  broken: (why: string) => Error,
): Promise<{ header: Header; end: number }> {
  const prefix = Buffer.alloc(prefixBytes);
  await file.read(prefix, 0, prefixBytes, 0);
  if (prefix.toString('latin1', 0, magic.length) !== magic) throw broken('another kind of file');
  const end = prefixBytes + prefix.readUInt32LE(magic.length);
  if (end > size) throw broken('a truncated one');
  const text = Buffer.alloc(end - prefixBytes);
  await file.read(text, 0, text.length, prefixBytes);
  if (crc32(text) !== prefix.readUInt32LE(magic.length + 4)) throw broken('a header that was changed');
  return { header: headerSchema.parse(JSON.parse(text.toString())), end };
}
