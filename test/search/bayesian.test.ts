import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../../core/digest.ts';
import type { Choices } from '../../core/trial.ts';
import { BayesianSearch } from '../../search/bayesian.ts';
import type { ObservedTrial } from '../../search/controller.ts';
import type { Objective } from '../../search/objectives.ts';
import { hypervolume } from '../../search/pareto.ts';
import { RandomSearch } from '../../search/random.ts';
import { oneOf, type SpaceNode } from '../../search/space.ts';
import { describeController } from '../cases/controller.case.ts';

describeController('Bayesian search', (options) => new BayesianSearch(options));

const fidelity = { examples: 1, seed: 0 };
const objectives: readonly Objective[] = [
  { metric: 'accuracy', direction: 'max' },
  { metric: 'latencyMs', direction: 'min', scale: 'log' },
];
describeController(
  'Bayesian search of two objectives, of which the trials tell nothing,',
  (options) => new BayesianSearch({ ...options, objectives }),
);

const tags = Array.from({ length: 10 }, (_, index) => `x${index}`);
const space: SpaceNode = Object.fromEntries(tags.map((tag) => [tag, oneOf([0, 1, 2, 3], tag)]));

/** Wide networks are accurate, and slow; some decisions interact. */
function metricsOf(choices: Choices): { readonly accuracy: number; readonly latencyMs: number } {
  const x = tags.map((tag) => Number(choices[tag]));
  const width = x.slice(0, 6).reduce((sum, value) => sum + value, 0);
  const clashes = x.filter((value, index) => index > 0 && value === x[index - 1]).length;
  return { accuracy: 1 - Math.exp(-width / 8) - 0.02 * clashes, latencyMs: Math.exp(width / 6 + 0.2 * (x[8] ?? 0)) };
}

function search(
  controller: BayesianSearch | RandomSearch,
  trials: number,
  answer: (choices: Choices) => Pick<ObservedTrial, 'status' | 'metrics' | 'reward' | 'violation'>,
): readonly ObservedTrial[] {
  return Array.from({ length: trials }, (_, id) => {
    const [choices = {}] = controller.suggest(1);
    const trial = { id: `${id}`, choices, fidelity, ...answer(choices) };
    controller.observe([trial]);
    return trial;
  });
}

const volume = (trials: readonly ObservedTrial[]) =>
  hypervolume(
    trials.map(({ metrics }) => [metrics?.['accuracy'] ?? 0, Math.log(metrics?.['latencyMs'] ?? 1)]),
    ['max', 'min'],
    [0, 4],
  );
const measured = (choices: Choices) => ({ status: 'ok', metrics: metricsOf(choices) }) as const;

/** Half of the space is over a limit. */
const limited = (choices: Choices) =>
  Number(choices['x0']) > 1
    ? ({ status: 'infeasible', violation: Number(choices['x0']) / 2 } as const)
    : ({ status: 'ok', reward: Number(choices['x1']) + Number(choices['x2']) - Number(choices['x3']) } as const);

const infeasible = (part: readonly ObservedTrial[]) => part.filter(({ status }) => status === 'infeasible').length;

/** As if the last six decisions changed nothing: 256 networks. */
const identity = (choices: Choices) => canonicalJson(tags.slice(0, 4).map((tag) => choices[tag] ?? null));

describe('Bayesian search', () => {
  test('finds in 40 trials a larger front than random search does in 120 (6 of 8 searches, false alarm below 1e-2)', () => {
    // Were it random search, the larger front would be that of the 40 in one of four cases: P(at least 6 of 8) = 4e-3.
    const wins = [1, 2, 3, 4, 5, 6, 7, 8].filter(
      (seed) =>
        volume(search(new BayesianSearch({ space, seed, objectives }), 40, measured)) >
        volume(search(new RandomSearch({ space, seed }), 120, measured)),
    );
    expect(wins.length).toBeGreaterThanOrEqual(6);
  });

  test('learns what is infeasible: a region that breaks a limit is left alone', () => {
    const trials = search(new BayesianSearch({ space, seed: 1 }), 40, limited);
    // At random half of the last 15 would be: P(at most 2) = 4e-3.
    expect(infeasible(trials.slice(0, 10))).toBeGreaterThanOrEqual(3);
    expect(infeasible(trials.slice(25))).toBeLessThanOrEqual(2);
  });

  test('networks of one identity are asked for once', () => {
    const trials = search(new BayesianSearch({ space, seed: 2, objectives, identity }), 60, (choices) => ({
      status: 'ok',
      metrics: metricsOf(choices),
    }));
    expect(new Set(trials.map(({ choices }) => identity(choices))).size).toBe(60);
  });

  test('suggestions made together differ from each other', () => {
    const controller = new BayesianSearch({ space, seed: 4, objectives });
    search(controller, 20, (choices) => ({ status: 'ok', metrics: metricsOf(choices) }));
    expect(new Set(controller.suggest(8).map((choices) => canonicalJson(choices))).size).toBe(8);
  });

  test('three objectives work as two do', () => {
    const three: readonly Objective[] = [...objectives, { metric: 'bytes', direction: 'min' }];
    const trials = search(new BayesianSearch({ space, seed: 5, objectives: three }), 30, (choices) => ({
      status: 'ok',
      metrics: { ...metricsOf(choices), bytes: Number(choices['x9']) },
    }));
    // At random a quarter of the 20: P(more than half) = 4e-3.
    const late = trials.slice(10).map(({ metrics }) => metrics?.['bytes'] ?? 9);
    expect(late.filter((bytes) => bytes === 0).length).toBeGreaterThan(late.length / 2);
  });
});
