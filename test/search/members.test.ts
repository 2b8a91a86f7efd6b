import { describe, expect, test } from 'vitest';
import { Random } from '../../core/random.ts';
import type { Choices } from '../../core/trial.ts';
import { controllerNames, openController } from '../../search/controllers.ts';
import { choicesKey } from '../../search/history.ts';
import { Members } from '../../search/members.ts';
import { oneOf, sampleChoices, type SpaceNode } from '../../search/space.ts';
import { describeController } from '../cases/controller.case.ts';

/** More options than a word has bits, one decision nested. */
const space: SpaceNode = {
  a: oneOf(
    Array.from({ length: 40 }, (_, index) => index),
    'a',
  ),
  b: oneOf(['x', 'y', 'z'], 'b'),
  c: oneOf(['plain', { inner: oneOf([10, 20], 'inner') }], 'c'),
};
const random = new Random('members');
const list = Array.from({ length: 60 }, (_, index) => sampleChoices(space, random.child(index)));
const members = new Members(space, list);

/** Set options that differ: one that both have otherwise counts twice, one that only one has once. */
function apart(a: Choices, b: Choices): number {
  const tags = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...tags].reduce((sum, tag) => sum + (a[tag] === b[tag] ? 0 : Number(tag in a) + Number(tag in b)), 0);
}

describe('the points that exist', () => {
  test('the nearest is that of a search through all of them, of equals the first', () => {
    for (let index = 0; index < 200; index++) {
      const choices = sampleChoices(space, random.child('asked', index));
      const distances = list.map((member) => apart(member, choices));
      expect(members.nearest(choices)).toBe(list[distances.indexOf(Math.min(...distances))]);
    }
  });

  test('what is taken is left out, unless all is', () => {
    const [first = {}] = list;
    expect(members.nearest(first)).toBe(first);
    const other = members.nearest(first, (member) => choicesKey(member) === choicesKey(first));
    expect(list).toContain(other);
    expect(choicesKey(other)).not.toBe(choicesKey(first));
    expect(members.nearest(first, () => true)).toBe(first);
  });

  test.each(controllerNames)('%s proposes each of them once, and nothing else, then they come again', (name) => {
    const few = new Members(space, list.slice(0, 15));
    const controller = openController(name, { space, seed: 3, members: few, trials: 15 });
    const proposed = Array.from({ length: 15 }, (_, id) => {
      const [choices = {}] = controller.suggest(1);
      const fidelity = { examples: 1, seed: 0 };
      controller.observe([{ id: `${id}`, status: 'ok', choices, fidelity, reward: Number(choices['a']) }]);
      return choices;
    });
    expect(new Set(proposed.map(choicesKey))).toEqual(new Set(few.list.map(choicesKey)));
    expect(few.list.map(choicesKey)).toContain(choicesKey(controller.suggest(1)[0] ?? {}));
  });
});

// The suite's space as a list of its points: a controller must not notice.
for (const name of controllerNames)
  describeController(`${name}, over a list of points,`, (options) => {
    const drawn = Array.from({ length: 400 }, (_, index) =>
      sampleChoices(options.space, new Random('all').child(index)),
    );
    const distinct = [...new Map(drawn.map((choices) => [choicesKey(choices), choices])).values()];
    return openController(name, { ...options, members: new Members(options.space, distinct), trials: 40 });
  });
