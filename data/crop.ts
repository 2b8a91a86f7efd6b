import { z } from 'zod';
import type { Random } from '../core/random.ts';
import type { PlaneSize, PlaneWindow } from './resize.ts';

const shareRange = z
  .tuple([z.number().gt(0).max(1), z.number().gt(0).max(1)])
  .refine(([low, high]) => low <= high, 'expected a range [low, high] with low ≤ high');
const ratioRange = z
  .tuple([z.number().min(0.1).max(10), z.number().min(0.1).max(10)])
  .refine(([low, high]) => low <= high, 'expected a range [low, high] with low ≤ high');

/**
 * A random part of the image at its native resolution, brought to the network's (Szegedy et al. 2015, whose area is
 * 8–100 % and whose aspect 3/4–4/3, the defaults).
 */
export const cropSchema = z.strictObject({
  /** Share of the image's area, drawn evenly. */
  area: shareRange.default([0.08, 1]),
  /**
   * Width ÷ height of the part relative to the whole's, drawn evenly on a logarithmic scale. Relative, because an image
   * that is not square is stretched to the network's square.
   */
  aspect: ratioRange.default([3 / 4, 4 / 3]),
});
export type Crop = z.output<typeof cropSchema>;

/** Draws that may fall outside the image before its middle is taken. */
const attempts = 10;

/** Draws a part of an image. */
export function drawCrop({ area, aspect }: Crop, { height, width }: PlaneSize, random: Random): PlaneWindow {
  const [flattest, widest] = [Math.log(aspect[0]), Math.log(aspect[1])];
  for (let attempt = 0; attempt < attempts; attempt++) {
    const share = area[0] + (area[1] - area[0]) * random.uniform();
    const ratio = Math.exp(flattest + (widest - flattest) * random.uniform());
    const part = {
      height: Math.max(1, Math.round(height * Math.sqrt(share / ratio))),
      width: Math.max(1, Math.round(width * Math.sqrt(share * ratio))),
    };
    if (part.height <= height && part.width <= width)
      return {
        ...part,
        top: random.integer(height - part.height + 1),
        left: random.integer(width - part.width + 1),
      };
  }
  // The largest part in the middle whose aspect is allowed.
  const ratio = Math.min(aspect[1], Math.max(aspect[0], 1));
  const part = {
    height: Math.max(1, Math.round(height * Math.min(1, 1 / ratio))),
    width: Math.max(1, Math.round(width * Math.min(1, ratio))),
  };
  return { ...part, top: (height - part.height) >> 1, left: (width - part.width) >> 1 };
}
