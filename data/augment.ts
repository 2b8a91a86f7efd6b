import { z } from 'zod';
import type { Random } from '../core/random.ts';
import { cropSchema, drawCrop } from './crop.ts';
import type { Dataset } from './dataset.ts';
import { drawPlacement, type Placement } from './placement.ts';
import { applyOperation, drawOperations, randAugmentSchema } from './rand-augment.ts';
import { WindowResizer } from './resize.ts';

/** Largest shift unless a crop places the image already. */
const defaultShift = 0.125;

const keys = {
  /** Mirror left to right half of the time; leave off where the mirror image is another class (digits, signs). */
  flip: z.boolean(),
  /** Largest shift along each axis, as a share of the side; what enters is the channel's mean. */
  shift: z.number().min(0).max(0.5),
  crop: cropSchema,
  randAugment: randAugmentSchema,
  /** Side of a square set to the channel's mean, as a share of the side (DeVries & Taylor 2017); 0 for none. */
  cutout: z.number().min(0).max(1),
  /** α of mixup's Beta(α, α) (Zhang et al. 2018, who use 0.2 to 1); 0 for none. */
  mixup: z.number().min(0).max(64),
  /** α of CutMix's Beta(α, α) (Yun et al. 2019, who use 1); 0 for none. With mixup, a batch takes either by a fair coin. */
  cutmix: z.number().min(0).max(64),
};

/**
 * Random changes of training images. Those of an example are drawn from its own stream and those of a batch from the
 * batch's, so a resumed run repeats them. In this order: crop, RandAugment, mirror and shift, cutout; then mixup or
 * CutMix of the batch.
 */
export const augmentationSchema = z
  .strictObject({
    ...keys,
    flip: keys.flip.default(true),
    /** 0.125 unless given, with a crop 0. */
    shift: keys.shift.optional(),
    crop: keys.crop.optional(),
    randAugment: keys.randAugment.optional(),
    cutout: keys.cutout.default(0),
    mixup: keys.mixup.optional(),
    cutmix: keys.cutmix.optional(),
  })
  .refine(({ crop, shift = 0 }) => crop === undefined || shift === 0, {
    path: ['shift'],
    error: 'expected either a crop or a shift: a crop places the image already',
  })
  .transform(({ shift, ...rest }) => ({ ...rest, shift: shift ?? (rest.crop ? 0 : defaultShift) }));
export type Augmentation = z.output<typeof augmentationSchema>;

/** Some of its keys, to be given instead of an augmentation's own. */
export const augmentationChangeSchema = z.strictObject(keys).partial();
export type AugmentationChange = z.output<typeof augmentationChangeSchema>;

/**
 * An augmentation with some keys replaced; a crop that is given takes the place of the shift.
 * @throws {z.ZodError} when crop and shift are both asked for.
 */
export function changedAugmentation(augmentation: Augmentation, change: AugmentationChange): Augmentation {
  const placed = change.crop ? { shift: 0 } : {};
  return augmentationSchema.parse({ ...augmentation, ...placed, ...change });
}

export const defaultAugmentation: Augmentation = { flip: true, shift: defaultShift, cutout: 0 };
export const noAugmentation: Augmentation = { flip: false, shift: 0, cutout: 0 };

/** Draws and makes the changes of one image. The image it gives is overwritten by the next call. */
export type Augmenter = (stored: Uint8Array, random: Random) => { image: Uint8Array; placement: Placement };

/**
 * What is done to every image of a data set: its bytes are altered (crop, RandAugment), its placement is drawn.
 * Undefined where nothing is asked for. Mixing is of batches, so not here.
 * @param dataset gives the shape of images with a crop; without one they come in at `side` both ways.
 * @param side of the square that comes out.
 */
export function augmenterOf(dataset: Dataset, augmentation: Augmentation, side: number): Augmenter | undefined {
  const { crop, randAugment, flip, shift, cutout } = augmentation;
  const alter = crop || randAugment ? altererOf(dataset, augmentation, side) : undefined;
  if (!alter && !flip && shift === 0 && cutout === 0) return undefined;
  return (stored, random) => {
    const placement = drawPlacement(augmentation, side, random);
    return { image: alter ? alter(stored, random) : stored, placement };
  };
}

function altererOf(
  { channels, height, width, mean }: Dataset,
  { crop, randAugment }: Augmentation,
  side: number,
): (stored: Uint8Array, random: Random) => Uint8Array {
  const bytes = new Uint8ClampedArray(channels * side * side);
  const image = new Uint8Array(bytes.buffer);
  const fill = mean.map((centre) => Math.round(255 * centre));
  const canvas = { channels, side, fill, scratch: new Uint8Array(image.length) };
  const native = { height, width };
  const resizer = new WindowResizer(native, { height: side, width: side });
  return (stored, random) => {
    if (crop) resizer.resize(stored, drawCrop(crop, native, random.child('crop')), bytes);
    else image.set(stored);
    if (randAugment)
      for (const operation of drawOperations(randAugment, random.child('rand-augment')))
        applyOperation(image, operation, canvas);
    return image;
  };
}
