import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { Random } from '../../core/random.ts';
import { channelStatistics, divide, take } from '../../data/split.ts';

const names = ['a', 'b', 'c'];
const rules = { holdout: 0.1, testShare: 0.2, hasTest: false };
const labelsOf = (...counts: number[]) => Uint16Array.from(counts.flatMap((n, label) => Array(n).fill(label)));
const countOf = (indices: Uint32Array, labels: Uint16Array, label: number) =>
  indices.filter((index) => labels[index] === label).length;

describe('divide', () => {
  it('uses every example once and gives each class its share to within one', () => {
    fc.assert(
      fc.property(
        fc.tuple(fc.integer({ min: 5, max: 60 }), fc.integer({ min: 5, max: 60 }), fc.integer({ min: 5, max: 60 })),
        fc.double({ min: 0.05, max: 0.5, noNaN: true }),
        fc.double({ min: 0.05, max: 0.5, noNaN: true }),
        fc.boolean(),
        (counts, holdout, testShare, hasTest) => {
          const labels = labelsOf(...counts);
          const parts = divide(labels, names, { holdout, testShare, hasTest }, new Random(1));
          const all = [...parts.train, ...parts.holdout, ...parts.test].toSorted((a, b) => a - b);
          expect(all).toEqual(Array.from(labels.keys()));
          if (hasTest) expect(parts.test.length).toBe(0);
          for (const [label, count] of counts.entries()) {
            const share = (parts.test.length * count) / labels.length;
            expect(Math.abs(countOf(parts.test, labels, label) - share)).toBeLessThan(1);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('is decided by the seed', () => {
    const labels = labelsOf(30, 30, 30);
    const [first, again, other] = [1, 1, 2].map((seed) => divide(labels, names, rules, new Random(seed)));
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
  });

  it('keeps hold-out and test when the training data is limited', () => {
    const labels = labelsOf(40, 40, 40);
    const whole = divide(labels, names, rules, new Random(0));
    const limited = divide(labels, names, { ...rules, limit: 12 }, new Random(0));
    expect(limited.train.length).toBe(12);
    expect(names.map((_, label) => countOf(limited.train, labels, label))).toEqual([4, 4, 4]);
    expect(limited.holdout).toEqual(whole.holdout);
    expect(limited.test).toEqual(whole.test);
  });

  it('takes a hold-out given as a number of examples', () => {
    expect(divide(labelsOf(20, 20, 20), names, { ...rules, holdout: 7 }, new Random(0)).holdout.length).toBe(7);
  });

  it('refuses a class with too few examples, by name', () => {
    const labels = labelsOf(20, 2, 20);
    expect(() => divide(labels, names, rules, new Random(0))).toThrow(ConfigError);
    expect(() => divide(labels, names, rules, new Random(0))).toThrow(/3 or more examples.*got 2 of b/);
  });

  it('refuses an empty class, by name', () => {
    const training = { ...rules, holdout: 0, hasTest: true };
    expect(() => divide(labelsOf(20, 20), names, training, new Random(0))).toThrow(
      /an example of every class, got 0 of c/,
    );
  });

  it('refuses a hold-out larger than what is left to train on', () => {
    expect(() => divide(labelsOf(9, 9, 9), names, { ...rules, holdout: 20 }, new Random(0))).toThrow(/at most half/);
  });
});

describe('take', () => {
  it('copies pixels with their labels', () => {
    const split = { count: 3, pixels: Uint8Array.of(1, 2, 3, 4, 5, 6), labels: Uint16Array.of(7, 8, 9) };
    const taken = { count: 2, pixels: Uint8Array.of(5, 6, 1, 2), labels: Uint16Array.of(9, 7) };
    expect(take(split, Uint32Array.of(2, 0))).toEqual(taken);
  });
});

describe('channelStatistics', () => {
  it('gives mean and deviation of each channel in [0, 1]', () => {
    const pixels = Uint8Array.of(0, 255, 51, 51, 255, 0, 51, 51);
    const { mean, std } = channelStatistics({ count: 2, pixels, labels: new Uint16Array(2) }, 2);
    expect(mean).toEqual([0.5, 0.2]);
    expect(std[0]).toBe(0.5);
    // A constant channel would divide by zero.
    expect(std[1]).toBe(1);
  });
});
