import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { expectedBest, proxyQuality } from '../../search/proxy-quality.ts';

/** Every choice of `count` of the values. */
function choices(values: readonly number[], count: number): number[][] {
  if (count === 0) return [[]];
  return values.flatMap((value, index) => choices(values.slice(index + 1), count - 1).map((rest) => [value, ...rest]));
}

it('the expected best of a random choice is the mean over all choices', () => {
  const values = [0.3, 0.9, 0.1, 0.9, 0.5];
  for (const count of [1, 2, 3, 4, 5])
    for (const floor of [Number.NEGATIVE_INFINITY, 0.4]) {
      const all = choices(values, count).map((chosen) => Math.max(floor, ...chosen));
      expect(expectedBest(values, count, floor)).toBeCloseTo(all.reduce((sum, best) => sum + best, 0) / all.length, 12);
    }
});

describe('regret', () => {
  const truths = [0.5, 0.6, 0.7, 0.8, 0.9];
  const pairs = (proxies: readonly number[]) =>
    truths.map((truth, index) => ({ proxy: proxies[index] as number, truth }));
  const regrets = (proxies: readonly number[]) => proxyQuality(pairs(proxies), new Random(1)).regrets;

  it('is what the chosen networks lack of the best one, beside what chance would lack', () => {
    const [one, three] = regrets([1, 2, 3, 5, 4]);
    expect(one).toMatchObject({ chosen: 1, value: expect.closeTo(0.1, 12), chance: expect.closeTo(0.2, 12) });
    expect(three).toMatchObject({ chosen: 3, value: 0 });
    const [worst, worstOfThree] = regrets([5, 4, 3, 2, 1]);
    expect(worst?.value).toBeCloseTo(0.4, 12);
    expect(worstOfThree?.value).toBeCloseTo(0.2, 12);
  });

  it('of a proxy that tells nothing is that of chance', () => {
    for (const { value, chance } of regrets([1, 1, 1, 1, 1])) expect(value).toBeCloseTo(chance, 12);
    // The one above the tie is certain, the others are as likely as each other.
    expect(regrets([1, 9, 1, 1, 1])[1]?.value).toBeCloseTo(
      0.9 - choices([0.5, 0.7, 0.8, 0.9], 2).reduce((sum, two) => sum + Math.max(0.6, ...two), 0) / 6,
      12,
    );
  });

  it('has an interval from resampling that is the same for the same seed', () => {
    const random = new Random('pairs');
    const noisy = Array.from({ length: 20 }, () => ({ proxy: random.normal(), truth: random.normal() }));
    const [one] = proxyQuality(noisy, new Random(2)).regrets;
    expect(one?.lo).toBeLessThanOrEqual(one?.value ?? 0);
    expect(one?.hi).toBeGreaterThanOrEqual(one?.value ?? 0);
    expect(proxyQuality(noisy, new Random(2)).regrets[0]).toEqual(one);
  });

  it('is averaged over groups that had a choice, and counts no comparison across them', () => {
    const grouped = [
      { proxy: 1, truth: 0.5, group: 'small' },
      { proxy: 2, truth: 0.4, group: 'small' },
      { proxy: 3, truth: 0.8, group: 'large' },
      { proxy: 4, truth: 0.9, group: 'large' },
      { proxy: 5, truth: 0.2, group: 'alone' },
    ];
    const { regrets: found, kendall } = proxyQuality(grouped, new Random(1));
    expect(found).toHaveLength(1);
    expect(found[0]?.value).toBeCloseTo(0.05, 12);
    expect(kendall?.value).toBe(0);
  });
});

it('looks at three hundred networks of many', () => {
  const random = new Random('many');
  const pairs = Array.from({ length: 700 }, () => ({ proxy: random.normal(), truth: random.normal() }));
  expect(proxyQuality(pairs, new Random(1)).networks).toBe(300);
});
