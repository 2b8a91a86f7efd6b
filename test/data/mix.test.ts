import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { mixBatch } from '../../data/mix.ts';

const side = 8;
const plane = side * side;
/** Two channels; every value of image `row` is its own, so that each tells where it came from. */
function batchOf(count: number) {
  const images = Float32Array.from({ length: count * 2 * plane }, (_, at) => at);
  const targets = new Float32Array(count * count);
  for (let row = 0; row < count; row++) targets[row * count + row] = 1;
  return { images, targets, count, side };
}
const imageOf = ({ images }: { images: Float32Array }, row: number) =>
  images.subarray(row * 2 * plane, (row + 1) * 2 * plane);
/** How much of itself a row kept, by its target. */
const keptBy = ({ targets, count }: { targets: Float32Array; count: number }, row: number) =>
  targets[row * count + row] as number;

function mixed(count: number, options: { mixup?: number; cutmix?: number }, seed: number | string) {
  const batch = batchOf(count);
  mixBatch(batch, { mixup: 0, cutmix: 0, ...options }, new Random(seed));
  return batch;
}

/** What the first of a pair kept, over many draws. */
const shares = (options: { mixup?: number; cutmix?: number }, draws: number) =>
  Array.from({ length: draws }, (_, seed) => keptBy(mixed(2, options, seed), 0));
const moments = (values: readonly number[]) => {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, variance: values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length };
};

describe('mixBatch', () => {
  it('leaves a batch alone when nothing is asked for, or when there is no partner', () => {
    expect(mixed(4, {}, 0)).toEqual(batchOf(4));
    expect(mixed(1, { mixup: 1 }, 0)).toEqual(batchOf(1));
    expect(imageOf(mixed(5, { cutmix: 1 }, 0), 2)).toEqual(imageOf(batchOf(5), 2));
  });

  it('mixup: images and targets are the same linear combination of both partners', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 2, max: 7 }), (seed, count) => {
        const [before, after] = [batchOf(count), mixed(count, { mixup: 1 }, seed)];
        for (let row = 0; row < count; row++) {
          const partner = count - 1 - row;
          if (partner === row) continue;
          const share = keptBy(after, row);
          expect(after.targets[row * count + partner]).toBeCloseTo(1 - share, 6);
          imageOf(after, row).forEach((value, at) => {
            const expected =
              share * (imageOf(before, row)[at] as number) + (1 - share) * (imageOf(before, partner)[at] as number);
            expect(Math.abs(value - expected)).toBeLessThan(1e-3);
          });
        }
      }),
      { numRuns: 40 },
    );
  });

  it('CutMix: partners exchange one box, and targets count its pixels', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 2, max: 7 }), (seed, count) => {
        const [before, after] = [batchOf(count), mixed(count, { cutmix: 1 }, seed)];
        for (let row = 0; row < count; row++) {
          const partner = count - 1 - row;
          if (partner === row) continue;
          const foreign = [...imageOf(after, row)].map((value, at) => {
            const own = value === imageOf(before, row)[at];
            // What is not its own is the partner's, at the same place.
            if (!own) expect(value).toBe(imageOf(before, partner)[at]);
            return own ? 0 : 1;
          });
          expect(foreign.slice(0, plane)).toEqual(foreign.slice(plane));
          const area = foreign.slice(0, plane).reduce<number>((sum, one) => sum + one, 0);
          expect(keptBy(after, row)).toBeCloseTo(1 - area / plane, 6);
          expect(after.targets[row * count + partner]).toBeCloseTo(area / plane, 6);
          // The foreign pixels fill a rectangle.
          const places = foreign.slice(0, plane).flatMap((one, at) => (one === 1 ? [at] : []));
          const extent = (axis: (at: number) => number) =>
            places.length === 0 ? 0 : Math.max(...places.map(axis)) - Math.min(...places.map(axis)) + 1;
          expect(extent((at) => at % side) * extent((at) => Math.floor(at / side))).toBe(area);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('keeps the total weight of every image in the batch', () => {
    for (const options of [{ mixup: 0.4 }, { cutmix: 1 }]) {
      const { images, targets } = mixed(6, options, 'weights');
      for (let place = 0; place < 2 * plane; place++) {
        const sum = (values: Float32Array) =>
          Array.from({ length: 6 }, (_, row) => values[row * 2 * plane + place] as number).reduce((a, b) => a + b);
        expect(Math.abs(sum(images) - sum(batchOf(6).images))).toBeLessThan(1e-2);
      }
      for (let shown = 0; shown < 6; shown++) {
        const weight = Array.from({ length: 6 }, (_, row) => targets[row * 6 + shown] as number);
        expect(weight.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
      }
    }
  });

  it('mixup: the share is Beta(α, α) over many draws, to 4.5 sigma', () => {
    const draws = 3000;
    for (const alpha of [0.2, 1, 8]) {
      const { mean, variance } = moments(shares({ mixup: alpha }, draws));
      const expected = 1 / (4 * (2 * alpha + 1));
      expect(Math.abs(mean - 0.5)).toBeLessThan(4.5 * Math.sqrt(expected / draws));
      // Kurtosis of a symmetric beta is below 3, so a squared deviation varies by less than 2 expected².
      expect(Math.abs(variance - expected)).toBeLessThan(4.5 * expected * Math.sqrt(2 / draws));
    }
  });

  it('CutMix: the box covers what its area says less what hangs over the edge, to 4.5 sigma', () => {
    const draws = 3000;
    // A square of `extent` around every pixel in turn, cut off at the edge, for λ in even steps: α of 1 is uniform.
    const steps = 2000;
    let expected = 0;
    for (let step = 0; step < steps; step++) {
      const extent = Math.round(side * Math.sqrt((step + 0.5) / steps));
      let length = 0;
      for (let centre = 0; centre < side; centre++)
        for (let place = centre - Math.floor(extent / 2), end = place + extent; place < end; place++)
          if (place >= 0 && place < side) length++;
      expected += (length / side / side) ** 2 / steps;
    }
    const { mean, variance } = moments(shares({ cutmix: 1 }, draws).map((kept) => 1 - kept));
    expect(Math.abs(mean - expected)).toBeLessThan(4.5 * Math.sqrt(variance / draws));
  });

  it('takes one of the two for a whole batch, each half of the time', () => {
    const draws = 600;
    const isCut = Array.from({ length: draws }, (_, seed) => {
      const { images } = mixed(8, { mixup: 1, cutmix: 1 }, seed);
      return images.every((value) => Number.isInteger(value));
    }).filter(Boolean).length;
    expect(Math.abs(isCut - draws / 2)).toBeLessThan(4.5 * Math.sqrt(draws / 4));
    // mixup of integers by a λ that is no multiple of 1/2^k shows in every pair.
    const { images } = mixed(8, { mixup: 1 }, 1);
    for (let row = 0; row < 8; row++)
      expect(imageOf({ images }, row).some((value) => !Number.isInteger(value))).toBe(true);
  });
});
