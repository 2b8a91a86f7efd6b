import { describe, expect, it } from 'vitest';
import { geometricMean, medianMs, speedup } from '../../../bench/training/interleave.ts';

describe('a speed-up', () => {
  const ours = [
    [10, 11, 12],
    [10, 10, 90],
  ];
  const theirs = [
    [20, 22, 24],
    [40, 40, 40],
  ];

  it('is the ratio of the medians over all steps, which a single slow step does not move', () => {
    expect(medianMs(ours)).toBe(10.5);
    expect(speedup(ours, theirs).ratio).toBe(32 / 10.5);
  });

  it('ranges over the ratios of single rounds', () => {
    expect(speedup(ours, theirs).range).toEqual([2, 4]);
  });

  it('is the inverse with the sides exchanged', () => {
    const { ratio, range } = speedup(ours, theirs);
    const inverse = speedup(theirs, ours);
    expect(inverse.ratio).toBeCloseTo(1 / ratio, 12);
    expect(inverse.range).toEqual([1 / range[1], 1 / range[0]]);
  });

  it('needs both sides in the same rounds', () => {
    expect(() => speedup(ours, theirs.slice(1))).toThrow('expected as many rounds on both sides, got 2 and 1');
  });
});

describe('the geometric mean', () => {
  it('of a ratio and its inverse is 1', () => {
    expect(geometricMean([4, 1 / 4])).toBeCloseTo(1, 12);
    expect(geometricMean([2, 8])).toBeCloseTo(4, 12);
  });
});
