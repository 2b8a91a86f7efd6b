import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../../core/digest.ts';
import { Random } from '../../core/random.ts';
import type { Metrics } from '../../core/trial.ts';
import type { Controller, ObservedTrial } from '../../search/controller.ts';
import { controllerNames, openController } from '../../search/controllers.ts';
import { accuracyAndLatencies } from '../../search/objectives.ts';
import { promotionOrder, type RungResult } from '../../search/promotion.ts';
import { oneOf, type SpaceNode } from '../../search/space.ts';
import { type Assignment, type RungAnswer, SuccessiveHalving } from '../../search/successive-halving.ts';

/** 1,024 points. */
const space: SpaceNode = Object.fromEntries('abcde'.split('').map((tag) => [tag, oneOf([0, 1, 2, 3], tag)]));
const objectives = accuracyAndLatencies(['gpu']);
const rungs = [100, 300, 900];
const rewardOf = (metrics: Metrics): number => (metrics['accuracy'] ?? 0) * (metrics['latencyMs.gpu'] ?? 1) ** -0.07;

/** Larger sums are more accurate and slower; rungs differ by more than networks do, and the lower are noisier. */
function answerFor({ choices }: Assignment, rung: number, seed: number): RungAnswer {
  const sum = Object.values(choices).reduce<number>((total, value) => total + Number(value), 0);
  const random = new Random(seed).child(canonicalJson(choices), rung);
  if (random.child('fate').uniform() < 0.1)
    return random.child('kind').uniform() < 0.5 ? { status: 'failed' } : { status: 'infeasible', isTrained: rung > 0 };
  const accuracy = 0.2 + 0.02 * sum + 0.2 * rung + (0.03 / (rung + 1)) * random.normal();
  return { status: 'ok', metrics: { accuracy, 'latencyMs.gpu': 1 + sum + Number(choices['a']) } };
}

const open = (controller: Controller, over: Partial<ConstructorParameters<typeof SuccessiveHalving>[0]> = {}) =>
  new SuccessiveHalving({ controller, rungs, seed: 0, trials: 40, finalists: 3, objectives, rewardOf, ...over });
const controllerOf = (name: (typeof controllerNames)[number], seed: number, trials = 40) =>
  openController(name, { space, seed, objectives, trials });

interface Begun {
  readonly id: string;
  readonly rung: number;
  readonly assignment: Assignment;
}

/** A search by workers that end in any order. @param check sees every batch of assignments before it begins. */
function run(
  halving: SuccessiveHalving,
  workers: number,
  seed: number,
  check: (batch: readonly Assignment[], results: ReadonlyMap<string, RungAnswer>, underWay: number) => void = () => {},
) {
  const random = new Random(seed).child('ends');
  const log: Begun[] = [];
  const underWay: Begun[] = [];
  const results = new Map<string, RungAnswer>();
  for (;;) {
    const batch = halving.next(workers - underWay.length);
    expect(halving.next(workers - underWay.length), 'asked twice').toEqual(batch);
    check(batch, results, underWay.length);
    for (const assignment of batch) {
      const [id, rung] =
        assignment.kind === 'promotion' ? [assignment.id, assignment.rung] : [`t${halving.size + 1}`, 0];
      expect(halving.begin(id, assignment.choices, rung)).toBe(true);
      const begun = { id, rung, assignment };
      log.push(begun);
      underWay.push(begun);
    }
    const [ended] = underWay.splice(random.integer(Math.max(1, underWay.length)), 1);
    if (!ended) return { log, results };
    const answer = answerFor(ended.assignment, ended.rung, seed);
    results.set(`${ended.id} ${ended.rung}`, answer);
    halving.answer(ended.id, ended.rung, answer);
  }
}

const resultsAt = (results: ReadonlyMap<string, RungAnswer>, rung: number): readonly RungResult[] =>
  [...results].flatMap(([key, answer]) => {
    const [id = '', at] = key.split(' ');
    if (Number(at) !== rung || answer.status !== 'ok') return [];
    const { accuracy = 0, 'latencyMs.gpu': latencyMs = 0 } = answer.metrics;
    return [{ id, losses: [-accuracy, Math.log(latencyMs)], tolerances: [0, 0], reward: rewardOf(answer.metrics) }];
  });
/** In order of the networks' beginning, as ties are broken by it. */
const inOrder = (results: readonly RungResult[]) =>
  results.toSorted((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)));

describe.each(controllerNames)('successive halving around %s', (name) => {
  test.each([1, 3, 8])(
    'promotes only from the top third of a rung as it is then, and never waits, with %i workers',
    (workers) => {
      for (let seed = 0; seed < 4; seed++) {
        const halving = open(controllerOf(name, seed));
        const promoted = new Set<string>();
        const { log, results } = run(halving, workers, seed, (batch, known, underWay) => {
          const isOpen = halving.size + batch.filter(({ kind }) => kind === 'proposal').length < 40;
          if (isOpen) expect(batch).toHaveLength(workers - underWay);
          for (const assignment of batch) {
            if (assignment.kind !== 'promotion') continue;
            const { id, rung, because } = assignment;
            expect(promoted.has(`${id} ${rung}`)).toBe(false);
            promoted.add(`${id} ${rung}`);
            if (because.includes('among the best by reward')) continue;
            const below = inOrder(resultsAt(known, rung - 1));
            const paid = [...known].filter(
              ([key, answer]) =>
                key.endsWith(` ${rung - 1}`) &&
                (answer.status === 'ok' || (answer.status === 'infeasible' && answer.isTrained)),
            ).length;
            expect(promotionOrder(below, Math.floor(paid / 3)).map((result) => result.id)).toContain(id);
          }
        });
        expect(log.filter(({ rung }) => rung === 0)).toHaveLength(40);
        // What is left at the end: everything of every rung's top third went on, and finalists enough reached the top.
        for (const rung of [0, 1]) {
          const went = new Set(log.flatMap((begun) => (begun.rung === rung + 1 ? begun.id : [])));
          const below = inOrder(resultsAt(results, rung));
          for (const { id } of promotionOrder(below, Math.floor(below.length / 3))) expect(went).toContain(id);
          const above = [...results].filter(([key, { status }]) => key.endsWith(` ${rung + 1}`) && status === 'ok');
          expect(above.length).toBeGreaterThanOrEqual(Math.min(3, below.filter(({ id }) => went.has(id)).length - 2));
        }
        expect(halving.top().rung).toBe(2);
        expect(halving.counts()).toEqual([0, 1, 2].map((rung) => log.filter((begun) => begun.rung === rung).length));
      }
    },
  );

  test('decides the same again from the same answers in the same order', () => {
    const [once, again] = [0, 1].map(() => run(open(controllerOf(name, 5)), 4, 5).log);
    expect(again).toEqual(once);
  });
});

