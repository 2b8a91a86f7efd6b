import { constants } from 'node:buffer';
import { totalmem } from 'node:os';
import { ConfigError } from '../core/errors.ts';

/**
 * Most bytes of pixels a split may have: 8 GB, what the runtime puts into one array (4 GiB on Node 20) or half of
 * the memory this process may use, whichever is least. Half, because a training holds the data at its native
 * resolution and at the network's.
 */
export const largestPixelBytes: number = Math.min(
  8e9,
  constants.MAX_LENGTH,
  Math.min(totalmem(), process.constrainedMemory() || Infinity) / 2,
);

/** Largest height and width of an image, in pixels. */
export const largestSide = 4096;
/** Most channels of an image. */
export const mostChannels = 64;

/** Extents of an image; its bytes lie `[channels, height, width]`. */
export interface ImageShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/**
 * Refuses more pixels than may be held, before anything is allocated.
 * @param count images, or as many as were counted before it was clear that they are too many.
 * @param where names the source in errors.
 * @throws {ConfigError} when they are more than `limit` bytes.
 */
export function requireFit(count: number, shape: ImageShape, where: string, limit: number = largestPixelBytes): void {
  const { channels, height, width } = shape;
  const bytes = count * channels * height * width;
  if (bytes > limit)
    throw new ConfigError(
      `${where}: expected at most ${inGigabytes(limit)} of pixels, got at least ${count} images of ` +
        `${channels} × ${height} × ${width}, which are ${inGigabytes(bytes)}; use fewer or smaller images`,
    );
}

/** Memory for `count` images, one byte a value. @throws {ConfigError} as {@link requireFit}. */
export function allocatePixels(count: number, shape: ImageShape, where: string, limit?: number): Uint8Array {
  requireFit(count, shape, where, limit);
  return new Uint8Array(count * shape.channels * shape.height * shape.width);
}

function inGigabytes(bytes: number): string {
  return `${Number((bytes / 1e9).toPrecision(3))} GB`;
}

/**
 * Shape of images of which only the number of values is known.
 * @param given what the study file says; a square of one channel where it says nothing.
 * @throws {ConfigError} when the values do not make such an image.
 */
export function shapeOfValues(
  values: number,
  given: { readonly channels?: number; readonly height?: number; readonly width?: number },
  where: string,
): ImageShape {
  const channels = given.channels ?? 1;
  const side = Math.sqrt(values / channels);
  const shape = { channels, height: given.height ?? side, width: given.width ?? side };
  if (channels * shape.height * shape.width === values && Number.isInteger(shape.height + shape.width)) return shape;
  const squares = channels === 1 ? 'square grey images' : `square images of ${channels} channels`;
  const expected = given.height === undefined ? squares : `${channels} × ${given.height} × ${given.width}`;
  throw new ConfigError(
    `${where}: expected ${expected}, got ${values} values an image; give its channels, height and width`,
  );
}

/** Reorders every image from `[height, width, channels]` to `[channels, height, width]`, where it lies. */
export function toChannelsFirst(pixels: Uint8Array, { channels, height, width }: ImageShape): void {
  if (channels === 1) return;
  const plane = height * width;
  const interleaved = new Uint8Array(channels * plane);
  for (let start = 0; start < pixels.length; start += interleaved.length) {
    interleaved.set(pixels.subarray(start, start + interleaved.length));
    for (let channel = 0, at = start; channel < channels; channel++)
      for (let read = channel; read < interleaved.length; read += channels, at++)
        pixels[at] = interleaved[read] as number;
  }
}
