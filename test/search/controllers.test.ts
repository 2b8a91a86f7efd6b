import { describe, expect, test } from 'vitest';
import { controllerNames, openController } from '../../search/controllers.ts';
import { oneOf } from '../../search/space.ts';
import { describeController } from '../cases/controller.case.ts';

for (const name of controllerNames)
  describeController(`${name}, opened by name for 40 trials,`, (options) =>
    openController(name, { ...options, trials: 40 }),
  );

describe('a controller by name', () => {
  test.each(controllerNames)('%s says in its state who it is', (name) => {
    const controller = openController(name, { space: { a: oneOf([1, 2], 'a') }, seed: 1, trials: 8 });
    expect(controller.state()).toMatchObject({ controller: name, seed: 1, trials: [] });
  });

  test('what a user gives to start with comes first, whoever searches', () => {
    const space = { a: oneOf([1, 2, 3, 4, 5], 'a'), b: oneOf([1, 2, 3], 'b') };
    const start = [
      { a: 4, b: 2 },
      { a: 1, b: 1 },
    ];
    for (const name of controllerNames)
      expect(openController(name, { space, seed: 3, start, trials: 8 }).suggest(4).slice(0, 2)).toEqual(start);
  });
});
