import { ConfigError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import { imageInput } from '../models/build.ts';
import type { Batch, TrainingTask } from './trainer.ts';
import { type Augmentation, augmenterOf } from '../data/augment.ts';
import type { Dataset, Split, SplitName } from '../data/dataset.ts';
import { mixBatch, type MixOptions } from '../data/mix.ts';
import { asStored, placeImage, type Placement } from '../data/placement.ts';
import { WindowResizer } from '../data/resize.ts';

/** Name of the target distributions in a batch. */
export const targetInput = 'target';

export interface ImageTaskOptions {
  /** Side of the square the network takes, in pixels. */
  readonly resolution: number;
  readonly scoredSplit: 'holdout' | 'test';
  readonly augmentation: Augmentation;
}

/**
 * Image classification on a data set: batches of `image` float32 `[n, channels, side, side]`, normalised
 * by the training split, and `target` float32 `[n, classes]`, 1 at the label unless examples are mixed. Epoch order
 * depends on (seed, epoch), the augmentation of an example on (seed, epoch, example), how a batch is mixed on
 * (seed, examples before it): batches are the same however a run was cut.
 *
 * Memory: the data set, and of the training and the scored split a copy at `resolution` where that is not the native
 * one; with a crop training images are kept at the native one alone.
 * @throws {ConfigError} when the split to score is empty.
 */
export function imageTask(dataset: Dataset, options: ImageTaskOptions): TrainingTask {
  const { resolution: side, augmentation } = options;
  const { channels, mean, std } = dataset;
  const classes = dataset.classNames.length;
  if (dataset.splits[options.scoredSplit].count === 0)
    throw new ConfigError(`${dataset.name}: expected examples in the ${options.scoredSplit} split, got none`);
  const shape = [channels, side, side];
  const values = channels * side * side;
  const tables = mean.map((centre, channel) =>
    Float32Array.from({ length: 256 }, (_, byte) => (byte / 255 - centre) / (std[channel] as number)),
  );
  const { resized, forget } = resizedSplits(dataset, side);
  const augment = augmenterOf(dataset, augmentation, side);
  const mixing = { mixup: augmentation.mixup ?? 0, cutmix: augmentation.cutmix ?? 0 };

  /** A batch that is filled row by row. */
  const emptyBatch = (count: number) => {
    const images = new Float32Array(count * values);
    const targets = new Float32Array(count * classes);
    const fill = (row: number, label: number, image: Uint8Array, placement: Placement) => {
      placeImage(image, side, tables, placement, images.subarray(row * values, (row + 1) * values));
      targets[row * classes + label] = 1;
    };
    const batch: Batch = {
      [imageInput]: { dtype: 'float32', shape: [count, ...shape], data: images },
      [targetInput]: { dtype: 'float32', shape: [count, classes], data: targets },
    };
    return { images, targets, fill, batch };
  };

  function* trainingBatches(
    batchSize: number,
    seed: number,
    skip: number,
    mixing: MixOptions,
  ): Generator<Batch, never> {
    const { train } = dataset.splits;
    const imageAt = augmentation.crop ? storedImages(train) : resized('train');
    const random = new Random(seed).child('data');
    const examples = shuffledExamples(train.count, random, skip);
    try {
      for (let first = skip; ; first += batchSize) {
        const { images, targets, fill, batch } = emptyBatch(batchSize);
        for (let row = 0; row < batchSize; row++) {
          const { epoch, example } = examples.next().value;
          const stored = imageAt(example);
          const { image, placement } = augment
            ? augment(stored, random.child('augment', epoch, example))
            : { image: stored, placement: asStored };
          fill(row, train.labels[example] as number, image, placement);
        }
        mixBatch({ images, targets, count: batchSize, side }, mixing, random.child('mix', first));
        yield batch;
      }
    } finally {
      // Reached only where the stream is ended: a run in stages of several resolutions needs one copy at a time.
      forget('train');
    }
  }

  return {
    inputs: [{ name: imageInput, dtype: 'float32', shape }],
    targets: [{ name: targetInput, dtype: 'float32', shape: [classes] }],
    loss: { kind: 'softmax-cross-entropy' },
    trainingBatches: (batchSize, seed, skip = 0) => trainingBatches(batchSize, seed, skip, mixing),
    ...(mixing.mixup + mixing.cutmix > 0 && {
      statisticsBatches: (batchSize: number, seed: number, skip = 0) =>
        trainingBatches(batchSize, seed, skip, { mixup: 0, cutmix: 0 }),
    }),
    *scoringBatches(batchSize) {
      const split = dataset.splits[options.scoredSplit];
      const imageAt = resized(options.scoredSplit);
      for (let start = 0; start < split.count; start += batchSize) {
        const count = Math.min(batchSize, split.count - start);
        const { fill, batch } = emptyBatch(count);
        for (let row = 0; row < count; row++)
          fill(row, split.labels[start + row] as number, imageAt(start + row), asStored);
        yield batch;
      }
    },
  };
}

/** Splits at the network's resolution, each begun when it is asked for and not there. */
function resizedSplits(dataset: Dataset, side: number) {
  const made = new Map<SplitName, ImageAt>();
  return {
    resized(name: SplitName): ImageAt {
      const images = made.get(name) ?? resizedImages(dataset.splits[name], dataset, side);
      made.set(name, images);
      return images;
    },
    forget(name: SplitName): void {
      made.delete(name);
    },
  };
}

/** Bytes `[channels, side, side]` of an example. */
type ImageAt = (example: number) => Uint8Array;

function storedImages({ pixels, count }: Split): ImageAt {
  const values = pixels.length / count;
  return (example) => pixels.subarray(example * values, (example + 1) * values);
}

/** Images resized to a square, each when it is first asked for: a short stage sees a part of them. */
function resizedImages(split: Split, { channels, height, width }: Dataset, side: number): ImageAt {
  const stored = storedImages(split);
  if (height === side && width === side) return stored;
  const resizer = new WindowResizer({ height, width }, { height: side, width: side });
  const whole = { top: 0, left: 0, height, width };
  const values = channels * side * side;
  const bytes = new Uint8ClampedArray(split.count * values);
  const isMade = new Uint8Array(split.count);
  return (example) => {
    if (!isMade[example]) {
      resizer.resize(stored(example), whole, bytes.subarray(example * values, (example + 1) * values));
      isMade[example] = 1;
    }
    return new Uint8Array(bytes.buffer, example * values, values);
  };
}

/** Every example once an epoch, each epoch in another order, without end. @param first place to start from. */
function* shuffledExamples(
  count: number,
  random: Random,
  first: number,
): Generator<{ readonly epoch: number; readonly example: number }, never> {
  for (let epoch = Math.floor(first / count), place = first % count; ; epoch++, place = 0) {
    const order = random.child('order', epoch).permutation(count);
    for (; place < count; place++) yield { epoch, example: order[place] as number };
  }
}
