import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../../core/digest.ts';
import type { Choices } from '../../core/trial.ts';
import type { Controller, ObservedTrial } from '../../search/controller.ts';
import { oneOf, resolve, type SpaceNode } from '../../search/space.ts';

/** Tests an implementation is excused from, and why; they show as skipped with the reason. */
export interface Excuse {
  readonly reason: string;
  readonly tests: readonly string[];
}

/** 5·4·3·(1 + 2) = 180 points, one decision nested. */
const space: SpaceNode = {
  a: oneOf([0, 1, 2, 3, 4], 'a'),
  b: oneOf(['w', 'x', 'y', 'z'], 'b'),
  c: oneOf([1, 2, 3], 'c'),
  d: oneOf(['plain', { inner: oneOf([10, 20], 'inner') }], 'd'),
};

function rewardOf(choices: Choices): number {
  return Number(choices['a']) + (choices['b'] === 'z' ? 2 : 0) - Math.abs(Number(choices['c']) - 2);
}

function trial(id: number, choices: Choices, status: ObservedTrial['status'] = 'ok'): ObservedTrial {
  const known = { id: `t${id}`, status, choices, fidelity: { examples: 100, seed: 0 } };
  return status === 'ok' ? { ...known, reward: rewardOf(choices) } : known;
}

/** A whole search, one trial at a time as a study does it: issue, then finish. */
function runTrials(controller: Controller, count: number, statusOf: (id: number) => 'ok' | 'infeasible' = () => 'ok') {
  const log: ObservedTrial[] = [];
  const tell = (observed: ObservedTrial): void => {
    controller.observe([observed]);
    log.push(observed);
  };
  for (let id = 0; id < count; id++) {
    const [choices = {}] = controller.suggest(1);
    tell(trial(id, choices, 'issued'));
    tell(trial(id, choices, statusOf(id)));
  }
  return log;
}

/**
 * What every controller promises (search/controller.ts).
 * @param make a fresh controller; with equal options, an equal one.
 */
