import { z } from 'zod';
import type { Random } from '../core/random.ts';

/** Random changes of a training image. Each is drawn from the example's own stream, so a resumed run repeats them. */
export const augmentationSchema = z.strictObject({
  /** Mirror left to right half of the time; leave off where the mirror image is another class (digits, signs). */
  flip: z.boolean().default(true),
  /** Largest shift along each axis, as a share of the side; what enters is the channel's mean. */
  shift: z.number().min(0).max(0.5).default(0.125),
  /** Side of a square set to the channel's mean, as a share of the side (DeVries & Taylor 2017); 0 for none. */
  cutout: z.number().min(0).max(1).default(0),
});
export type Augmentation = z.output<typeof augmentationSchema>;

export const defaultAugmentation: Augmentation = { flip: true, shift: 0.125, cutout: 0 };
export const noAugmentation: Augmentation = { flip: false, shift: 0, cutout: 0 };

/** One example's draw, in whole pixels. */
export interface Placement {
  readonly mirrored: boolean;
  readonly right: number;
  readonly down: number;
  /** Top-left corner and side of the square that is blanked; side 0 for none. */
  readonly blank: { readonly row: number; readonly column: number; readonly side: number };
}

/** Draws what happens to one image of `side` pixels. */
export function drawPlacement({ flip, shift, cutout }: Augmentation, side: number, random: Random): Placement {
  const reach = Math.round(shift * side);
  const blankSide = Math.round(cutout * side);
  const within = () => random.integer(2 * reach + 1) - reach;
  return {
    mirrored: flip && random.uniform() < 0.5,
    right: reach > 0 ? within() : 0,
    down: reach > 0 ? within() : 0,
    // The square's centre is anywhere in the image, so it may hang over the edge.
    blank:
      blankSide > 0
        ? {
            row: random.integer(side) - (blankSide >> 1),
            column: random.integer(side) - (blankSide >> 1),
            side: blankSide,
          }
        : { row: 0, column: 0, side: 0 },
  };
}

/**
 * Writes one image, normalised and placed.
 * @param source bytes `[channels, side, side]`.
 * @param tables normalised value of every byte, one table a channel; the mean is 0 after normalisation.
 * @param out floats `[channels, side, side]`.
 */
export function placeImage(
  source: Uint8Array,
  side: number,
  tables: readonly Float32Array[],
  placement: Placement,
  out: Float32Array,
): void {
  const { mirrored, right, down, blank } = placement;
  const step = mirrored ? -1 : 1;
  const from = Math.max(0, right);
  const to = Math.min(side, side + right);
  for (const [channel, table] of tables.entries()) {
    const plane = channel * side * side;
    for (let row = 0; row < side; row++) {
      const at = plane + row * side;
      const sourceRow = row - down;
      if (sourceRow < 0 || sourceRow >= side) {
        out.fill(0, at, at + side);
        continue;
      }
      if (right !== 0) out.fill(0, at, at + side);
      const start = plane + sourceRow * side;
      let read = start + (mirrored ? side - 1 - (from - right) : from - right);
      for (let column = from; column < to; column++, read += step)
        out[at + column] = table[source[read] as number] as number;
    }
    for (let row = Math.max(0, blank.row); row < Math.min(side, blank.row + blank.side); row++)
      out.fill(
        0,
        plane + row * side + Math.max(0, blank.column),
        plane + row * side + Math.min(side, blank.column + blank.side),
      );
  }
}
