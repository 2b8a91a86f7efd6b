import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../../core/digest.ts';
import type { Choices } from '../../core/trial.ts';
import { controllerNames, openController } from '../../search/controllers.ts';
import { type EarlierStudy, seriesFor, startFrom } from '../../search/earlier-study.ts';
import { accuracyAndLatencies } from '../../search/objectives.ts';
import { oneOf, type SpaceNode } from '../../search/space.ts';

const objectives = accuracyAndLatencies(['gpu']);
const earlier: EarlierStudy = {
  name: 'earlier',
  trials: [
    { choices: { a: 0 }, metrics: { accuracy: 0.9, 'latencyMs.cpu': 9 } },
    { choices: { a: 1 }, metrics: { accuracy: 0.8, 'latencyMs.cpu': 7 } },
    { choices: { a: 2 }, metrics: { accuracy: 0.7, 'latencyMs.cpu': 8 } },
    { choices: { a: 3 }, metrics: { accuracy: 0.6, 'latencyMs.cpu': 2 } },
    // Over its limit: never trained.
    { choices: { a: 4 }, metrics: { 'latencyMs.cpu': 50 } },
  ],
};

describe('an earlier study', () => {
  test('tells of an objective by the metric of its name, or of a latency by the latencies it has', () => {
    const [accuracy, latency] = objectives.map((objective) => seriesFor(objective, [earlier], 1));
    expect(accuracy).toEqual([{ choices: [{ a: 0 }, { a: 1 }, { a: 2 }, { a: 3 }], losses: [-0.9, -0.8, -0.7, -0.6] }]);
    expect(latency?.[0]?.losses).toEqual([9, 7, 8, 2, 50].map(Math.log));
    expect(seriesFor({ metric: 'bytes', direction: 'min' }, [earlier], 1)).toEqual([]);
    expect(objectives.map((objective) => seriesFor(objective, [earlier], 5).length)).toEqual([0, 1]);
  });

  test('a target of the same name is taken alone', () => {
    const both = {
      ...earlier,
      trials: [{ choices: { a: 0 }, metrics: { accuracy: 0.9, 'latencyMs.cpu': 9, 'latencyMs.gpu': 3 } }],
    };
    expect(seriesFor({ metric: 'latencyMs.gpu', direction: 'min' }, [both], 1)).toEqual([
      { choices: [{ a: 0 }], losses: [3] },
    ]);
  });

  test('gives starts from end to end of its front, studies in turn, no network twice', () => {
    const identity = canonicalJson;
    expect(startFrom([earlier], objectives, 2, identity)).toEqual([{ a: 0 }, { a: 3 }]);
    expect(startFrom([earlier], objectives, 9, identity)).toEqual([{ a: 0 }, { a: 1 }, { a: 3 }]);
    const other = { name: 'other', trials: [{ choices: { a: 7 }, metrics: { accuracy: 1, 'latencyMs.cpu': 1 } }] };
    expect(startFrom([earlier, other, earlier], objectives, 3, identity)).toEqual([{ a: 0 }, { a: 7 }]);
    expect(startFrom([], objectives, 3, identity)).toEqual([]);
  });
});

const tags = ['a', 'b', 'c', 'd', 'e', 'f'];
const space: SpaceNode = Object.fromEntries(tags.map((tag) => [tag, oneOf([0, 1, 2, 3], tag)]));
const sum = (choices: Choices) => tags.reduce((total, tag) => total + Number(choices[tag]), 0);

/** A device whose latency is that of the other, ten times over. */
const found: EarlierStudy = {
  name: 'found',
  trials: Array.from({ length: 40 }, (_, index) => {
    const choices = Object.fromEntries(tags.map((tag, place) => [tag, Math.floor((index * (place + 3)) / 5) % 4]));
    return { choices, metrics: { accuracy: sum(choices) / 18, 'latencyMs.cpu': 10 * Math.exp(sum(choices) / 6) } };
  }),
};

describe('a controller told of an earlier study', () => {
  test.each(controllerNames)('%s begins with its best networks, and alike whenever it is asked', (name) => {
    const open = () => openController(name, { space, seed: 1, objectives, trials: 40, earlier: [found] });
    const first = open().suggest(5);
    expect(first).toEqual(startFrom([found], objectives, 5, canonicalJson));
    expect(open().suggest(5)).toEqual(first);
  });

  test('what a user gives to start with still comes first', () => {
    const mine = { a: 1, b: 1, c: 1, d: 1, e: 1, f: 1 };
    const opened = openController('random', {
      space,
      seed: 1,
      objectives,
      trials: 40,
      start: [mine],
      earlier: [found],
    });
    expect(opened.suggest(6)[0]).toEqual(mine);
  });
});
