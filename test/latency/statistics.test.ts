import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { geometricInterval, median, orderStatisticInterval, quantile } from '../../latency/statistics.ts';

describe('quantiles', () => {
  it('interpolate between order statistics', () => {
    expect(quantile([1, 2, 4, 8], 0.5)).toBe(3);
    expect(quantile([1, 2, 4, 8], 0.9)).toBeCloseTo(6.8, 12);
    expect(median([9, 1, 5])).toBe(5);
  });

  it('lie within the values and never fall as q grows', () => {
    const values = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 });
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(values, share, share, (drawn, a, b) => {
        const sorted = drawn.toSorted((x, y) => x - y);
        const [lo, hi] = [quantile(sorted, Math.min(a, b)), quantile(sorted, Math.max(a, b))];
        expect(lo).toBeGreaterThanOrEqual(sorted[0] as number);
        expect(hi).toBeLessThanOrEqual(sorted.at(-1) as number);
        expect(lo).toBeLessThanOrEqual(hi * (1 + 1e-12));
      }),
    );
  });
});

describe('the interval of session medians', () => {
  it('is a point when all sessions agree', () => {
    const { centre, lo, hi } = geometricInterval([2, 2, 2], 0.95);
    expect([centre, lo, hi].map((value) => value.toFixed(12))).toEqual(Array(3).fill('2.000000000000'));
  });

  it('scales with the unit of time', () => {
    const [inMs, inS] = [geometricInterval([1, 1.1, 1.3], 0.95), geometricInterval([0.001, 0.0011, 0.0013], 0.95)];
    expect(inMs.hi / inS.hi).toBeCloseTo(1000, 6);
    expect(inMs.centre / inS.centre).toBeCloseTo(1000, 6);
  });

  it('covers the true value as often as it says', () => {
    const random = new Random('coverage');
    const trials = 4000;
    let covered = 0;
    for (let trial = 0; trial < trials; trial++) {
      const { lo, hi } = geometricInterval(
        [0, 0, 0, 0].map(() => Math.exp(0.1 * random.normal())),
        0.95,
      );
      if (lo <= 1 && 1 <= hi) covered++;
    }
    // Binomial with σ = √(.95 · .05 ÷ 4000) = .0034; four of them.
    expect(Math.abs(covered / trials - 0.95)).toBeLessThan(0.014);
  });
});

describe('the interval of a tail from order statistics', () => {
  const ramp = Array.from({ length: 1000 }, (_, index) => index + 1);

  it('surrounds the quantile by the binomial spread', () => {
    // n = 1000, q = .9: B has mean 900 and σ 9.49; ± 1.96 σ is 881.4 … 918.6, and one for x₍ᵤ₎.
    const { lo, hi } = orderStatisticInterval(ramp, 0.9, 0.95);
    expect(lo).toBeGreaterThanOrEqual(880);
    expect(lo).toBeLessThanOrEqual(883);
    expect(hi).toBeGreaterThanOrEqual(918);
    expect(hi).toBeLessThanOrEqual(921);
  });

  it('has no upper bound when the samples are too few for the tail', () => {
    expect(orderStatisticInterval(ramp.slice(0, 100), 0.99, 0.95).hi).toBeNull();
    // .99ⁿ ≤ .025 from n = 368 on.
    expect(orderStatisticInterval(ramp.slice(0, 367), 0.99, 0.95).hi).toBeNull();
    expect(orderStatisticInterval(ramp.slice(0, 368), 0.99, 0.95).hi).toBe(368);
  });
});