/** A controller that only listens. */
function listening() {
  const heard: ObservedTrial[] = [];
  let next = 0;
  const controller: Controller = {
    suggest: (count) => Array.from({ length: count }, (_, index) => ({ x: next + index })),
    observe: (trials) => heard.push(...trials),
    state: () => null,
  };
  const begin = (halving: SuccessiveHalving, metrics: Metrics): string => {
    const id = `t${next}`;
    halving.begin(id, { x: next++ });
    halving.answer(id, 0, { status: 'ok', metrics });
    return id;
  };
  return { controller, heard, begin, latest: () => new Map(heard.map((trial) => [trial.id, trial])) };
}

describe('successive halving', () => {
  test('over one rung is the controller alone', () => {
    const [inside, alone] = [controllerOf('random', 3), controllerOf('random', 3)];
    const { log } = run(open(inside, { rungs: [100], trials: 12 }), 1, 3);
    const proposed = log.map(({ assignment }) => assignment.choices);
    expect(proposed).toEqual(alone.suggest(12));
  });

  test('tells the controller each network once, on the scale of the highest rung, and again as that is known better', () => {
    const { controller, begin, latest } = listening();
    const halving = open(controller, { rungs: [100, 300] });
    const ids = [0.3, 0.4, 0.5].map((accuracy) => begin(halving, { accuracy, 'latencyMs.gpu': 1 }));
    expect([...latest().values()].map(({ metrics }) => metrics?.['accuracy'])).toEqual([0.3, 0.4, 0.5]);
    expect(halving.next(1)).toMatchObject([{ kind: 'promotion', id: ids[2], rung: 1 }]);
    halving.begin(ids[2] ?? '', { x: 2 }, 1);
    expect(latest().get('t2')?.metrics?.['accuracy']).toBe(0.5);
    halving.answer(ids[2] ?? '', 1, { status: 'ok', metrics: { accuracy: 0.8, 'latencyMs.gpu': 1 } });
    const told = latest();
    expect(told.size).toBe(3);
    expect(told.get('t2')).toMatchObject({ fidelity: { examples: 300 }, metrics: { accuracy: 0.8 } });
    expect(told.get('t0')?.fidelity).toMatchObject({ examples: 100 });
    const [low = 0, middle = 0] = ['t0', 't1'].map((id) => told.get(id)?.metrics?.['accuracy'] ?? 0);
    expect(low).toBeGreaterThan(0.5);
    expect(low).toBeLessThan(middle);
    expect(middle).toBeLessThan(0.8);
  });

  test('out of time, it still brings one network to the top, and nothing more', () => {
    const { controller, begin } = listening();
    const halving = open(controller);
    const ids = [0.3, 0.5, 0.4].map((accuracy) => begin(halving, { accuracy, 'latencyMs.gpu': 1 }));
    halving.close('out-of-time');
    for (const rung of [1, 2]) {
      expect(halving.next(4)).toMatchObject([{ kind: 'promotion', id: ids[1], rung }]);
      halving.begin(ids[1] ?? '', { x: 1 }, rung);
      expect(halving.next(4)).toEqual([]);
      halving.answer(ids[1] ?? '', rung, { status: 'ok', metrics: { accuracy: 0.6, 'latencyMs.gpu': 1 } });
    }
    expect(halving.next(4)).toEqual([]);
    expect(halving.top()).toEqual({ rung: 2, ids: [ids[1]] });
  });

  test('a promoted network that diverges or fails does not keep the others from the top', () => {
    const { controller, begin } = listening();
    const halving = open(controller, { rungs: [100, 300], trials: 3, finalists: 1 });
    for (const accuracy of [0.3, 0.5, 0.4]) begin(halving, { accuracy, 'latencyMs.gpu': 1 });
    for (const [id, answer] of [
      ['t1', { status: 'infeasible', isTrained: true }],
      ['t2', { status: 'failed' }],
      ['t0', { status: 'ok', metrics: { accuracy: 0.5, 'latencyMs.gpu': 1 } }],
    ] as const) {
      expect(halving.next(9)).toMatchObject([{ kind: 'promotion', id }]);
      halving.begin(id, {}, 1);
      halving.answer(id, 1, answer);
    }
    expect(halving.next(9)).toEqual([]);
    expect(halving.top()).toEqual({ rung: 1, ids: ['t0'] });
  });

  test('rungs that are none are refused', () => {
    for (const wrong of [[], [100, 150], [300, 100]])
      expect(() => open(controllerOf('random', 0), { rungs: wrong })).toThrow(/each at least twice/);
  });
});
