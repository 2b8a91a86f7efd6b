import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, extname, join, resolve } from 'node:path';
import sharp from 'sharp';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import type { Split } from './dataset.ts';
import type { LoadOptions } from './load.ts';
import type { FolderSource } from './source.ts';
import type { DecodedImages } from './split.ts';

const extensions = new Set(['.jpg', '.jpeg', '.png', '.webp', '.bmp', '.gif', '.tif', '.tiff']);
/** Pixels of one image beyond which it is refused rather than decoded. */
const maxPixels = 100e6;
/** Images decoded at once. */
const parallel = 4;

/**
 * One subfolder a class, named by it. Images become RGB squares: the shorter side is resized to
 * `resolution`, the centre cropped, alpha put on black.
 * @throws {ConfigError} for an unusable folder; {InvalidFileError} naming the image that cannot be decoded.
 */
export async function loadFolder(source: FolderSource, { baseDirectory, signal }: LoadOptions): Promise<DecodedImages> {
  const root = resolve(baseDirectory, source.path);
  const hasSplits = isFolder(join(root, 'train')) && isFolder(join(root, 'test'));
  const trainRoot = hasSplits ? join(root, 'train') : root;
  const testRoot = source.test ? resolve(baseDirectory, source.test) : hasSplits ? join(root, 'test') : undefined;
  const classNames = classFolders(trainRoot);
  const train = await readImages(trainRoot, classNames, source.resolution, signal);
  if (testRoot && classFolders(testRoot).join('/') !== classNames.join('/'))
    throw new ConfigError(
      `${testRoot}: expected the classes ${classNames.join(', ')} as in ${trainRoot}, got ${classFolders(testRoot).join(', ')}`,
    );
  const test = testRoot ? await readImages(testRoot, classNames, source.resolution, signal) : undefined;
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

function isFolder(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory();
}

function classFolders(root: string): string[] {
  if (!isFolder(root))
    throw new ConfigError(`data: expected a folder with one subfolder a class, found none at ${root}`);
  const names = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => name)
    .toSorted();
  if (names.length < 2)
    throw new ConfigError(`${root}: expected at least two subfolders, one a class, got ${names.length}`);
  return names;
}

async function readImages(
  root: string,
  classNames: readonly string[],
  side: number,
  signal: AbortSignal | undefined,
): Promise<Split> {
  const files = classNames.flatMap((name, label) => {
    const images = readdirSync(join(root, name))
      .filter((file) => extensions.has(extname(file).toLowerCase()))
      .toSorted();
    if (images.length === 0)
      throw new ConfigError(`${join(root, name)}: expected images (${[...extensions].join(', ')}), found none`);
    return images.map((file) => ({ path: join(root, name, file), label }));
  });
  const values = 3 * side * side;
  const pixels = new Uint8Array(files.length * values);
  let next = 0;
  const worker = async () => {
    for (let at = next++; at < files.length; at = next++) {
      signal?.throwIfAborted();
      writeChannelFirst(
        await decode((files[at] as { path: string }).path, side),
        pixels.subarray(at * values, (at + 1) * values),
      );
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return { count: files.length, pixels, labels: Uint16Array.from(files, ({ label }) => label) };
}

/** Interleaved RGB bytes of a square of `side` pixels. */
async function decode(path: string, side: number): Promise<Uint8Array> {
  try {
    return await sharp(path, { limitInputPixels: maxPixels })
      .rotate()
      .flatten({ background: '#000' })
      .toColourspace('srgb')
      .resize(side, side, { fit: 'cover', kernel: 'linear' })
      .removeAlpha()
      .raw()
      .toBuffer();
  } catch (cause) {
    throw new InvalidFileError(
      `${path}: expected an image of at most ${maxPixels / 1e6} megapixels, but it cannot be decoded (${(cause as Error).message})`,
      { cause },
    );
  }
}

function writeChannelFirst(interleaved: Uint8Array, out: Uint8Array): void {
  const plane = out.length / 3;
  const channels = interleaved.length / plane; // grey images may stay one channel
  for (let channel = 0; channel < 3; channel++)
    for (let at = 0; at < plane; at++)
      out[channel * plane + at] = interleaved[at * channels + Math.min(channel, channels - 1)] as number;
}
