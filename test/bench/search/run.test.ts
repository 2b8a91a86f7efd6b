import { describe, expect, test } from 'vitest';
import { OptimizationJsSearch, type OptimizationJs } from '../../../bench/search/optimization-js.ts';
import { rankSumTest } from '../../../bench/search/rank-sum.ts';
import { volumeAfter } from '../../../bench/search/run.ts';
import type { Losses, Task } from '../../../bench/search/tables.ts';
import { describeController } from '../../cases/controller.case.ts';
import { oneOf } from '../../../search/space.ts';

test('the volume of a run is that of the union of its boxes, as a share of the table’s', () => {
  const task: Task = {
    table: 't',
    device: 'd',
    space: { a: oneOf([1], 'a') },
    networks: 1,
    identity: () => '',
    lossesOf: () => [0, 0],
    reference: [4, 4],
    best: 16,
  };
  const run: readonly Losses[] = [
    [3, 1],
    [1, 3],
    [5, 0],
    [3, 3],
    [2, 2],
  ];
  expect(volumeAfter(run, 1, task)).toBe(3 / 16);
  expect(volumeAfter(run, 4, task)).toBe(5 / 16);
  expect(volumeAfter(run, 5, task)).toBe(6 / 16);
});

describe('the rank-sum test', () => {
  test('gives the textbook’s p-value: 3, 4, 2, 6, 2, 5 against 9, 7, 5, 10, 6, 8 has U = 2', () => {
    // Two-sided p = .0128 by the normal approximation with correction for continuity and ties.
    expect(rankSumTest([9, 7, 5, 10, 6, 8], [3, 4, 2, 6, 2, 5])).toBeCloseTo(0.0064, 3);
    expect(rankSumTest([3, 4, 2, 6, 2, 5], [9, 7, 5, 10, 6, 8])).toBeGreaterThan(0.99);
  });

  test('knows nothing of values that are all alike', () => {
    expect(rankSumTest([1, 1], [1, 1])).toBe(1);
  });
});

const draw = (size: number): number => Math.floor(Math.random() * size);

/** An optimizer with the package's interface: it repeats the best point with one value drawn anew. */
const fake: OptimizationJs = {
  Categorical: (categories) => categories,
  RandomOptimizer: (dimensions) => fake.OMGOptimizer(dimensions),
  OMGOptimizer(dimensions) {
    const sizes = dimensions.map((categories) => (categories as readonly number[]).length);
    let best: readonly number[] | undefined;
    return {
      tell: (points, losses) => void (best = points[losses.indexOf(Math.min(...losses))]),
      ask: () => {
        const changed = draw(sizes.length);
        return sizes.map((size, index) => (best && index !== changed ? (best[index] ?? 0) : draw(size)));
      },
    };
  },
};

describeController(
  'an optimizer of optimization-js',
  (options) => new OptimizationJsSearch(fake, { ...options, method: 'OMGOptimizer' }),
  {
    skip: [
      {
        reason: 'a local method: around one best point new ones run out',
        tests: ['when every trial is infeasible it goes on proposing valid, mostly new choices'],
      },
    ],
  },
);

test('optimization-js gets its random numbers from the trial’s own stream, and Math.random back afterwards', () => {
  const before = Math.random;
  const space = { a: oneOf([0, 1, 2, 3, 4, 5, 6, 7], 'a'), b: oneOf([0, 1, 2, 3, 4, 5, 6, 7], 'b') };
  const make = () => new OptimizationJsSearch(fake, { space, seed: 5, method: 'RandomOptimizer' });
  expect(make().suggest(6)).toEqual(make().suggest(6));
  expect(Math.random).toBe(before);
});
