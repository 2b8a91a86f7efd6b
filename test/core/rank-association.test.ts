import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { kendall, type RankedPair, spearman } from '../../core/rank-association.ts';
import { rankCorrelation } from '../../core/rank-correlation.ts';

const paired = (x: readonly number[], y: readonly number[]): RankedPair[] =>
  x.map((value, index) => ({ x: value, y: y[index] as number }));

const inOrder = (n: number) => kendall(Array.from({ length: n }, (_, index) => ({ x: index, y: index })));

describe('Kendall’s τ-b', () => {
  it('is that of the literature', () => {
    // The example of SciPy's `kendalltau`.
    expect(kendall(paired([12, 2, 1, 12, 2], [1, 4, 7, 1, 0]))?.value).toBeCloseTo(-0.47140452079103173, 12);
    // Without ties: one of six pairs is discordant.
    expect(kendall(paired([1, 2, 3, 4], [1, 2, 4, 3]))?.value).toBeCloseTo(4 / 6, 12);
    expect(kendall(paired([1, 1, 1, 1, 1], [1, 2, 4, 3, 5]))).toBeNull();
  });

  it('compares within groups only', () => {
    const groups = ['a', 'b', 'c'].flatMap((group, level) =>
      [0, 1].map((place) => ({ x: 10 * level + place, y: 10 * level - place, group })),
    );
    // Each group is in the opposite order, all of them together nearly in order.
    expect(kendall(groups)?.value).toBe(-1);
    expect(spearman(groups)?.value).toBeCloseTo(-1, 12);
    expect(kendall(groups.map(({ x, y }) => ({ x, y })))?.value).toBeCloseTo((12 - 3) / 15, 12);
  });

  it('has no interval for four things, and a wide one for five in perfect order', () => {
    expect(inOrder(4)).toEqual({ value: 1, interval: null });
    expect(inOrder(5)?.interval?.lo).toBeGreaterThan(0);
    expect(inOrder(5)?.interval?.lo).toBeLessThan(0.4);
    expect(inOrder(30)?.interval?.lo).toBeGreaterThan(0.95);
  });

  it('has one whose jackknife is what leaving each out by hand gives', () => {
    const random = new Random('jackknife');
    const pairs = Array.from({ length: 40 }, () => ({ x: random.integer(3), y: random.integer(4) }));
    const whole = kendall(pairs);
    const fisher = pairs.map((_, index) => Math.atanh(kendall(pairs.toSpliced(index, 1))?.value ?? 0));
    const mean = fisher.reduce((sum, value) => sum + value, 0) / 40;
    const spread = fisher.reduce((sum, value) => sum + (value - mean) ** 2, 0) * (39 / 40);
    const s = Math.sqrt(Math.max(spread, 0.437 / 36));
    expect(spread).toBeGreaterThan(0.437 / 36); // Or the jackknife was not seen.
    expect(whole?.interval?.hi).toBeCloseTo(Math.tanh(Math.atanh(whole?.value ?? 0) + 1.96 * s), 9);
  });
});

it('Spearman’s ρ is the rank correlation, with an interval around it', () => {
  const [x, y] = [
    [1, 5, 2, 4, 4, 9],
    [2, 3, 1, 7, 8, 8],
  ];
  const found = spearman(paired(x as number[], y as number[]));
  expect(found?.value).toBeCloseTo(rankCorrelation(x as number[], y as number[]), 12);
  expect(found?.interval?.lo).toBeLessThan(found?.value ?? 0);
  expect(found?.interval?.hi).toBeGreaterThan(found?.value ?? 0);
});

/** Correlated normal variables: as they are, in whole deviations, or cut to three values. */
function drawn(random: Random, n: number, correlation: number, ties: 'none' | 'rounded' | 'three'): RankedPair[] {
  return Array.from({ length: n }, () => {
    const a = random.normal();
    const b = correlation * a + Math.sqrt(1 - correlation ** 2) * random.normal();
    const x = ties === 'none' ? a : ties === 'rounded' ? Math.round(a) : Math.sign(Math.trunc(1.5 * a));
    return { x, y: ties === 'none' ? b : Math.round(3 * b) };
  });
}

/*
 * Of 300 intervals at 95 % fewer than 88 % hold the truth once in 10⁷ runs (binomial); seeded, so it does not fail by
 * chance later. Fieller's deviation alone, or a bootstrap of few networks, falls below that here.
 */
describe.each(['none', 'rounded', 'three'] as const)('intervals of variables with ties: %s', (ties) => {
  it.each([0, 0.5, 0.8])('hold the true τ and ρ at correlation %s', (correlation) => {
    const random = new Random('coverage').child(ties, correlation);
    const many = drawn(random, 3000, correlation, ties);
    for (const association of [kendall, spearman]) {
      const truth =
        association === kendall
          ? kendall(many)?.value
          : rankCorrelation(
              many.map(({ x }) => x),
              many.map(({ y }) => y),
            );
      for (const n of [5, 8, 12, 20]) {
        let held = 0;
        for (let run = 0; run < 300; run++) {
          const interval = association(drawn(random, n, correlation, ties))?.interval;
          // Where all of one side is the same, nothing is claimed.
          if (!interval || (interval.lo <= (truth ?? 0) && (truth ?? 0) <= interval.hi)) held++;
        }
        expect(held / 300, `${association.name}, n = ${n}`).toBeGreaterThan(0.88);
      }
    }
  });
});
