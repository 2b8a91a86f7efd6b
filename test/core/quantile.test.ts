import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { median, quantile } from '../../core/quantile.ts';

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
