import { type Dirent, existsSync, readdirSync, statSync } from 'node:fs';
import { basename, extname, join, resolve } from 'node:path';
import sharp, { type OutputInfo } from 'sharp';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import type { Split } from './dataset.ts';
import { allocatePixels } from './pixels.ts';
import { resizePlanes } from './resize.ts';
import type { LoadOptions, FolderSource } from './source.ts';
import type { DecodedImages } from './split.ts';

const extensions = new Set(['.jpg', '.jpeg', '.png', '.webp', '.gif', '.tif', '.tiff']);
/** Pixels of one image beyond which it is refused rather than decoded. */
const maxPixels = 100e6;
/** Images decoded at once. */
const parallel = 4;

/** What a folder of examples that are not trained on may be called, the first there first. */
const testFolders = ['test', 'val', 'valid', 'validation'];

/**
 * One subfolder a class, named by it, or `train/` and a folder for the test of such ones. Images become RGB squares: turned as
 * their EXIF says, alpha put on black, the centre cropped to the shorter side and brought down to `resolution` by
 * `resizeFilter`. What is left out beside them is told.
 * @throws {ConfigError} for an unusable folder; {InvalidFileError} naming the image that cannot be decoded.
 */
export async function loadFolder(source: FolderSource, options: LoadOptions): Promise<DecodedImages> {
  const { baseDirectory } = options;
  const root = resolve(baseDirectory, source.path);
  const { trainRoot, testRoot } = splitFolders(root, source.test && resolve(baseDirectory, source.test), options);
  const classNames = classFolders(trainRoot);
  const train = await readImages(trainRoot, classNames, source.resolution, options);
  if (testRoot && classFolders(testRoot).join('/') !== classNames.join('/'))
    throw new ConfigError(
      `${testRoot}: expected the classes ${classNames.join(', ')} as in ${trainRoot}, got ${classFolders(testRoot).join(', ')}`,
    );
  const test = testRoot ? await readImages(testRoot, classNames, source.resolution, options) : undefined;
  return {
    name: basename(root),
    channels: 3,
    height: source.resolution,
    width: source.resolution,
    classNames,
    train,
    test,
  };
}

/** Where examples for training lie, and those for the test if there are such. @param named by the source. */
function splitFolders(
  root: string,
  named: string | undefined,
  { onNotice }: LoadOptions,
): { trainRoot: string; testRoot: string | undefined } {
  const [test, ...unused] = testFolders.map((name) => join(root, name)).filter(isFolder);
  const train = join(root, 'train');
  if (!isFolder(train) || test === undefined) return { trainRoot: root, testRoot: named };
  if (named !== undefined) return { trainRoot: train, testRoot: named };
  if (unused.length > 0)
    onNotice?.(
      `${root}: expected train/ and one folder for the test, took ${basename(test)}/; not read: ${unused.join(', ')}`,
    );
  return { trainRoot: train, testRoot: test };
}

function isFolder(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory();
}

function classFolders(root: string): string[] {
  if (!isFolder(root))
    throw new ConfigError(
      `data: expected a folder with one subfolder a class, found none at ${root} (files need {format: …})`,
    );
  const names = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => name)
    .toSorted();
  if (names.length === 1 && names[0] === 'train')
    throw new ConfigError(
      `${root}: expected train/ beside one of ${testFolders.map((name) => `${name}/`).join(', ')}, got train/ alone; ` +
        `to have the test split taken from it, say ${join(root, 'train')}`,
    );
  if (names.length < 2)
    throw new ConfigError(`${root}: expected at least two subfolders, one a class, got ${names.length}`);
  return names;
}

async function readImages(
  root: string,
  classNames: readonly string[],
  side: number,
  { signal, maxPixelBytes, onNotice }: LoadOptions,
): Promise<Split> {
  const others: string[] = [];
  const files = classNames.flatMap((name, label) => {
    const entries = readdirSync(join(root, name), { withFileTypes: true });
    const images = entries.filter(isImage).map((entry) => entry.name);
    const rest = entries.filter((entry) => !isImage(entry) && !entry.name.startsWith('.')).map(kindOf);
    if (images.length === 0)
      throw new ConfigError(
        `${join(root, name)}: expected images (${[...extensions].join(', ')}), found none${rest.length > 0 ? ` but ${counted(rest)}` : ''}`,
      );
    others.push(...rest);
    return images.toSorted().map((file) => ({ path: join(root, name, file), label }));
  });
  if (others.length > 0)
    onNotice?.(
      `${root}: expected images (${[...extensions].join(', ')}) in the folders of classes, left out ${counted(others)}`,
    );
  const values = 3 * side * side;
  const pixels = allocatePixels(files.length, { channels: 3, height: side, width: side }, root, maxPixelBytes);
  let next = 0;
  const worker = async () => {
    for (let at = next++; at < files.length; at = next++) {
      signal?.throwIfAborted();
      const { path } = files[at] as { path: string };
      const { data, info } = await decode(path);
      const shorter = Math.min(info.width, info.height);
      if (shorter < side)
        throw new InvalidFileError(
          `${path}: expected an image of at least ${side} pixels a side, got ${info.width}×${info.height}; ` +
            'images are not enlarged, so say a lower data.resolution',
        );
      const from = { height: shorter, width: shorter };
      const square = resizePlanes(centreSquare(data, info), from, { height: side, width: side });
      pixels.set(square, at * values);
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return { count: files.length, pixels, labels: Uint16Array.from(files, ({ label }) => label) };
}

function isImage(entry: Dirent): boolean {
  return !entry.isDirectory() && extensions.has(extname(entry.name).toLowerCase());
}

function kindOf(entry: Dirent): string {
  return entry.isDirectory() ? 'folders' : extname(entry.name).toLowerCase() || 'no extension';
}

/** How many there are of each kind: `.heic (2), folders (1)`. */
function counted(kinds: readonly string[]): string {
  return [...new Set(kinds)]
    .toSorted()
    .map((kind) => `${kind} (${kinds.filter((each) => each === kind).length})`)
    .join(', ');
}

/** Interleaved bytes at the size of the file. */
async function decode(path: string): Promise<{ data: Uint8Array; info: OutputInfo }> {
  try {
    return await sharp(path, { limitInputPixels: maxPixels })
      .autoOrient()
      .flatten({ background: '#000' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
  } catch (cause) {
    throw new InvalidFileError(
      `${path}: expected an image of at most ${maxPixels / 1e6} megapixels, but it cannot be decoded (${(cause as Error).message})`,
      { cause },
    );
  }
}

/** The middle of an image, as wide as its shorter side, as bytes `[3, side, side]`. */
function centreSquare(data: Uint8Array, { width, height, channels }: OutputInfo): Uint8Array {
  const side = Math.min(width, height);
  const left = Math.floor((width - side) / 2);
  const top = Math.floor((height - side) / 2);
  const square = new Uint8Array(3 * side * side);
  for (let channel = 0, at = 0; channel < 3; channel++) {
    const read = channels < 3 ? 0 : channel; // grey images may stay one channel
    for (let y = top; y < top + side; y++)
      for (let x = left; x < left + side; x++, at++) square[at] = data[(y * width + x) * channels + read] as number;
  }
  return square;
}
