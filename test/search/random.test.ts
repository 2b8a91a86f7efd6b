import { expect, test } from 'vitest';
import { canonicalJson } from '../../core/digest.ts';
import { RandomSearch } from '../../search/random.ts';
import { oneOf, type SpaceNode } from '../../search/space.ts';
import { describeController } from '../cases/controller.case.ts';

describeController('random search', (options) => new RandomSearch(options));

const space: SpaceNode = { x: oneOf([0, 1, 2, 3, 4, 5, 6, 7], 'x') };

test('the given start comes first, in order', () => {
  const start = [{ x: 5 }, { x: 2 }];
  expect(new RandomSearch({ space, seed: 0, start }).suggest(3).slice(0, 2)).toEqual(start);
});

test('points are not repeated while new ones are left', () => {
  const suggestions = new RandomSearch({ space, seed: 0 }).suggest(8);
  expect(new Set(suggestions.map(canonicalJson)).size).toBe(8);
});
