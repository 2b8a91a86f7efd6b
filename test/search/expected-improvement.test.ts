import { describe, expect, test } from 'vitest';
import { Random } from '../../core/random.ts';
import { directionalImprovement, expectedBelow, expectedImprovement } from '../../search/expected-improvement.ts';
import { normalProbability, normalQuantile } from '../../search/normal.ts';
import { hypervolume, nonDominated } from '../../search/pareto.ts';
import { halfRankWarp } from '../../search/half-rank.ts';

const front = [
  [0, 3],
  [1, 1.5],
  [2.5, 0.2],
];
const reference = [4, 4];

describe('expected improvement', () => {
  test('of one objective is the closed form: a certain gain is the gain, an even chance is sd ÷ √(2π)', () => {
    const improvement = expectedImprovement([[2], [5]], [9]);
    expect(improvement([{ mean: 0.5, sd: 1e-6 }])).toBeCloseTo(1.5, 6);
    expect(improvement([{ mean: 2, sd: 1 }])).toBeCloseTo(1 / Math.sqrt(2 * Math.PI), 6);
    expect(expectedBelow(2, { mean: 5, sd: 1e-6 })).toBeCloseTo(0, 9);
  });

  test('of two objectives is the mean gain of volume over draws (5 standard errors)', () => {
    const random = new Random('improvement');
    const before = hypervolume(front, ['min', 'min'], reference);
    for (const [x, y, sdX, sdY] of [
      [0.5, 0.5, 0.3, 0.8],
      [2, 2, 0.5, 0.5],
      [-1, 3.5, 1, 0.2],
    ] as const) {
      const gains = Array.from({ length: 20_000 }, () => {
        const point = [x + sdX * random.normal(), y + sdY * random.normal()];
        return hypervolume([...front, point], ['min', 'min'], reference) - before;
      });
      const mean = gains.reduce((sum, gain) => sum + gain, 0) / gains.length;
      const deviation = Math.sqrt(gains.reduce((sum, gain) => sum + (gain - mean) ** 2, 0) / gains.length);
      const exact = expectedImprovement(
        front,
        reference,
      )([
        { mean: x, sd: sdX },
        { mean: y, sd: sdY },
      ]);
      expect(Math.abs(exact - mean)).toBeLessThan((5 * deviation) / Math.sqrt(gains.length) + 1e-6);
    }
  });

  test('over many directions is in proportion to the exact one', () => {
    const exact = expectedImprovement(front, reference);
    const averaged = directionalImprovement(front, reference, 20_000);
    const ratios = (
      [
        [0.5, 0.5, 0.3],
        [1.5, 1, 0.4],
        [-0.5, 2, 0.5],
      ] as const
    ).map(([x, y, sd]) => {
      const predictions = [
        { mean: x, sd },
        { mean: y, sd },
      ];
      // The constant of two dimensions is π ÷ 4.
      return ((Math.PI / 4) * averaged(predictions)) / exact(predictions);
    });
    for (const ratio of ratios) expect(Math.abs(ratio - 1)).toBeLessThan(0.03);
  });

  test('is the same with dominated points in the front, which add no volume', () => {
    const random = new Random('dominated');
    for (let trial = 0; trial < 50; trial++) {
      const points = Array.from({ length: 6 }, () => [5 * random.uniform(), 5 * random.uniform()]);
      const undominated = nonDominated(points, ['min', 'min']).map((index) => points[index] ?? []);
      const predictions = [
        { mean: 5 * random.uniform(), sd: 1 },
        { mean: 5 * random.uniform(), sd: 0.5 },
      ];
      const expected = expectedImprovement(undominated, [6, 6])(predictions);
      expect(expectedImprovement(points, [6, 6])(predictions)).toBeCloseTo(expected, 12);
    }
  });

  test('beyond the reference there is nothing to gain', () => {
    expect(
      expectedImprovement(
        front,
        reference,
      )([
        { mean: 9, sd: 0.1 },
        { mean: 0, sd: 0.1 },
      ]),
    ).toBeCloseTo(0, 9);
    expect(
      directionalImprovement(
        [],
        [1, 1, 1],
        8,
      )([
        { mean: 9, sd: 0.1 },
        { mean: 0, sd: 1 },
        { mean: 0, sd: 1 },
      ]),
    ).toBeCloseTo(0, 9);
  });
});

describe('the normal distribution', () => {
  test('has its tabulated values, and quantiles invert probabilities', () => {
    expect(normalProbability(1.959964)).toBeCloseTo(0.975, 6);
    expect(normalProbability(-3)).toBeCloseTo(0.0013499, 6);
    for (const p of [0.001, 0.3, 0.5, 0.9]) expect(normalProbability(normalQuantile(p))).toBeCloseTo(p, 7);
  });
});

describe('half-rank warping', () => {
  test('keeps the order, equals equal, and distances among the better half', () => {
    const losses = [3, 1, 2, 1e9, 4, 5, 1e9];
    const warped = halfRankWarp(losses);
    const order = (list: ArrayLike<number>) =>
      [...losses.keys()].sort((a, b) => (list[a] ?? 0) - (list[b] ?? 0) || a - b);
    expect(order(warped)).toEqual(order(losses));
    expect(warped[3]).toBe(warped[6]);
    expect((warped[0] ?? 0) - (warped[2] ?? 0)).toBeCloseTo((warped[2] ?? 0) - (warped[1] ?? 0), 12);
    expect(Math.max(...warped)).toBeLessThan(3);
  });

  test('bears values that are all alike', () => {
    expect([...halfRankWarp([2, 2, 2])]).toEqual([0, 0, 0]);
  });
});
