import { ConfigError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import { imageInput } from '../models/build.ts';
import type { Batch, TrainingTask } from './trainer.ts';
import { type Augmentation, drawPlacement, placeImage, type Placement } from '../data/augment.ts';
import type { Dataset, Split } from '../data/dataset.ts';
import { resizeSplit } from '../data/resize.ts';

export interface ImageTaskOptions {
  /** Side of the square the network takes, in pixels. */
  readonly resolution: number;
  readonly scoredSplit: 'holdout' | 'test';
  readonly augmentation: Augmentation;
  readonly labelSmoothing: number;
}

const asStored: Placement = { mirrored: false, right: 0, down: 0, blank: { row: 0, column: 0, side: 0 } };

/**
 * Image classification on a data set: batches of `image` float32 `[n, channels, side, side]`, normalised
 * by the training split, and `label` int64 `[n]`. Epoch order depends on (seed, epoch), the augmentation of an
 * example on (seed, epoch, example): batches are the same however a run was cut.
 * @throws {ConfigError} when the split to score is empty.
 */
export function imageTask(dataset: Dataset, options: ImageTaskOptions): TrainingTask {
  const { resolution: side, augmentation, labelSmoothing } = options;
  const { channels } = dataset;
  if (dataset.splits[options.scoredSplit].count === 0)
    throw new ConfigError(`${dataset.name}: expected examples in the ${options.scoredSplit} split, got none`);
  const shape = [channels, side, side];
  const values = channels * side * side;
  const tables = dataset.mean.map((mean, channel) =>
    Float32Array.from({ length: 256 }, (_, byte) => (byte / 255 - mean) / (dataset.std[channel] as number)),
  );
  const lazily = (name: 'train' | 'holdout' | 'test') => {
    let resized: Split | undefined;
    return () => (resized ??= resizeSplit(dataset.splits[name], dataset, side));
  };
  const train = lazily('train');
  const scored = lazily(options.scoredSplit);
  const isAugmented = augmentation.flip || augmentation.shift > 0 || augmentation.cutout > 0;

  const batchOf = (split: Split, indices: ArrayLike<number>, placements: readonly Placement[]): Batch => {
    const data = new Float32Array(indices.length * values);
    const labels = new BigInt64Array(indices.length);
    for (let row = 0; row < indices.length; row++) {
      const example = indices[row] as number;
      placeImage(
        split.pixels.subarray(example * values, (example + 1) * values),
        side,
        tables,
        placements[row] ?? asStored,
        data.subarray(row * values, (row + 1) * values),
      );
      labels[row] = BigInt(split.labels[example] as number);
    }
    return {
      [imageInput]: { dtype: 'float32', shape: [indices.length, ...shape], data },
      label: { dtype: 'int64', shape: [indices.length], data: labels },
    };
  };

  return {
    inputs: [{ name: imageInput, dtype: 'float32', shape }],
    targets: [{ name: 'label', dtype: 'int64', shape: [] }],
    loss: { kind: 'softmax-cross-entropy', labelSmoothing },
    *trainingBatches(batchSize, seed, skip = 0) {
      const split = train();
      const random = new Random(seed).child('data');
      let epoch = -1;
      let order: Uint32Array = new Uint32Array();
      for (let next = skip * batchSize; ; next += batchSize) {
        const indices = new Uint32Array(batchSize);
        const placements: Placement[] = [];
        for (let row = 0; row < batchSize; row++) {
          const wanted = Math.floor((next + row) / split.count);
          if (wanted !== epoch) {
            epoch = wanted;
            order = random.child('order', epoch).permutation(split.count);
          }
          const example = order[(next + row) % split.count] as number;
          indices[row] = example;
          if (isAugmented) placements.push(drawPlacement(augmentation, side, random.child('augment', epoch, example)));
        }
        yield batchOf(split, indices, placements);
      }
    },
    *scoringBatches(batchSize) {
      const split = scored();
      for (let start = 0; start < split.count; start += batchSize) {
        const indices = Uint32Array.from({ length: Math.min(batchSize, split.count - start) }, (_, row) => start + row);
        yield batchOf(split, indices, []);
      }
    },
  };
}
