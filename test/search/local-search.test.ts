import { expect, test } from 'vitest';
import type { Choices } from '../../core/trial.ts';
import { LocalSearch } from '../../search/local-search.ts';
import { oneOf, type SpaceNode } from '../../search/space.ts';
import { describeController } from '../cases/controller.case.ts';

describeController('local search', (options) => new LocalSearch(options));

const tags = Array.from({ length: 8 }, (_, index) => `x${index}`);
const space: SpaceNode = Object.fromEntries(tags.map((tag) => [tag, oneOf([0, 1, 2, 3], tag)]));
const all = (value: number): Choices => Object.fromEntries(tags.map((tag) => [tag, value]));

test('it steps to an untried neighbour of an undominated trial, and every neighbour once', () => {
  const controller = new LocalSearch({ space, seed: 1 });
  const fidelity = { examples: 1, seed: 0 };
  for (let id = 0; id < 11; id++)
    controller.observe([
      {
        id: `${id}`,
        status: 'ok',
        choices: id === 4 ? all(2) : { ...all(0), x0: id % 4, x1: id % 3 },
        fidelity,
        reward: id === 4 ? 9 : 0,
      },
    ]);
  const steps = controller.suggest(24);
  for (const step of steps) expect(tags.filter((tag) => step[tag] !== 2)).toHaveLength(1);
  expect(new Set(steps.map((step) => JSON.stringify(step))).size).toBe(24);
});
