import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { noAugmentation } from '../../data/augment.ts';
import { imageTask, type ImageTaskOptions } from '../../training/image-task.ts';
import { resizePlanes } from '../../data/resize.ts';
import type { Batch } from '../../training/trainer.ts';
import { smallDataset } from '../data/small-dataset.ts';

const dataset = smallDataset();
const options: ImageTaskOptions = {
  resolution: 8,
  scoredSplit: 'holdout',
  augmentation: noAugmentation,
  labelSmoothing: 0.1,
};
const varied = { flip: true, shift: 0.25, cutout: 0.25 };

function draw(batches: Iterator<Batch>, count: number): Batch[] {
  return Array.from({ length: count }, () => batches.next().value as Batch);
}
/** Which examples a batch holds, from the index in the first pixel. */
function examplesIn({ image }: Batch): number[] {
  const values = (image?.data.length ?? 0) / (image?.shape[0] ?? 1);
  return Array.from({ length: image?.shape[0] ?? 0 }, (_, place) =>
    Math.round((Number(image?.data[place * values]) * 0.2 + 0.5) * 255),
  );
}

describe('imageTask', () => {
  it('names tensors without the batch axis and batches with it', () => {
    const task = imageTask(dataset, options);
    expect(task.inputs).toEqual([{ name: 'image', dtype: 'float32', shape: [3, 8, 8] }]);
    expect(task.targets).toEqual([{ name: 'label', dtype: 'int64', shape: [] }]);
    expect(task.loss).toEqual({ kind: 'softmax-cross-entropy', labelSmoothing: 0.1 });
    const [batch] = draw(task.trainingBatches(4, 0), 1);
    expect(batch?.image?.shape).toEqual([4, 3, 8, 8]);
    expect(batch?.label?.shape).toEqual([4]);
    expect(batch?.label?.data).toBeInstanceOf(BigInt64Array);
  });

  it('feeds every training example once an epoch, each epoch in another order, with its label', () => {
    const batches = draw(imageTask(dataset, options).trainingBatches(4, 0), 5);
    const seen = batches.flatMap(examplesIn);
    const labels = batches.flatMap(({ label }) => Array.from(label?.data ?? [], Number));
    expect(seen.slice(0, 10).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(seen.slice(10).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(seen.slice(10)).not.toEqual(seen.slice(0, 10));
    expect(labels).toEqual(seen.map((example) => example % 2));
  });

  it('depends on the seed', () => {
    const task = imageTask(dataset, options);
    expect(draw(task.trainingBatches(10, 1), 1)).toEqual(draw(task.trainingBatches(10, 1), 1));
    expect(draw(task.trainingBatches(10, 2), 1)).not.toEqual(draw(task.trainingBatches(10, 1), 1));
  });

  it('resumes exactly where batches were skipped, augmented too', () => {
    const task = imageTask(dataset, { ...options, augmentation: varied });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 23 }), fc.integer({ min: 0, max: 12 }), (batchSize, skip) => {
        const whole = draw(task.trainingBatches(batchSize, 5), skip + 2);
        expect(draw(task.trainingBatches(batchSize, 5, skip), 2)).toEqual(whole.slice(skip));
      }),
      { numRuns: 30 },
    );
  });

  it('varies an example from epoch to epoch when augmented', () => {
    const task = imageTask(smallDataset({ train: 1, holdout: 1, test: 1 }), { ...options, augmentation: varied });
    const images = draw(task.trainingBatches(1, 0), 6).map(({ image }) => [...(image?.data ?? [])].join());
    expect(new Set(images).size).toBeGreaterThan(3);
  });

  it('varies an example anew in each epoch that a batch spans', () => {
    const one = smallDataset({ train: 1, holdout: 1, test: 1 });
    const task = imageTask(one, { ...options, augmentation: varied });
    const [whole] = draw(task.trainingBatches(6, 0), 1);
    const single = draw(task.trainingBatches(1, 0), 6).flatMap(({ image }) => [...(image?.data ?? [])]);
    expect([...(whole?.image?.data ?? [])]).toEqual(single);
  });

  it('scores every example once and in order, unaugmented, with a short last batch', () => {
    const task = imageTask(dataset, { ...options, augmentation: varied });
    const batches = [...task.scoringBatches(2)];
    expect(batches.map(({ image }) => image?.shape[0])).toEqual([2, 2, 1]);
    expect(batches.flatMap(examplesIn)).toEqual([0, 1, 2, 3, 4]);
  });

  it('scores the test split when asked', () => {
    const task = imageTask(dataset, { ...options, scoredSplit: 'test' });
    expect([...task.scoringBatches(3)].flatMap(examplesIn)).toEqual([0, 1, 2, 3]);
  });

  it('resizes to bytes, then normalises by the mean and deviation of each channel', () => {
    const [batch] = [...imageTask(dataset, { ...options, resolution: 5 }).scoringBatches(5)];
    const bytes = resizePlanes(dataset.splits.holdout.pixels, { height: 8, width: 8 }, { height: 5, width: 5 });
    const expected = Float32Array.from(bytes, (byte, at) => {
      const channel = Math.floor(at / 25) % 3;
      return (byte / 255 - (dataset.mean[channel] ?? 0)) / (dataset.std[channel] ?? 1);
    });
    expect(batch?.image?.data).toEqual(expected);
  });

  it('refuses to score an empty split', () => {
    const empty = smallDataset({ train: 4, holdout: 0, test: 4 });
    expect(() => imageTask(empty, options)).toThrow(ConfigError);
    expect(() => imageTask(empty, options)).toThrow(/small: expected examples in the holdout split, got none/);
  });
});