export function describeController(
  name: string,
  make: (options: { readonly space: SpaceNode; readonly seed: number }) => Controller,
  { skip = [] }: { readonly skip?: readonly Excuse[] } = {},
): void {
  const check = (title: string, body: () => void): void => {
    const excuse = skip.find(({ tests }) => tests.includes(title));
    if (excuse === undefined) test(title, body);
    else test.skip(`${title} (${excuse.reason})`, body);
  };

  describe(`${name} is a controller`, () => {
    check('it answers before it is told anything, with choices of the space', () => {
      const suggestions = make({ space, seed: 1 }).suggest(20);
      expect(suggestions).toHaveLength(20);
      for (const choices of suggestions) expect(() => resolve(space, choices)).not.toThrow();
    });

    check(
      'it answers for trials that were issued before it was asked for any, and for results of trials never issued',
      () => {
        const controller = make({ space, seed: 12 });
        const [foreign = {}] = make({ space, seed: 99 }).suggest(1);
        controller.observe([trial(0, foreign, 'issued')]);
        controller.observe([trial(7, { a: 1, b: 'w', c: 1, d: 0 })]);
        for (const choices of controller.suggest(5)) expect(() => resolve(space, choices)).not.toThrow();
      },
    );

    check('it goes on while nothing it asked for finishes', () => {
      const controller = make({ space, seed: 13 });
      const log: Choices[] = [];
      for (let id = 0; id < 30; id++) {
        const [choices = {}] = controller.suggest(1);
        log.push(choices);
        controller.observe([trial(id, choices, 'issued')]);
      }
      for (const choices of log) expect(() => resolve(space, choices)).not.toThrow();
      expect(new Set(log.map((choices) => canonicalJson(choices))).size).toBeGreaterThanOrEqual(28);
    });

    check(
      'results that come between others, in any order and some never, lead where the same results do at once',
      () => {
        const [mixed, whole] = [make({ space, seed: 14 }), make({ space, seed: 14 })];
        const issued = mixed.suggest(12);
        for (const controller of [mixed, whole])
          controller.observe(issued.map((choices, id) => trial(id, choices, 'issued')));
        const results = issued
          .map((choices, id) => trial(id, choices, id % 5 === 4 ? 'infeasible' : 'ok'))
          .slice(0, 10);
        for (const id of [9, 0, 4, 8, 1, 3, 7, 2, 6, 5]) {
          mixed.observe(results.slice(id, id + 1));
          // Asking in between changes nothing.
          mixed.suggest(2);
        }
        whole.observe(results);
        expect(mixed.suggest(3)).toEqual(whole.suggest(3));
        expect(canonicalJson(mixed.state())).toBe(canonicalJson(whole.state()));
      },
    );

    check('asked for more than the space has, it gives as many as were asked for, all of the space', () => {
      const small: SpaceNode = { a: oneOf([1, 2], 'a'), b: oneOf(['x', 'y', 'z'], 'b') };
      const controller = make({ space: small, seed: 15 });
      for (let round = 0; round < 3; round++) {
        const suggestions = controller.suggest(9);
        expect(suggestions).toHaveLength(9);
        for (const choices of suggestions) expect(() => resolve(small, choices)).not.toThrow();
        const results = suggestions.map((choices, place) => {
          const id = `t${9 * round + place}`;
          return { id, status: 'ok' as const, choices, fidelity: { examples: 1, seed: 0 }, reward: place };
        });
        controller.observe(results);
      }
    });

    check('asked for none, it gives none', () => {
      const controller = make({ space, seed: 16 });
      expect(controller.suggest(0)).toEqual([]);
      runTrials(controller, 12);
      expect(controller.suggest(0)).toEqual([]);
    });

    check('a log that went through JSON, as a journal does, leads to the same suggestions and state', () => {
      const [live, read] = [make({ space, seed: 17 }), make({ space, seed: 17 })];
      const log = runTrials(live, 18, (id) => (id % 6 === 5 ? 'infeasible' : 'ok'));
      read.observe(JSON.parse(JSON.stringify(log)) as ObservedTrial[]);
      expect(read.suggest(4)).toEqual(live.suggest(4));
      expect(canonicalJson(read.state())).toBe(canonicalJson(live.state()));
    });

    check('suggest changes nothing: asked twice it answers the same', () => {
      const controller = make({ space, seed: 2 });
      runTrials(controller, 15);
      const before = canonicalJson(controller.state());
      const first = controller.suggest(4);
      expect(controller.suggest(4)).toEqual(first);
      expect(controller.suggest(2)).toEqual(first.slice(0, 2));
      expect(canonicalJson(controller.state())).toBe(before);
    });

    check('equal seeds search alike and other seeds do not', () => {
      const [first, again, other] = [3, 3, 4].map((seed) => runTrials(make({ space, seed }), 20));
      expect(again).toEqual(first);
      expect(other).not.toEqual(first);
    });

    check('issued, unfinished trials count: the next suggestion is what a larger request gave', () => {
      const controller = make({ space, seed: 5 });
      runTrials(controller, 10);
      const [first = {}, second] = controller.suggest(2);
      controller.observe([trial(10, first, 'issued')]);
      expect(controller.suggest(1)).toEqual([second]);
    });

    check('results may come out of order', () => {
      const [inOrder, outOfOrder] = [make({ space, seed: 6 }), make({ space, seed: 6 })];
      const issued = inOrder.suggest(8);
      for (const controller of [inOrder, outOfOrder])
        controller.observe(issued.map((choices, id) => trial(id, choices, 'issued')));
      const results = issued.map((choices, id) => trial(id, choices));
      for (const result of results) inOrder.observe([result]);
      for (const result of results.toReversed()) outOfOrder.observe([result]);
      expect(outOfOrder.suggest(5)).toEqual(inOrder.suggest(5));
    });

    check('a result told twice is one result, and a correction replaces it', () => {
      const [once, twice] = [make({ space, seed: 7 }), make({ space, seed: 7 })];
      const log = runTrials(once, 12);
      twice.observe(log.map((observed) => (observed.status === 'ok' ? { ...observed, reward: -1e6 } : observed)));
      twice.observe(log);
      twice.observe(log.filter(({ status }) => status === 'ok'));
      expect(twice.suggest(5)).toEqual(once.suggest(5));
      expect(canonicalJson(twice.state())).toBe(canonicalJson(once.state()));
    });

    check('a network that is told again after more examples is one trial, in its first place', () => {
      const [told, again] = [make({ space, seed: 12 }), make({ space, seed: 12 })];
      const log = runTrials(told, 12);
      const finished = log.filter(({ status }) => status === 'ok');
      again.observe(finished.map((observed) => ({ ...observed, reward: 0, fidelity: { examples: 10, seed: 0 } })));
      again.observe(finished.toReversed());
      expect(again.suggest(3)).toEqual(told.suggest(3));
    });

    check('replaying a log continues as the live controller would, and so does its compacted form', () => {
      const [live, replayed, compacted] = [8, 8, 8].map((seed) => make({ space, seed }));
      if (!live || !replayed || !compacted) throw new Error('unreachable');
      const log = runTrials(live, 25, (id) => (id % 4 === 0 ? 'infeasible' : 'ok'));
      replayed.observe(log);
      compacted.observe(log.filter(({ status }) => status !== 'issued'));
      expect(replayed.suggest(5)).toEqual(live.suggest(5));
      expect(compacted.suggest(5)).toEqual(live.suggest(5));
    });

    check('when every trial is infeasible it goes on proposing valid, mostly new choices', () => {
      const controller = make({ space, seed: 9 });
      const log = runTrials(controller, 40, () => 'infeasible');
      const distinct = new Set(log.map(({ choices }) => canonicalJson(choices)));
      expect(distinct.size).toBeGreaterThanOrEqual(38);
      for (const { choices } of log) expect(() => resolve(space, choices)).not.toThrow();
    });

    check('a space of one point is answered with that point, for ever', () => {
      const controller = make({ space: { a: oneOf([7], 'a') }, seed: 10 });
      const log = runTrials(controller, 12);
      expect(new Set(log.map(({ choices }) => canonicalJson(choices)))).toEqual(new Set(['{"a":7}']));
    });

    check('its state is plain data', () => {
      const controller = make({ space, seed: 11 });
      runTrials(controller, 5);
      expect(JSON.parse(canonicalJson(controller.state()))).toEqual(JSON.parse(JSON.stringify(controller.state())));
    });
  });
}
