import { describe, expect, it } from 'vitest';
import { averageInto, averagingShare } from '../../training/averaging.ts';

describe('the moving average', () => {
  it('keeps little of its start at first and the decay asked for in the end', () => {
    expect([1, 2, 10, 90].map((update) => averagingShare(0.9999, update))).toEqual([2 / 11, 3 / 12, 11 / 20, 91 / 100]);
    expect(averagingShare(0.9999, 89_980)).toBeLessThan(0.9999);
    expect(averagingShare(0.9999, 89_990)).toBe(0.9999);
    expect(averagingShare(0.5, 100)).toBe(0.5);
  });

  it('weighs every vector by the shares that followed it', () => {
    const values = [3, -1, 2, 0.5];
    const average = Float32Array.of(7, 0);
    values.forEach((value, index) =>
      averageInto(average, Float32Array.of(value, -value), averagingShare(0.9, index + 1)),
    );
    const shares = values.map((_, index) => (index + 2) / (index + 11));
    const kept = (from: number) => shares.slice(from).reduce((product, share) => product * share, 1);
    const expected = values.reduce(
      (sum, value, index) => sum + value * (1 - (shares[index] as number)) * kept(index + 1),
      0,
    );
    expect(average[0]).toBeCloseTo(expected + 7 * kept(0), 6);
    expect(average[1]).toBeCloseTo(-expected, 6);
  });
});
