import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { augmentationSchema, noAugmentation } from '../../data/augment.ts';
import { imageTask, type ImageTaskOptions } from '../../training/image-task.ts';
import { resizePlanes } from '../../data/resize.ts';
import type { Batch } from '../../training/trainer.ts';
import { smallDataset } from '../data/small-dataset.ts';

const dataset = smallDataset();
const options: ImageTaskOptions = {
  resolution: 8,
  scoredSplit: 'holdout',
  augmentation: noAugmentation,
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
    expect(task.targets).toEqual([{ name: 'target', dtype: 'float32', shape: [2] }]);
    expect(task.loss).toEqual({ kind: 'softmax-cross-entropy' });
    const [batch] = draw(task.trainingBatches(4, 0), 1);
    expect(batch?.image?.shape).toEqual([4, 3, 8, 8]);
    expect(batch?.target?.shape).toEqual([4, 2]);
  });

  it('feeds every training example once an epoch, each epoch in another order, with its class', () => {
    const batches = draw(imageTask(dataset, options).trainingBatches(4, 0), 5);
    const seen = batches.flatMap(examplesIn);
    const targets = batches.flatMap(({ target }) => Array.from(target?.data ?? [], Number));
    expect(seen.slice(0, 10).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(seen.slice(10).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(seen.slice(10)).not.toEqual(seen.slice(0, 10));
    expect(targets).toEqual(seen.flatMap((example) => (example % 2 === 0 ? [1, 0] : [0, 1])));
  });

  it('depends on the seed', () => {
    const task = imageTask(dataset, options);
    expect(draw(task.trainingBatches(10, 1), 1)).toEqual(draw(task.trainingBatches(10, 1), 1));
    expect(draw(task.trainingBatches(10, 2), 1)).not.toEqual(draw(task.trainingBatches(10, 1), 1));
  });

  const everything = augmentationSchema.parse({ crop: {}, randAugment: {}, cutout: 0.25, mixup: 0.4, cutmix: 1 });
  it.each([
    ['augmented by place', varied],
    ['augmented by everything there is', everything],
  ])('resumes exactly where batches were skipped, %s', (_, augmentation) => {
    const task = imageTask(dataset, { ...options, augmentation });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 23 }), fc.integer({ min: 0, max: 12 }), (batchSize, skip) => {
        const whole = draw(task.trainingBatches(batchSize, 5), skip + 2);
        expect(draw(task.trainingBatches(batchSize, 5, batchSize * skip), 2)).toEqual(whole.slice(skip));
      }),
      { numRuns: 30 },
    );
  });

  it('keeps batches that were handed out: none is written to again', () => {
    const batches = imageTask(dataset, { ...options, augmentation: everything }).trainingBatches(5, 1);
    const [first] = draw(batches, 1);
    const copy = { image: first?.image?.data.slice(), target: first?.target?.data.slice() };
    draw(batches, 3);
    expect({ image: first?.image?.data, target: first?.target?.data }).toEqual(copy);
  });

  it('leaves the batches for running statistics unmixed, and has none of its own where nothing is mixed', () => {
    const mixed = imageTask(dataset, { ...options, augmentation: { ...noAugmentation, mixup: 1 } });
    const plain = imageTask(dataset, options);
    const statistics = mixed.statisticsBatches?.(6, 2, 6);
    expect(statistics && draw(statistics, 2)).toEqual(draw(plain.trainingBatches(6, 2, 6), 2));
    expect(plain.statisticsBatches).toBeUndefined();
  });

  it('mixes images and targets alike: mixup of a batch is its pairs’ mean by the targets', () => {
    const plain = draw(imageTask(dataset, options).trainingBatches(6, 2), 2);
    const augmentation = { ...noAugmentation, mixup: 1 };
    const mixed = draw(imageTask(dataset, { ...options, augmentation }).trainingBatches(6, 2), 2);
    let unequal = 0;
    for (const [index, { image, target }] of mixed.entries())
      for (let row = 0; row < 6; row++) {
        const [own, other] = [row, 5 - row].map(
          (at) => [...(plain[index]?.image?.data ?? [])].slice(at * 192, (at + 1) * 192) as number[],
        );
        const got = [...(image?.data ?? [])].slice(row * 192, (row + 1) * 192) as number[];
        const [shown, shownBy] = [row, 5 - row].map((at) => Number(plain[index]?.target?.data[2 * at + 1]));
        // λ from the first pixel in which the partners differ.
        const at = own?.findIndex((value, place) => value !== other?.[place]) ?? 0;
        const share = ((got[at] ?? 0) - (other?.[at] ?? 0)) / ((own?.[at] ?? 0) - (other?.[at] ?? 0));
        got.forEach((value, place) =>
          expect(value).toBeCloseTo(share * (own?.[place] ?? 0) + (1 - share) * (other?.[place] ?? 0), 3),
        );
        const odd = Number(target?.data[2 * row + 1]);
        expect(odd).toBeCloseTo(share * (shown ?? 0) + (1 - share) * (shownBy ?? 0), 3);
        expect(odd + Number(target?.data[2 * row])).toBeCloseTo(1, 6);
        if (shown !== shownBy) unequal++;
      }
    expect(unequal).toBeGreaterThan(0);
  });

  it('crops from the native resolution: a crop of everything is the resized image', () => {
    const whole = augmentationSchema.parse({ flip: false, crop: { area: [1, 1], aspect: [1, 1] } });
    const at = { ...options, resolution: 5 };
    const [cropped] = draw(imageTask(dataset, { ...at, augmentation: whole }).trainingBatches(10, 0), 1);
    const [resized] = draw(imageTask(dataset, at).trainingBatches(10, 0), 1);
    expect(cropped).toEqual(resized);
    const varying = { ...noAugmentation, crop: augmentationSchema.parse({ crop: {} }).crop };
    const [parts] = draw(imageTask(dataset, { ...at, augmentation: varying }).trainingBatches(10, 0), 1);
    expect(parts?.image?.shape).toEqual([10, 3, 5, 5]);
    expect(parts?.image?.data).not.toEqual(resized?.image?.data);
    expect(parts?.target).toEqual(resized?.target);
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
    const task = imageTask(dataset, { ...options, augmentation: everything });
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
