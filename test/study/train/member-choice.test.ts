import { describe, expect, it } from 'vitest';
import { Random } from '../../../core/random.ts';
import {
  freshAccuracy,
  meanOf,
  monotoneHolders,
  type SeedAccuracies,
  seedDeviation,
} from '../../../study/train/member-choice.ts';

const seeds = (...accuracies: number[]): SeedAccuracies => new Map(accuracies.map((value, index) => [index, value]));

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Finalists that are all equally good, .5, seen with a deviation of .02 by each of so many seeds. */
function equals(count: number, each: number, draw: number): readonly SeedAccuracies[] {
  const random = new Random('choice').child(draw);
  return Array.from({ length: count }, () =>
    seeds(...Array.from({ length: each }, () => 0.5 + 0.02 * random.normal())),
  );
}

describe('the accuracy by seeds that did not choose', () => {
  it('is not flattered, where the best mean is: 2000 choices among equals', () => {
    const draws = Array.from({ length: 2000 }, (_, draw) => equals(3, 2, draw));
    const best = average(draws.map((finalists) => Math.max(...finalists.map(meanOf))));
    const fresh = average(draws.map((finalists) => freshAccuracy(finalists) ?? Number.NaN));
    // The largest of three means of two is .846 · .02 ÷ √2 too high on average.
    expect(best - 0.5).toBeGreaterThan(0.011);
    // Four standard errors of .02 ÷ √2 ÷ √2000: a false alarm in 16,000 (the two seeds' answers are no more than that apart).
    expect(Math.abs(fresh - 0.5)).toBeLessThan(4 * (0.02 / Math.sqrt(2) / Math.sqrt(2000)) * Math.sqrt(2));
  });

  it('asks each seed what the others chose', () => {
    // Seed 0 chooses the first, seed 1 the second: each is asked for the other seed.
    expect(freshAccuracy([seeds(0.6, 0.4), seeds(0.5, 0.55)])).toBeCloseTo((0.5 + 0.4) / 2, 12);
  });

  it('is the mean of a finalist without rivals, and unknown from one seed', () => {
    expect(freshAccuracy([seeds(0.6, 0.4)])).toBeCloseTo(0.5, 12);
    expect(freshAccuracy([seeds(0.6), seeds(0.5)])).toBeNull();
    expect(freshAccuracy([])).toBeNull();
  });
});

describe('the deviation between seeds', () => {
  it('is pooled over networks', () => {
    expect(seedDeviation([seeds(0.5, 0.54), seeds(0.7, 0.74), seeds(0.6, 0.64)], 100)).toBeCloseTo(
      0.02 * Math.SQRT2,
      12,
    );
  });

  it('is that of counting where seeds are too few', () => {
    expect(seedDeviation([seeds(0.5), seeds(0.5, 0.5)], 400)).toBeCloseTo(0.025, 12);
  });
});

describe('a family without inversions', () => {
  it('keeps members that grow, or fall within a standard error', () => {
    expect(monotoneHolders([seeds(0.5), seeds(0.49), seeds(0.6)], 0.02)).toEqual([0, 1, 2]);
  });

  it('hands sizes that fall behind the network of the best smaller one', () => {
    expect(monotoneHolders([seeds(0.5), seeds(0.6), seeds(0.55), seeds(0.5), seeds(0.61)], 0.02)).toEqual([
      0, 1, 1, 1, 4,
    ]);
  });

  it('takes an equally good larger network for worse in 16 % of cases: 4 sigma of 2000 draws', () => {
    const replaced = Array.from({ length: 2000 }, (_, draw) => monotoneHolders(equals(2, 2, draw), 0.02)).filter(
      ([, second]) => second === 0,
    ).length;
    expect(Math.abs(replaced / 2000 - 0.159)).toBeLessThan(4 * Math.sqrt((0.159 * 0.841) / 2000));
  });
});
