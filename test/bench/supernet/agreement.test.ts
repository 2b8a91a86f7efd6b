import { describe, expect, it } from 'vitest';
import { estimate, regret, residuals, tau } from '../../../bench/supernet/agreement.ts';
import { Random } from '../../../core/random.ts';

describe('Kendall’s τ', () => {
  it('is the published value where values are equal, too', () => {
    // SciPy's documented example of `kendalltau` (τ-b).
    expect(tau([12, 2, 1, 12, 2], [1, 4, 7, 1, 0])).toBeCloseTo(-0.47140452079103173, 12);
  });

  it('is 1 in one order and −1 in the reverse', () => {
    expect(tau([1, 2, 3, 4], [10, 20, 21, 90])).toBe(1);
    expect(tau([1, 2, 3, 4], [90, 21, 20, 10])).toBe(-1);
  });
});

describe('regret', () => {
  it('is what the best of those put first lacks to the best there is', () => {
    const truth = [0.5, 0.9, 0.7, 0.8];
    const proxy = [4, 1, 3, 2];
    expect([1, 2, 3, 4].map((count) => regret(proxy, truth, count))).toEqual([0.4, 0.9 - 0.7, 0.9 - 0.8, 0]);
  });
});

describe('residuals', () => {
  it('leave nothing of a straight line', () => {
    for (const rest of residuals([1, 3, 5, 9], [0, 1, 2, 4])) expect(rest).toBeCloseTo(0, 12);
  });

  it('do not go with what they are of', () => {
    const over = [1, 2, 4, 8, 16];
    const rest = residuals([3, 1, 4, 1, 5], over);
    expect(rest.reduce((sum, value, index) => sum + value * (over[index] ?? 0), 0)).toBeCloseTo(0, 12);
  });
});

describe('an interval over networks', () => {
  it('of a mean is 1.96 standard errors either way', () => {
    const stream = new Random('values');
    const values = Array.from({ length: 400 }, () => stream.normal());
    const average = (places: readonly number[]): number =>
      places.reduce((sum, place) => sum + (values[place] ?? 0), 0) / places.length;
    const { value, low, high } = estimate(400, average, new Random('test'));
    // Ends of 2,000 resamples vary by a twentieth of their distance; the sample's deviation by as much.
    expect((high - value) * 20).toBeGreaterThan(1.96 * 0.8);
    expect((high - value) * 20).toBeLessThan(1.96 * 1.2);
    expect((value - low) * 20).toBeGreaterThan(1.96 * 0.8);
    expect((value - low) * 20).toBeLessThan(1.96 * 1.2);
  });
});
