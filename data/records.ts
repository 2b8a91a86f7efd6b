import { existsSync, readdirSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import type { Split } from './dataset.ts';
import type { LoadOptions, RecordsSource } from './source.ts';
import type { DecodedImages } from './split.ts';

/** Layout of one record: one label byte, then bytes `[channels, height, width]`. */
interface RecordLayout {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

const cifar10 = {
  channels: 3,
  height: 32,
  width: 32,
  classNames: ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'],
} as const;

/** Largest data set read into memory, in bytes of pixels. */
const maxBytes = 8e9;

/**
 * Fixed-size binary records; CIFAR-10 is the case of 3 × 32 × 32. Labels without names are called
 * by their number, and every number up to the largest must occur.
 * @throws {ConfigError} for missing files; {InvalidFileError} naming file and record for damaged ones.
 */
export async function loadRecords(
  source: RecordsSource,
  { baseDirectory, signal }: LoadOptions,
): Promise<DecodedImages> {
  const layout = source.format === 'cifar10' ? cifar10 : source;
  const trainFiles = filesOf(source.path, baseDirectory, /^data_batch.*\.bin(\.gz)?$/);
  const testFiles =
    source.test === undefined
      ? bundledTest(source.path, baseDirectory)
      : filesOf(source.test, baseDirectory, /\.bin(\.gz)?$/);
  const known = layout.classNames?.length;
  const train = await readRecords(trainFiles, layout, known, signal);
  const test = testFiles.length > 0 ? await readRecords(testFiles, layout, known, signal) : undefined;
  const classNames = layout.classNames ?? namesOf([train, ...(test ? [test] : [])]);
  requireEveryClass(train, classNames.length, trainFiles.join(', '));
  const { channels, height, width } = layout;
  return {
    name: source.format === 'cifar10' ? 'CIFAR-10' : basename(trainFiles[0] as string).replace(/\.bin(\.gz)?$/, ''),
    channels,
    height,
    width,
    classNames,
    train,
    test,
  };
}

/** Files named one by one, or those of a folder that match. */
function filesOf(paths: string | readonly string[], baseDirectory: string, pattern: RegExp): string[] {
  return [paths].flat().flatMap((path) => {
    const full = resolve(baseDirectory, path);
    if (!existsSync(full)) throw new ConfigError(`data: expected a file or folder, found nothing at ${full}`);
    if (!statSync(full).isDirectory()) return [full];
    const found = readdirSync(full)
      .filter((name) => pattern.test(name))
      .toSorted();
    if (found.length === 0) throw new ConfigError(`data: expected files like ${pattern.source} in ${full}, found none`);
    return found.map((name) => join(full, name));
  });
}

/** `test_batch.bin` beside CIFAR's training batches. */
function bundledTest(paths: string | readonly string[], baseDirectory: string): string[] {
  if (typeof paths !== 'string') return [];
  return ['test_batch.bin', 'test_batch.bin.gz']
    .map((name) => join(resolve(baseDirectory, paths), name))
    .filter((path) => existsSync(path))
    .slice(0, 1);
}

async function readRecords(
  files: readonly string[],
  { channels, height, width }: RecordLayout,
  classes: number | undefined,
  signal: AbortSignal | undefined,
): Promise<Split> {
  const values = channels * height * width;
  const parts: { file: string; bytes: Uint8Array }[] = [];
  let total = 0;
  for (const file of files) {
    const bytes = await readMaybeCompressed(file, signal);
    const count = bytes.length / (values + 1);
    if (!Number.isInteger(count) || count === 0)
      throw new InvalidFileError(
        `${file}: expected whole records of ${values + 1} bytes (1 label + ${channels} × ${height} × ${width} pixels), got ${bytes.length} bytes, which is ${count.toFixed(2)} records`,
      );
    total += count;
    if (total * values > maxBytes)
      throw new ConfigError(`${file}: expected at most ${maxBytes / 1e9} GB of pixels; set a smaller data set`);
    parts.push({ file, bytes });
  }
  const pixels = new Uint8Array(total * values);
  const labels = new Uint16Array(total);
  let at = 0;
  for (const { file, bytes } of parts)
    for (let start = 0; start < bytes.length; start += values + 1, at++) {
      const label = bytes[start] as number;
      if (classes !== undefined && label >= classes)
        throw new InvalidFileError(
          `${file}: record ${start / (values + 1)}: expected a label below ${classes}, got ${label}`,
        );
      labels[at] = label;
      pixels.set(bytes.subarray(start + 1, start + 1 + values), at * values);
    }
  return { count: total, pixels, labels };
}

/** gzip is told by its magic number, not by the file's name. */
async function readMaybeCompressed(file: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const bytes = await readFile(file, { signal });
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return await promisify(gunzip)(bytes);
  } catch (cause) {
    throw new InvalidFileError(`${file}: expected a whole gzip file, got a damaged one (${(cause as Error).message})`, {
      cause,
    });
  }
}

function namesOf(splits: readonly Split[]): string[] {
  const highest = Math.max(...splits.flatMap(({ labels }) => labels.reduce((max, label) => Math.max(max, label), 0)));
  return Array.from({ length: highest + 1 }, (_, label) => String(label));
}

/** A test split may miss a class; one that training misses cannot be learned. */
function requireEveryClass({ labels }: Split, classes: number, where: string): void {
  if (classes < 2) throw new InvalidFileError(`${where}: expected two or more classes, got label 0 alone`);
  const seen = new Set(labels);
  const empty = Array.from({ length: classes }, (_, label) => label).find((label) => !seen.has(label));
  if (empty !== undefined)
    throw new InvalidFileError(
      `${where}: expected examples of every class from 0 to ${classes - 1}, got none of class ${empty}`,
    );
}
