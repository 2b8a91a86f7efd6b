import { describe, expect, test } from 'vitest';
import { Random } from '../../core/random.ts';
import type { Choices } from '../../core/trial.ts';
import type { Controller, ObservedTrial } from '../../search/controller.ts';
import { evolutionFor, RegularizedEvolution } from '../../search/evolution.ts';
import { RandomSearch } from '../../search/random.ts';
import { oneOf, type SpaceNode } from '../../search/space.ts';
import { describeController } from '../cases/controller.case.ts';

describeController(
  'regularized evolution',
  (options) => new RegularizedEvolution({ ...options, population: 6, sample: 3 }),
);

const tags = Array.from({ length: 12 }, (_, index) => `x${index}`);
const space: SpaceNode = Object.fromEntries(tags.map((tag) => [tag, oneOf([0, 1, 2, 3], tag)]));
const fidelity = { examples: 1, seed: 0 };

function differences(a: Choices, b: Choices): number {
  return tags.filter((tag) => a[tag] !== b[tag]).length;
}

function observed(id: string, choices: Choices, reward?: number): ObservedTrial {
  return reward === undefined
    ? { id, status: 'infeasible', choices, fidelity }
    : { id, status: 'ok', choices, fidelity, reward };
}

describe('regularized evolution', () => {
  const ones: Choices = Object.fromEntries(tags.map((tag) => [tag, 1]));
  const zeros: Choices = Object.fromEntries(tags.map((tag) => [tag, 0]));

  test('a child is its parent, the best of the sample, with one decision changed', () => {
    const controller = new RegularizedEvolution({ space, seed: 1, population: 2, sample: 2 });
    controller.observe([observed('a', ones, 0.9), observed('b', zeros, 0.1)]);
    for (const child of controller.suggest(10)) expect(differences(child, ones)).toBe(1);
  });

  test('infeasible trials are never parents', () => {
    const controller = new RegularizedEvolution({ space, seed: 1, population: 2, sample: 1 });
    controller.observe([observed('a', ones), observed('b', zeros, -5)]);
    for (const child of controller.suggest(10)) expect(differences(child, zeros)).toBe(1);
  });

  test('the oldest dies, however good it was', () => {
    const controller = new RegularizedEvolution({ space, seed: 1, population: 2, sample: 2 });
    const twos: Choices = Object.fromEntries(tags.map((tag) => [tag, 2]));
    controller.observe([observed('a', ones, 0.9), observed('b', zeros, 0.2), observed('c', twos, 0.1)]);
    for (const child of controller.suggest(10)) expect(differences(child, zeros)).toBe(1);
  });

  test('a sample larger than the population is refused', () => {
    expect(() => new RegularizedEvolution({ space, seed: 1, population: 4, sample: 5 })).toThrow(RangeError);
  });

  test('small budgets get small populations and large ones the published 100 and 25', () => {
    expect(evolutionFor(12)).toEqual({ population: 4, sample: 2 });
    expect(evolutionFor(400)).toEqual({ population: 100, sample: 25 });
    expect(evolutionFor(10_000)).toEqual({ population: 100, sample: 25 });
  });
});

/** Best value found in `trials` noisy evaluations of a separable objective with a hidden optimum. */
function bestOf(controller: Controller, seed: number, trials: number): number {
  const noise = new Random(seed).child('noise');
  const optimum = tags.map((tag) => new Random(seed).child('optimum', tag).integer(4));
  let best = -Infinity;
  for (let id = 0; id < trials; id++) {
    const [choices = {}] = controller.suggest(1);
    const value = -optimum.reduce((sum, goal, index) => sum + Math.abs(goal - Number(choices[`x${index}`])), 0);
    best = Math.max(best, value);
    controller.observe([{ id: `${id}`, status: 'ok', choices, fidelity, reward: value + 0.3 * noise.normal() }]);
  }
  return best;
}

test('evolution beats random search (sign test over 30 problems, false alarm below 1e-3)', () => {
  // Under no difference wins are binomial(30, ½): P(at least 24 wins) = 7.2e-4. Ties count against evolution.
  const wins = Array.from({ length: 30 }, (_, seed) => {
    const evolution = new RegularizedEvolution({ space, seed, ...evolutionFor(80) });
    return bestOf(evolution, seed, 80) > bestOf(new RandomSearch({ space, seed }), seed, 80);
  }).filter(Boolean).length;
  expect(wins).toBeGreaterThanOrEqual(24);
});
