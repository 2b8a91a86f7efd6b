import { describe, expect, it } from 'vitest';
import { averageInto, averagingShare } from '../../training/averaging.ts';

const shareAfter = (update: number) => averagingShare(0.9999, { seen: update, own: 1 });

/** Of the average, over sixteen of the run's batches late in a run, in batches of so many of them. */
function keptOverSixteen(own: number): number {
  const updates = Array.from({ length: 16 / own }, (_, index) => 1000 + (index + 1) * own);
  return updates.reduce((product, seen) => product * averagingShare(0.9, { seen, own }), 1);
}

describe('the moving average', () => {
  it('keeps little of its start at first and the decay asked for in the end', () => {
    expect([1, 2, 10, 90].map(shareAfter)).toEqual([2 / 11, 3 / 12, 11 / 20, 91 / 100]);
    expect(shareAfter(89_980)).toBeLessThan(0.9999);
    expect(shareAfter(89_990)).toBe(0.9999);
    expect(averagingShare(0.5, { seen: 100, own: 1 })).toBe(0.5);
  });

  it.each([0.5, 2, 8])('keeps as much over equal examples in batches of %s times the run’s', (own) => {
    expect(keptOverSixteen(own)).toBeCloseTo(0.9 ** 16, 12);
    expect(keptOverSixteen(1)).toBeCloseTo(0.9 ** 16, 12);
  });

  it('weighs every vector by the shares that followed it', () => {
    const values = [3, -1, 2, 0.5];
    const average = Float32Array.of(7, 0);
    values.forEach((value, index) =>
      averageInto(average, Float32Array.of(value, -value), averagingShare(0.9, { seen: index + 1, own: 1 })),
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
