import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { Random } from '../../core/random.ts';
import { arrange, channelStatistics, divide, missingClasses } from '../../data/split.ts';

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

  it('draws which classes give more where their shares are alike', () => {
    const labels = labelsOf(...Array<number>(100).fill(5));
    const classNames = Array.from({ length: 100 }, (_, label) => String(label));
    const [first, other] = [1, 2].map((seed) =>
      divide(labels, classNames, { ...rules, testShare: 0.15, limit: 50 }, new Random(seed)),
    );
    for (const split of ['train', 'holdout', 'test'] as const) {
      const of = (parts: typeof first) =>
        classNames.filter((_, label) => countOf(parts?.[split] as Uint32Array, labels, label));
      expect(of(first)).not.toEqual(of(other));
      // Half the labels or so are high ones: 4 sigma.
      const high = of(first).filter((name) => Number(name) >= 50).length / of(first).length;
      expect(Math.abs(high - 0.5)).toBeLessThan(4 * Math.sqrt(0.25 / of(first).length));
    }
  });

  it('divides as ever where shares differ', () => {
    expect(
      divide(labelsOf(7, 11, 14), names, { holdout: 0.2, testShare: 0.25, hasTest: false, limit: 14 }, new Random(4)),
    ).toEqual({
      train: Uint32Array.of(4, 5, 6, 9, 12, 14, 17, 18, 22, 25, 28, 29, 30, 31),
      holdout: Uint32Array.of(0, 11, 15, 20, 24),
      test: Uint32Array.of(2, 3, 10, 13, 16, 19, 21, 26),
    });
  });

  it('leaves every class a training example where there are as many', () => {
    const share = fc.constantFrom(0.3, 0.5);
    const sizes = fc.array(fc.integer({ min: 3, max: 10 }), { minLength: 2, maxLength: 12 });
    fc.assert(
      fc.property(sizes, share, share, fc.integer({ min: 1, max: 40 }), (counts, holdout, testShare, limit) => {
        const labels = labelsOf(...counts);
        const parts = divide(labels, counts.map(String), { holdout, testShare, limit, hasTest: false }, new Random(1));
        const classes = new Set(Array.from(parts.train, (index) => labels[index])).size;
        expect(classes).toBe(Math.min(counts.length, parts.train.length));
      }),
      { numRuns: 200 },
    );
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

  it('takes a test split given as a number of examples, and refuses one that leaves nothing', () => {
    const labels = labelsOf(20, 20, 20);
    expect(divide(labels, names, { ...rules, testShare: 9 }, new Random(0)).test.length).toBe(9);
    expect(() => divide(labels, names, { ...rules, testShare: 60 }, new Random(0))).toThrow(/testShare.*60.*got 60/);
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

const split = (...labels: number[]) => ({ labels: Uint16Array.from(labels) });

describe('missing classes', () => {
  it('are told by split, the first few by name', () => {
    const splits = { train: split(0, 1, 2, 3, 4), holdout: split(1, 4), test: split(0) };
    expect(missingClasses(splits, ['a', 'b', 'c', 'd', 'e'])).toBe(
      'data: expected examples of all 5 classes in every split, got no holdout example of 3 (a, c, d); no test example of 4 (b, c, d, …)',
    );
  });

  it('are none of a split that has all, or that there is not', () => {
    expect(missingClasses({ train: split(1, 0), holdout: split(0, 1), test: split() }, ['a', 'b'])).toBeUndefined();
  });
});

describe('arrange', () => {
  it('gives views of each part in its order, without copying', () => {
    const split = { count: 4, pixels: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), labels: Uint16Array.of(10, 11, 12, 13) };
    const parts = { train: Uint32Array.of(2, 0), holdout: Uint32Array.of(3), test: new Uint32Array() };
    const { train, holdout, test } = arrange(split, parts);
    expect(train).toEqual({ count: 2, pixels: Uint8Array.of(5, 6, 1, 2), labels: Uint16Array.of(12, 10) });
    expect(holdout).toEqual({ count: 1, pixels: Uint8Array.of(7, 8), labels: Uint16Array.of(13) });
    expect(test).toEqual({ count: 0, pixels: new Uint8Array(), labels: new Uint16Array() });
    expect([train, holdout].every(({ pixels }) => pixels.buffer === split.pixels.buffer)).toBe(true);
  });

  it('moves every example whatever the parts', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 40 }), fc.nat(40), fc.nat(40), (seed, count, a, b) => {
        const order = new Random(seed).permutation(count);
        const split = {
          count,
          pixels: Uint8Array.from({ length: 3 * count }, (_, at) => Math.floor(at / 3)),
          labels: Uint16Array.from({ length: count }, (_, index) => 100 + index),
        };
        const parts = { train: order.slice(0, a), holdout: order.slice(a, a + b), test: order.slice(a + b, count - 1) };
        const arranged = arrange(split, parts);
        for (const name of ['train', 'holdout', 'test'] as const) {
          expect(Array.from(arranged[name].labels)).toEqual(Array.from(parts[name], (index) => 100 + index));
          expect(Array.from(arranged[name].pixels)).toEqual(Array.from(parts[name]).flatMap((i) => [i, i, i]));
        }
      }),
      { numRuns: 60 },
    );
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
