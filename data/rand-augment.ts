import { z } from 'zod';
import type { Random } from '../core/random.ts';
import {
  applyTable,
  autoContrastTable,
  contrastTable,
  equalizeTable,
  meanGrey,
  posterizeTable,
  saturate,
  sharpen,
  solarizeTable,
} from './photometric.ts';
import { rotate, shearX, shearY, translateX, translateY, type Warp, warpImage } from './warp.ts';

/** The fourteen operations of Cubuk et al. (2020), and `invert`, which AutoAugment (Cubuk et al. 2019) has as well. */
export const randAugmentOperations = [
  'identity',
  'auto-contrast',
  'equalize',
  'rotate',
  'solarize',
  'color',
  'posterize',
  'contrast',
  'brightness',
  'sharpness',
  'shear-x',
  'shear-y',
  'translate-x',
  'translate-y',
  'invert',
] as const;
export type RandAugmentOperation = (typeof randAugmentOperations)[number];

const publishedOperations = randAugmentOperations.filter((name) => name !== 'invert');

/**
 * RandAugment: a number of operations, each drawn evenly from a list, all of one magnitude.
 *
 * Magnitude 10 is AutoAugment's largest: turned by 30°, sheared by 0.3, moved by 0.45 of the side, 4 of 8 bits
 * kept, everything inverted (solarize), colour, contrast, brightness and sharpness changed by a factor of 1 ± 0.9. Where
 * we differ from the published code: every operation grows with the magnitude, and 0 is no change (there 0 is the
 * strongest solarize and posterize and factors of 0.1); shears are about the middle; pixels are interpolated, and what
 * enters is the channel's mean rather than a grey. Torchvision's magnitude is ours × 3.
 */
export const randAugmentSchema = z.strictObject({
  /** N of the paper: operations, one after the other; an operation may come twice. */
  count: z.int().min(1).max(8).default(2),
  /** M of the paper. */
  magnitude: z.number().min(0).max(10).default(5),
  /** What is drawn from; leave out what turns a class into another. */
  operations: z
    .array(z.enum(randAugmentOperations))
    .min(1)
    .default(() => [...publishedOperations]),
});
export type RandAugment = z.output<typeof randAugmentSchema>;

/** One operation with its strength: the magnitude ÷ 10 and, where it has two directions, a fair sign. */
export interface DrawnOperation {
  readonly name: RandAugmentOperation;
  readonly strength: number;
}

/** Draws what happens to one image. */
export function drawOperations({ count, magnitude, operations }: RandAugment, random: Random): DrawnOperation[] {
  return Array.from({ length: count }, () => ({
    name: random.pick(operations),
    strength: (random.uniform() < 0.5 ? -1 : 1) * (magnitude / 10),
  }));
}

/** What operations need beside the image. */
export interface Canvas {
  readonly channels: number;
  readonly side: number;
  /** Byte a channel that comes in from outside. */
  readonly fill: ArrayLike<number>;
  /** As long as an image. */
  readonly scratch: Uint8Array;
}

/** Carries an operation out. @param image bytes `[channels, side, side]`, changed where they lie. */
export function applyOperation(image: Uint8Array, { name, strength }: DrawnOperation, canvas: Canvas): void {
  const { channels, side, fill, scratch } = canvas;
  const extent = Math.abs(strength);
  const factor = 1 + 0.9 * strength;
  const warp = (by: Warp) => warpImage(image, side, by, fill, scratch);
  const perChannel = (tableOf: (plane: Uint8Array) => Uint8Array) => {
    for (let start = 0; start < image.length; start += side * side) {
      const plane = image.subarray(start, start + side * side);
      applyTable(plane, tableOf(plane));
    }
  };
  switch (name) {
    case 'identity':
      return;
    case 'auto-contrast':
      return perChannel(autoContrastTable);
    case 'equalize':
      return perChannel(equalizeTable);
    case 'invert':
      return applyTable(image, solarizeTable(0));
    case 'solarize':
      return applyTable(image, solarizeTable(Math.round(256 * (1 - extent))));
    case 'posterize':
      return applyTable(image, posterizeTable(8 - Math.round(4 * extent)));
    case 'contrast':
      return applyTable(image, contrastTable(meanGrey(image, channels), factor));
    case 'brightness':
      return applyTable(image, contrastTable(0, factor));
    case 'color':
      return saturate(image, channels, factor);
    case 'sharpness':
      return sharpen(image, side, factor, scratch);
    case 'rotate':
      return warp(rotate(30 * strength));
    case 'shear-x':
      return warp(shearX(0.3 * strength));
    case 'shear-y':
      return warp(shearY(0.3 * strength));
    case 'translate-x':
      return warp(translateX(Math.round(0.45 * side * strength)));
    case 'translate-y':
      return warp(translateY(Math.round(0.45 * side * strength)));
    default:
      return name satisfies never;
  }
}
