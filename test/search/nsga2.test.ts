import { describe, expect, test } from 'vitest';
import type { Choices } from '../../core/trial.ts';
import type { ObservedTrial } from '../../search/controller.ts';
import { Nsga2 } from '../../search/nsga2.ts';
import type { Objective } from '../../search/objectives.ts';
import { oneOf, type SpaceNode } from '../../search/space.ts';
import { describeController } from '../cases/controller.case.ts';

describeController('NSGA-II', (options) => new Nsga2({ ...options, population: 6 }));

const tags = Array.from({ length: 12 }, (_, index) => `x${index}`);
const space: SpaceNode = Object.fromEntries(tags.map((tag) => [tag, oneOf([0, 1, 2, 3], tag)]));
const all = (value: number): Choices => Object.fromEntries(tags.map((tag) => [tag, value]));
const fidelity = { examples: 1, seed: 0 };
const objectives: readonly Objective[] = [
  { metric: 'accuracy', direction: 'max' },
  { metric: 'latencyMs', direction: 'min' },
];

function ok(id: string, choices: Choices, accuracy: number, latencyMs: number): ObservedTrial {
  return { id, status: 'ok', choices, fidelity, metrics: { accuracy, latencyMs } };
}

function infeasible(id: string, choices: Choices, violation?: number): ObservedTrial {
  return { id, status: 'infeasible', choices, fidelity, ...(violation === undefined ? {} : { violation }) };
}

/**
 * Shares of the suggestions' decisions that have each value: children take after their parents. Were they drawn at random, a share of the
 * 480 would be .25 with a deviation of .02, so the bounds below (.12, .2 from above, .8) would be met by chance with less than 1e-2 in
 * one and 1e-9 in all of a test's.
 */
function shares(controller: Nsga2): readonly number[] {
  const values = controller.suggest(40).flatMap((choices) => Object.values(choices));
  return [0, 1, 2, 3].map((value) => values.filter((other) => other === value).length / values.length);
}

describe('NSGA-II', () => {
  test('children take after undominated parents, at either end of the front', () => {
    const controller = new Nsga2({ space, seed: 1, population: 2, objectives });
    controller.observe([
      ok('a', all(0), 0.9, 9),
      ok('b', all(1), 0.5, 1),
      ok('c', all(2), 0.4, 5),
      ok('d', all(3), 0.8, 10),
    ]);
    const [zeros = 0, ones = 0, twos = 0, threes = 0] = shares(controller);
    expect(Math.min(zeros, ones)).toBeGreaterThan(0.3);
    expect(Math.max(twos, threes)).toBeLessThan(0.12);
  });

  test('a feasible trial beats every infeasible one, however good', () => {
    const controller = new Nsga2({ space, seed: 1, population: 2, objectives });
    controller.observe([
      { ...ok('a', all(0), 0.99, 0.1), status: 'infeasible', violation: 0.01 },
      ok('b', all(1), 0.1, 90),
      ok('c', all(1), 0.1, 91),
    ]);
    expect(shares(controller)[1]).toBeGreaterThan(0.8);
  });

  test('without feasible trials the lesser violation wins, an unknown one comes last', () => {
    const controller = new Nsga2({ space, seed: 1, population: 2, objectives });
    controller.observe([
      infeasible('a', all(0)),
      infeasible('b', all(1), 0.2),
      infeasible('c', all(2), 0.1),
      infeasible('d', all(3), 5),
    ]);
    const [zeros = 0, ones = 0, twos = 0, threes = 0] = shares(controller);
    expect(ones + twos).toBeGreaterThan(0.8);
    expect(twos).toBeGreaterThan(ones);
    expect(zeros + threes).toBeLessThan(0.2);
  });

  test('a trial whose objective is not known has no children', () => {
    const controller = new Nsga2({ space, seed: 1, population: 2, objectives });
    controller.observe([
      { id: 'a', status: 'ok', choices: all(0), fidelity, metrics: { accuracy: 1 } },
      ok('b', all(1), 0.1, 90),
    ]);
    expect(shares(controller)[1]).toBeGreaterThan(0.8);
  });

  test('a population of one is refused', () => {
    expect(() => new Nsga2({ space, seed: 1, population: 1 })).toThrow(RangeError);
  });
});
