import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { InvalidFileError } from '../core/errors.ts';
import { cifar10Classes, cifar100CoarseClasses, cifar100FineClasses } from './cifar-classes.ts';
import type { Split } from './dataset.ts';
import { changedWhileRead, filesOf, unpackedSize, unpackFile } from './files.ts';
import { mostClasses, numberedClasses, requireEveryClass } from './labels.ts';
import { allocatePixels, type ImageShape, largestPixelBytes, requireFit } from './pixels.ts';
import type { LoadOptions, RecordsSource } from './source.ts';
import type { DecodedImages } from './split.ts';

/** One record: label bytes, then bytes `[channels, height, width]`. */
interface RecordLayout {
  readonly name?: string;
  readonly shape: ImageShape;
  /** Label bytes in order; all are checked, the one at `label` is the class. */
  readonly labels: readonly { readonly kind: string; readonly classes: number }[];
  readonly label: number;
  /** Absent where classes are known by number only. */
  readonly classNames?: readonly string[];
  /** Names of the files in a folder. */
  readonly trainFiles: RegExp;
  readonly testFile: string;
}

const cifarShape: ImageShape = { channels: 3, height: 32, width: 32 };

function layoutOf(source: RecordsSource): RecordLayout {
  switch (source.format) {
    case 'cifar10':
      return {
        name: 'CIFAR-10',
        shape: cifarShape,
        labels: [{ kind: 'label', classes: cifar10Classes.length }],
        label: 0,
        classNames: cifar10Classes,
        trainFiles: /^data_batch.*\.bin(\.gz)?$/,
        testFile: 'test_batch.bin',
      };
    case 'cifar100':
      return {
        name: source.labels === 'fine' ? 'CIFAR-100' : 'CIFAR-100-coarse',
        shape: cifarShape,
        labels: [
          { kind: 'coarse label', classes: cifar100CoarseClasses.length },
          { kind: 'fine label', classes: cifar100FineClasses.length },
        ],
        label: source.labels === 'fine' ? 1 : 0,
        classNames: source.labels === 'fine' ? cifar100FineClasses : cifar100CoarseClasses,
        trainFiles: /^train\.bin(\.gz)?$/,
        testFile: 'test.bin',
      };
    case 'records':
      return {
        shape: source,
        labels: [{ kind: 'label', classes: source.classNames?.length ?? mostClasses }],
        label: 0,
        ...(source.classNames ? { classNames: source.classNames } : {}),
        trainFiles: /^data_batch.*\.bin(\.gz)?$/,
        testFile: 'test_batch.bin',
      };
    default:
      return source satisfies never;
  }
}

/**
 * Fixed-size binary records, plain or gzip; CIFAR-10 and CIFAR-100 are cases of 3 × 32 × 32. Labels without names are
 * called by their number, and every number up to the largest must occur. Memory: one byte a value and two a label,
 * allocated once the number of records is known.
 * @throws {ConfigError} for missing files and too many pixels; {InvalidFileError} naming file and record for damaged ones.
 */
export async function loadRecords(source: RecordsSource, options: LoadOptions): Promise<DecodedImages> {
  const { baseDirectory } = options;
  const layout = layoutOf(source);
  const trainFiles = filesOf(source.path, baseDirectory, layout.trainFiles);
  const testFiles =
    source.test === undefined
      ? bundledTest(source.path, layout.testFile, baseDirectory)
      : filesOf(source.test, baseDirectory, /\.bin(\.gz)?$/);
  const train = await readRecords(trainFiles, layout, options);
  const test = testFiles.length > 0 ? await readRecords(testFiles, layout, options) : undefined;
  const classNames = layout.classNames ?? numberedClasses([train, ...(test ? [test] : [])]);
  requireEveryClass(train, classNames.length, trainFiles.join(', '));
  const { channels, height, width } = layout.shape;
  const name = layout.name ?? basename(trainFiles[0] as string).replace(/\.bin(\.gz)?$/, '');
  return { name, channels, height, width, classNames, train, test };
}

/** The test file beside the training files of a folder. */
function bundledTest(paths: string | readonly string[], name: string, baseDirectory: string): readonly string[] {
  if (typeof paths !== 'string') return [];
  return [name, `${name}.gz`]
    .map((file) => join(resolve(baseDirectory, paths), file))
    .filter((path) => existsSync(path))
    .slice(0, 1);
}

async function readRecords(
  files: readonly string[],
  layout: RecordLayout,
  { signal, maxPixelBytes = largestPixelBytes }: LoadOptions,
): Promise<Split> {
  const { channels, height, width } = layout.shape;
  const values = channels * height * width;
  const recordBytes = layout.labels.length + values;
  const counts: number[] = [];
  for (const file of files) {
    const size = await unpackedSize(file, (maxPixelBytes / values + 1) * recordBytes, signal);
    const count = size / recordBytes;
    requireFit(Math.floor(count), layout.shape, file, maxPixelBytes);
    if (!Number.isInteger(count) || count === 0)
      throw new InvalidFileError(
        `${file}: expected whole records of ${recordBytes} bytes (${layout.labels.length} label + ${channels} × ${height} × ${width} pixels), got ${size} bytes, which is ${count.toFixed(2)} records`,
      );
    counts.push(count);
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  const pixels = allocatePixels(total, layout.shape, files.join(', '), maxPixelBytes);
  const labels = new Uint16Array(total);
  let first = 0;
  for (const [index, file] of files.entries()) {
    const end = first + (counts[index] as number);
    const into = { labels: labels.subarray(first, end), pixels: pixels.subarray(first * values, end * values) };
    await fillRecords(into, file, layout, signal);
    first = end;
  }
  return { count: total, pixels, labels };
}

/** Distributes the bytes of one file over labels and pixels as they come. */
async function fillRecords(
  into: { readonly labels: Uint16Array; readonly pixels: Uint8Array },
  file: string,
  layout: RecordLayout,
  signal: AbortSignal | undefined,
): Promise<void> {
  const values = into.pixels.length / into.labels.length;
  const labelBytes = layout.labels.length;
  const recordBytes = labelBytes + values;
  let position = 0;
  for await (const piece of unpackFile(file, signal)) {
    if (position + piece.length > into.labels.length * recordBytes) throw changedWhileRead(file);
    for (let at = 0; at < piece.length;) {
      const record = Math.floor(position / recordBytes);
      const within = position - record * recordBytes;
      if (within < labelBytes) {
        const value = piece[at] as number;
        const { kind, classes } = layout.labels[within] as RecordLayout['labels'][number];
        if (value >= classes)
          throw new InvalidFileError(`${file}: record ${record}: expected a ${kind} below ${classes}, got ${value}`);
        if (within === layout.label) into.labels[record] = value;
        at++;
        position++;
      } else {
        const length = Math.min(recordBytes - within, piece.length - at);
        into.pixels.set(piece.subarray(at, at + length), record * values + within - labelBytes);
        at += length;
        position += length;
      }
    }
  }
  if (position !== into.labels.length * recordBytes) throw changedWhileRead(file);
}
