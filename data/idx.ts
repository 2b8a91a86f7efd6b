import { readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import type { Split } from './dataset.ts';
import { existingPath, unpackedSize, unpackInto, unpackStart } from './files.ts';
import { mostClasses, numberedClasses, requireEveryClass } from './labels.ts';
import {
  allocatePixels,
  type ImageShape,
  largestPixelBytes,
  largestSide,
  mostChannels,
  requireFit,
  shapeOfValues,
  toChannelsFirst,
} from './pixels.ts';
import type { IdxSource, LoadOptions } from './source.ts';
import type { DecodedImages } from './split.ts';

// IDX (LeCun's MNIST page): two zero bytes, the type of a value, the number of dimensions, every extent as a
// big-endian uint32, then the values in C order.

const unsignedByte = 0x08;
const typeNames: Readonly<Record<number, string>> = {
  0x08: 'unsigned byte',
  0x09: 'signed byte',
  0x0b: 'int16',
  0x0c: 'int32',
  0x0d: 'float32',
  0x0e: 'float64',
};

const typeName = (code: number) => `0x${code.toString(16).padStart(2, '0')} (${typeNames[code] ?? 'unknown'})`;

/** Images and their labels. */
interface IdxPair {
  readonly images: string;
  readonly labels: string;
}

/**
 * MNIST's format: a file of images, bytes `[count, height, width]`, `[count, values]` or four dimensions, and one of
 * labels, bytes `[count]`; either may be gzip. Labels without names are called by their number, and every number up to
 * the largest must occur. Memory: one byte a value and two a label, allocated once headers and sizes agree.
 * @throws {ConfigError} for missing or ambiguous files, too many pixels or a shape the header leaves open;
 * {InvalidFileError} naming file and place for damaged files and ones that do not belong together.
 */
export async function loadIdx(source: IdxSource, options: LoadOptions): Promise<DecodedImages> {
  const files = pairsOf(source, options.baseDirectory);
  const { shape, split: train } = await readPair(files.train, source, options);
  const tested = files.test && (await readPair(files.test, source, options));
  if (tested && extents(tested.shape) !== extents(shape))
    throw new InvalidFileError(
      `${files.test?.images}: expected images of ${extents(shape)} as in ${files.train.images}, got ${extents(tested.shape)}`,
    );
  const classNames = source.classNames ?? numberedClasses([train, ...(tested ? [tested.split] : [])]);
  requireEveryClass(train, classNames.length, files.train.labels);
  return { name: nameOf(files.train.images), ...shape, classNames, train, test: tested?.split };
}

const extents = ({ channels, height, width }: ImageShape) => `${channels} × ${height} × ${width}`;

/** `…/emnist-digits-train-images-idx3-ubyte.gz` → `emnist-digits`; a bare `train-images…` is called by its folder. */
function nameOf(images: string): string {
  const prefix = basename(images).replace(/[-_.]?(train[-_.]?)?images.*$/, '');
  return prefix === '' ? basename(join(images, '..')) : prefix;
}

/** MNIST's own names, as `train-images-idx3-ubyte`, also with a dot, a prefix or `.gz`. */
const bundledName = /(?:^|[-_.])(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(?:\.gz)?$/;

function pairsOf({ path, test }: IdxSource, baseDirectory: string): { train: IdxPair; test: IdxPair | undefined } {
  const absolute = ({ images, labels }: IdxPair): IdxPair => ({
    images: existingPath(images, baseDirectory),
    labels: existingPath(labels, baseDirectory),
  });
  const given = test && absolute(test);
  if (typeof path !== 'string') return { train: absolute(path), test: given };
  const folder = existingPath(path, baseDirectory);
  if (!statSync(folder).isDirectory())
    throw new ConfigError(
      `data: expected the folder of an IDX data set, got the file ${folder}; name the two files: path: {images: …, labels: …}`,
    );
  const train = bundledPair(folder, ['train']);
  if (!train)
    throw new ConfigError(
      `data: expected train-images-idx3-ubyte and train-labels-idx1-ubyte (or .gz) in ${folder}, found no such pair`,
    );
  return { train, test: given ?? bundledPair(folder, ['t10k', 'test']) };
}

function bundledPair(folder: string, splits: readonly string[]): IdxPair | undefined {
  const names = readdirSync(folder).toSorted();
  const find = (kind: keyof IdxPair) => {
    const found = names.filter((name) => {
      const [, split = '', part] = bundledName.exec(name) ?? [];
      const isUnpackedToo = name.endsWith('.gz') && names.includes(name.slice(0, -'.gz'.length));
      return part === kind && splits.includes(split) && !isUnpackedToo;
    });
    if (found.length > 1)
      throw new ConfigError(
        `data: expected one file of ${splits[0]} ${kind} in ${folder}, got ${found.join(', ')}; name one: path: {images: …, labels: …}`,
      );
    return found.map((name) => join(folder, name))[0];
  };
  const [images, labels] = [find('images'), find('labels')];
  return images === undefined || labels === undefined ? undefined : { images, labels };
}

async function readPair(
  { images, labels }: IdxPair,
  source: IdxSource,
  { signal, maxPixelBytes = largestPixelBytes }: LoadOptions,
): Promise<{ shape: ImageShape; split: Split }> {
  const { shape, count, headerBytes, isInterleaved } = await readImageHeader(images, source, signal);
  const labelled = await readHeader(labels, 'labels', [1], signal);
  if (labelled.counts[0] !== count)
    throw new InvalidFileError(
      `${labels}: expected a label for each of the ${count} images of ${images}, got ${labelled.counts[0]}`,
    );
  requireFit(count, shape, images, maxPixelBytes);
  const values = shape.channels * shape.height * shape.width;
  await requireSize(images, headerBytes, count * values, `${count} × ${extents(shape)} pixels`, signal);
  await requireSize(labels, labelled.headerBytes, count, `${count} labels`, signal);

  const bytes = new Uint8Array(count);
  await unpackInto(bytes, labels, labelled.headerBytes, signal);
  const classes = source.classNames?.length ?? mostClasses;
  const wrong = bytes.findIndex((label) => label >= classes);
  if (wrong >= 0)
    throw new InvalidFileError(`${labels}: label ${wrong}: expected a label below ${classes}, got ${bytes[wrong]}`);
  const pixels = allocatePixels(count, shape, images, maxPixelBytes);
  await unpackInto(pixels, images, headerBytes, signal);
  if (isInterleaved) toChannelsFirst(pixels, shape);
  return { shape, split: { count, pixels, labels: Uint16Array.from(bytes) } };
}

interface IdxHeader {
  /** Extents of all dimensions. */
  readonly counts: readonly number[];
  readonly headerBytes: number;
}

/** @param dimensions numbers of dimensions that the file may have. */
async function readHeader(
  file: string,
  kind: 'images' | 'labels',
  dimensions: readonly number[],
  signal: AbortSignal | undefined,
): Promise<IdxHeader> {
  const start = await unpackStart(file, 4 + 4 * 255, signal);
  const broken = (place: string, expected: string, got: string) =>
    new InvalidFileError(`${file}: ${place}: expected ${expected}, got ${got}`);
  const [first, second, type, rank] = start;
  if (type === undefined || rank === undefined)
    throw broken('byte 0', 'an IDX header of at least 8 bytes', `a file of ${start.length} bytes`);
  if (first !== 0 || second !== 0)
    throw broken('byte 0', 'two zero bytes, as every IDX file starts', `0x${start.toString('hex', 0, 2)}`);
  if (type !== unsignedByte) throw broken('byte 2', `values of type ${typeName(unsignedByte)}`, typeName(type));
  if (!dimensions.includes(rank)) throw broken('byte 3', `${kind} of ${dimensions.join(', ')} dimensions`, `${rank}`);
  const headerBytes = 4 + 4 * rank;
  if (start.length < headerBytes) throw broken('byte 4', `${rank} extents of 4 bytes`, `${start.length - 4} bytes`);
  const counts = Array.from({ length: rank }, (_, index) => start.readUInt32BE(4 + 4 * index));
  if (counts[0] === 0) throw broken('byte 4', `at least one of its ${kind}`, 'a count of 0');
  return { counts, headerBytes };
}

interface ImageHeader {
  readonly count: number;
  readonly shape: ImageShape;
  readonly headerBytes: number;
  /** Channels lie next to each other and must be moved apart. */
  readonly isInterleaved: boolean;
}

async function readImageHeader(file: string, source: IdxSource, signal: AbortSignal | undefined): Promise<ImageHeader> {
  const { counts, headerBytes } = await readHeader(file, 'images', [2, 3, 4], signal);
  const [count = 0, ...axes] = counts;
  const isInterleaved = source.layout === 'channels-last';
  const needsLayout = axes.length === 3 || (axes.length === 1 && (source.channels ?? 1) > 1);
  if (needsLayout && source.layout === undefined)
    throw new ConfigError(
      `${file}: expected data.layout (channels-first or channels-last) for images of ${axes.join(' × ')} values, got none`,
    );
  const [first = 0, second = 0, third = 0] = axes;
  const shape =
    axes.length === 1
      ? shapeOfValues(first, source, file)
      : axes.length === 2
        ? { channels: 1, height: first, width: second }
        : isInterleaved
          ? { channels: third, height: first, width: second }
          : { channels: first, height: second, width: third };
  for (const [name, most] of [
    ['channels', mostChannels],
    ['height', largestSide],
    ['width', largestSide],
  ] as const) {
    if (shape[name] < 1 || shape[name] > most)
      throw new InvalidFileError(
        `${file}: header: expected 1 to ${most} ${name === 'channels' ? name : `pixels of ${name}`}, got ${shape[name]}`,
      );
    if (source[name] !== undefined && source[name] !== shape[name])
      throw new ConfigError(`${file}: expected data.${name} to be the header's ${shape[name]}, got ${source[name]}`);
  }
  return { count, shape, headerBytes, isInterleaved };
}

async function requireSize(
  file: string,
  headerBytes: number,
  body: number,
  what: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const expected = headerBytes + body;
  const size = await unpackedSize(file, expected, signal);
  if (size !== expected)
    throw new InvalidFileError(
      `${file}: expected ${expected} bytes (${headerBytes} of header + ${what}), got ${size > expected ? 'at least ' : ''}${size}`,
    );
}
