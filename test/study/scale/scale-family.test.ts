import { describe, expect, it } from 'vitest';
import { type NetworkSpec, specDigest } from '../../../models/spec.ts';
import { countSpec, runBytes } from '../../../study/evaluation/evaluate.ts';
import { exitCodeOf } from '../../../cli/exit.ts';
import { ConfigError, UnreachableLimitError } from '../../../core/errors.ts';
import type { JournalEvent } from '../../../study/journal/events.ts';
import { describePlan, planStudy } from '../../../study/plan.ts';
import { scalingWork } from '../../../study/scale/scalings.ts';
import {
  base,
  issuedIn,
  multipliersOf,
  powerLaw,
  scaledEvents,
  scalingDecisions,
  scalingStudy,
} from '../scaled-study.ts';
import { newFolder, smallStudy, story } from '../small-study.ts';

const usual = powerLaw(1, { depth: 0.9, width: 1.2, resolution: 1.7 });
const accuracyOf = (spec: NetworkSpec) => {
  const { depth, width, resolution } = multipliersOf(spec);
  return 1 / (1 + Math.exp(-(0.3 * Math.log(depth) + 0.5 * Math.log(width) + 0.5 * Math.log(resolution))));
};
const memoryOf = (spec: NetworkSpec, batch: number) => runBytes(countSpec(spec), { batch, precision: 'fp32' });

/** Everything but the base takes five times what twice its latency allows. */
function steep(spec: NetworkSpec): number {
  return specDigest(spec) === specDigest(base) ? 1 : 10;
}

/** Another law for each of two batches. */
function byBatch(spec: NetworkSpec, _: number, { batch }: { readonly batch: number }): number {
  return batch === 1 ? usual(spec) : 3 * usual(spec) ** 0.8;
}

/** Whether an event is the choice of the edge's member of a size. */
function isMember(size: string): (event: JournalEvent) => boolean {
  return ({ type, id }) => type === 'decision' && id === `member edge family ${size}`;
}

/** What was chosen for each size. */
function members(events: readonly JournalEvent[]) {
  return events.flatMap((event) =>
    event.type === 'decision' && event.id.startsWith('member ')
      ? [{ ...(event.value as { heldFrom?: string; delivered: string }), because: event.because }]
      : [],
  );
}

/** The message of a study that no network can serve. */
async function unreachable(changes: object): Promise<string> {
  const error = await scaledEvents(scalingStudy(changes), usual, { accuracyOf }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(UnreachableLimitError);
  expect(exitCodeOf(error)).toBe(4);
  return String(error);
}

describe('two targets', () => {
  const targets = { edge: { device: 'cpu' }, hub: { device: 'cpu', batch: 8 } };
  const family = { edge: ['1x', '4x'], hub: ['1x', '4x'] };
  // Depth costs next to nothing on one, width on the other.
  const laws = {
    1: powerLaw(1, { depth: 0.35, width: 2, resolution: 1.9 }),
    8: powerLaw(3, { depth: 1, width: 0.6, resolution: 1.9 }),
  };
  const latency = (spec: NetworkSpec, _: number, { batch }: { readonly batch: number }) => laws[batch as 1 | 8](spec);

  it('get a triple of their own from one base search', async () => {
    const scale = { trials: 8, round: 2, examples: 100, finalists: 1, seeds: 1 };
    const events = await scaledEvents(scalingStudy({ targets, family, scale }), latency, { accuracyOf });
    expect(issuedIn(events, 'search')).toHaveLength(1);
    expect(events.filter(({ type, id }) => type === 'decision' && id === 'base')).toHaveLength(1);
    const decisions = scalingDecisions(events);
    const edge = decisions.get('edge family 4x')?.finalists[0];
    const hub = decisions.get('hub family 4x')?.finalists[0];
    expect(edge?.depth).toBeGreaterThan(hub?.depth ?? Infinity);
    expect(hub?.width).toBeGreaterThan(edge?.width ?? Infinity);
    expect(edge?.latencyMs).toBeLessThanOrEqual(4);
    expect(hub?.latencyMs).toBeLessThanOrEqual(12);
  });

  it('share what is trained: what one has trained is measured on the other, and trained no second time', async () => {
    const events = await scaledEvents(scalingStudy({ targets, family }), latency, { accuracyOf });
    const trained = issuedIn(events, 'scale');
    expect(new Set(trained.map(({ specDigest: digest }) => digest)).size).toBe(trained.length);
    const forEdge = trained.filter(({ origin }) => origin.target === 'edge').map(({ specDigest: digest }) => digest);
    const onHub = events.flatMap(({ type, id }) => (type === 'measured' && id.startsWith('hub ') ? [id.slice(4)] : []));
    expect(forEdge.length).toBeGreaterThan(2);
    for (const digest of forEdge) expect(onHub).toContain(digest);
  });

  it('get each the one triple that is best there, when asked for a single triple', async () => {
    const scale = { rule: 'single-triple', trials: 8, examples: 100, finalists: 1, seeds: 1 };
    const sizes = { edge: ['1x', '2x', '4x'], hub: ['1x', '2x', '4x'] };
    const events = await scaledEvents(scalingStudy({ targets, family: sizes, scale }), latency, { accuracyOf });
    expect(issuedIn(events, 'search')).toHaveLength(1);
    const triples = (target: string) =>
      events.flatMap((event) =>
        event.type === 'decision' && event.id.startsWith(`scaling ${target} family`) ? [event.because] : [],
      );
    for (const target of ['edge', 'hub']) {
      const grown = triples(target).filter((text) => text.startsWith('(α, β, γ) = '));
      expect(grown).toHaveLength(2);
      expect(new Set(grown).size).toBe(1);
    }
    expect(triples('edge')[1]).not.toBe(triples('hub')[1]);
  });
});

describe('a memory limit', () => {
  const batch = 4;
  // Resolution costs memory and next to no time, so latency alone would spend all of the size on it.
  const latency = powerLaw(1, { depth: 1, width: 2, resolution: 0.4 });

  it('decides where latency would allow more, peak activations of the whole batch counted', async () => {
    const family = { edge: ['1x', '2x'] };
    const free = await scaledEvents(scalingStudy({ targets: { edge: { device: 'cpu', batch } }, family }), latency);
    const bytes = (events: readonly JournalEvent[]) =>
      issuedIn(events, 'scale').map(({ spec }) => memoryOf(spec, batch));
    const memory = Math.round(1.3 * memoryOf(base, batch));
    expect(Math.max(...bytes(free))).toBeGreaterThan(memory);
    const targets = { edge: { device: 'cpu', batch, memory: `${memory}B` } };
    const limited = await scaledEvents(scalingStudy({ targets, family }), latency);
    expect(bytes(limited).length).toBeGreaterThan(2);
    expect(Math.max(...bytes(limited))).toBeLessThanOrEqual(memory);
    const chosen = scalingDecisions(limited).get('edge family 2x')?.finalists ?? [];
    expect(chosen.map(({ digest }) => digest)).not.toEqual([specDigest(base)]);
    // One image alone would have fitted: it is the batch's activations that do not.
    const largest = issuedIn(free, 'scale').toSorted((a, b) => memoryOf(b.spec, batch) - memoryOf(a.spec, batch))[0];
    expect(largest && memoryOf(largest.spec, 1)).toBeLessThan(memory);
  });

  it('holds for fixed rules of the family, too', async () => {
    const scale = { rule: '1.05/1.02/1.3', trials: 2, examples: 100 };
    const trained = async (limits: object) => {
      const targets = { edge: { device: 'cpu', batch, ...limits } };
      const events = await scaledEvents(scalingStudy({ targets, scale }), latency, {
        accuracyOf,
        last: isMember('2x'),
      });
      return Math.max(...issuedIn(events, 'train').map(({ spec }) => memoryOf(spec, batch)));
    };
    const memory = Math.round(1.3 * memoryOf(base, batch));
    expect(await trained({})).toBeGreaterThan(memory);
    expect(await trained({ memory: `${memory}B` })).toBeLessThanOrEqual(memory);
  });
});

describe('finalists', () => {
  it('are trained with fresh seeds before they are chosen, one more of them than go on', async () => {
    const scale = { trials: 6, round: 3, examples: 100, finalists: 2, seeds: 3 };
    const events = await scaledEvents(scalingStudy({ scale }), usual);
    const trained = issuedIn(events, 'scale');
    const [first, again] = [0, 1].map((kind) =>
      trained.filter(({ fidelity: { seed } }) => (kind === 0 ? seed === 0 : seed > 0)),
    );
    const digests = new Set(again?.map(({ specDigest: digest }) => digest));
    expect(digests.size).toBe(3);
    expect(again).toHaveLength(6);
    expect(new Set(again?.map(({ fidelity }) => fidelity.seed))).toEqual(new Set([1, 2]));
    const scores = new Map(
      events.flatMap((event) =>
        event.type === 'outcome' && event.outcome.status === 'ok'
          ? [[event.id, event.outcome.metrics['accuracy'] ?? 0] as const]
          : [],
      ),
    );
    const mean = (digest: string) => {
      const own = [...(first ?? []), ...(again ?? [])].filter((trial) => trial.specDigest === digest);
      return own.reduce((sum, { id }) => sum + (scores.get(id) ?? 0), 0) / own.length;
    };
    const ranked = [...digests].toSorted((a, b) => mean(b) - mean(a));
    const chosen = scalingDecisions(events)
      .get('edge family 2x')
      ?.finalists.map(({ digest }) => digest);
    expect(chosen).toEqual(ranked.slice(0, 2));
  });

  it('are not trained again where nothing is to be chosen', async () => {
    const scale = { trials: 2, round: 2, examples: 100, finalists: 2, seeds: 3 };
    const events = await scaledEvents(scalingStudy({ scale }), usual);
    expect(issuedIn(events, 'scale').every(({ fidelity: { seed } }) => seed === 0)).toBe(true);
  });

  it('near a limit are measured thoroughly, by the percentile of the limit', async () => {
    const asked: (number | undefined)[] = [];
    const targets = { edge: { device: 'cpu', limit: 'p99 < 4ms' } };
    await scaledEvents(scalingStudy({ targets }), (spec, _, target, protocol) => {
      if (protocol === 'thorough') asked.push(target.limit?.percentile);
      return usual(spec);
    });
    // The base's first, whose median sizes are multiples of.
    expect(asked[0]).toBeUndefined();
    expect(asked.slice(1).length).toBeGreaterThan(0);
    for (const percentile of asked.slice(1)) expect(percentile).toBe(99);
  });
});

describe('a family spread over a range', () => {
  const scale = { trials: 4, round: 2, examples: 100, finalists: 2, seeds: 1 };

  it('has members of growing latency and accuracy, from everything trained, sizes between included', async () => {
    const family = { edge: { members: 4, from: '1x', to: '4x' } };
    const events = await scaledEvents(scalingStudy({ family, scale }), usual, { accuracyOf });
    const members = [...scalingDecisions(events).values()].map(({ finalists }) => finalists[0]);
    expect(members.length).toBeGreaterThan(2);
    const accuracies = members.map((member) => {
      const trial = issuedIn(events, 'scale').find(({ specDigest: digest }) => digest === member?.digest);
      return accuracyOf(trial?.spec ?? base);
    });
    for (const [index, member] of members.entries()) {
      expect(member?.latencyMs).toBeLessThanOrEqual(4);
      expect(member?.latencyMs).toBeGreaterThan(members[index - 1]?.latencyMs ?? 0);
      expect(accuracies[index]).toBeGreaterThan(accuracies[index - 1] ?? 0);
    }
    expect(members.at(-1)?.latencyMs).toBeGreaterThan(2.5);
  });

  it('is the same in a study that was stopped in the middle of scaling, for two targets', async () => {
    const targets = { edge: { device: 'cpu' }, hub: { device: 'cpu', batch: 8 } };
    const range = { members: 3, from: '1x', to: '4x' };
    const seeded = { ...scale, finalists: 1, seeds: 2 };
    const config = scalingStudy({ targets, family: { edge: range, hub: range }, scale: seeded });
    const whole = await scaledEvents(config, byBatch);
    const outcomes = whole.filter(({ type }) => type === 'outcome').length;
    for (const stopAt of [4, outcomes - 3]) {
      const folder = newFolder();
      let answered = 0;
      const last = ({ type }: JournalEvent) => type === 'outcome' && ++answered === stopAt;
      await scaledEvents(config, byBatch, { folder, last });
      const resumed = await scaledEvents(config, byBatch, { folder });
      expect(story(resumed)).toEqual(story(whole));
    }
  });

  it('is planned with its smallest member, which is no more the base than the others', async () => {
    const config = smallStudy({ family: { edge: { members: 3, from: '1x', to: '4x' } } });
    expect(await describePlan(config, { json: false })).toMatch(/training FLOPs$/);
    const both = { ...config, budget: { ...config.budget, time: 90_000, deviceHours: 2 } };
    expect(await describePlan(both, { json: false })).toMatch(/ to fit 90 s of wall time and 2 device hours\n/);
    const { scale, train } = (await planStudy(config)).trainings;
    expect(scale.networks).toBe(1 + 3 * scalingWork(config.scale).trainings);
    // A finalist of each, and the fixed rule.
    expect(train.networks).toBe(3 + 3);
  });

  it('may be given in milliseconds', () => {
    const [first, , last] =
      scalingStudy({ family: { edge: { members: 3, from: '1ms', to: '9ms' } } }).family['edge'] ?? [];
    expect(first).toMatchObject({ name: '1-of-3', ms: 1 });
    expect(last).toMatchObject({ name: '3-of-3', ms: 9 });
    expect(scalingStudy({ family: { edge: { members: 3, to: '9x' } } }).family['edge']?.[1]?.multiple).toBeCloseTo(
      3,
      9,
    );
  });

  it.each([
    [
      { members: 3, from: '1x', to: '9ms' },
      /family\.edge: expected multiples at both ends or latencies at both, got 1x to 9ms/,
    ],
    [{ members: 3, from: '4x', to: '2x' }, /family\.edge: expected from below to, got 4x to 2x/],
    [{ members: 1, to: '2x' }, /family/],
    [{ members: 3 }, /family/],
  ])('is refused as %j', (edge, message) => {
    const make = () => scalingStudy({ family: { edge } });
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(message);
  });
});

describe('a larger network that is less accurate than a smaller one', () => {
  const family = { edge: ['1x', '2x', '4x'] };
  const final = { examples: 200, seeds: 2, baselines: [] };

  it('is not delivered: its size holds the smaller one, and says so', async () => {
    // Past twice the latency accuracy falls again.
    const falling = (spec: NetworkSpec) => accuracyOf(spec) - (usual(spec) > 2.2 ? 0.3 : 0);
    const events = await scaledEvents(scalingStudy({ family, final }), usual, {
      accuracyOf: falling,
      last: isMember('4x'),
    });
    const [one, two, four] = members(events);
    expect([one?.heldFrom, two?.heldFrom, four?.heldFrom]).toEqual([undefined, undefined, '2x']);
    expect(four?.delivered).toBe(two?.delivered);
    expect(four?.because).toContain('no finalist is as accurate as the network of 2x');
  });

  it('is delivered where accuracies grow, or differ by noise', async () => {
    const events = await scaledEvents(scalingStudy({ family, final }), usual, { accuracyOf, last: isMember('4x') });
    expect(members(events).map(({ heldFrom }) => heldFrom)).toEqual([undefined, undefined, undefined]);
    const flat = await scaledEvents(scalingStudy({ family, final }), usual, {
      accuracyOf: () => 0.5,
      last: isMember('4x'),
    });
    expect(members(flat).map(({ heldFrom }) => heldFrom)).toEqual([undefined, undefined, undefined]);
  });
});

describe('limits below what the base needs', () => {
  it('of latency end the study before anything is trained, with the nearest named', async () => {
    expect(await unreachable({ family: { edge: ['0.4ms', '2ms'] } })).toMatch(
      /edge: base p50 ≤ 0\.400 ms.*the nearest, t0001, has latency 1\.00 against 0\.400/,
    );
    expect(
      await unreachable({ family: { edge: ['1x', '4x'] }, targets: { edge: { device: 'cpu', limit: 'p90 < 2ms' } } }),
    ).toMatch(/edge: base p90 ≤ 0\.500 ms.*the nearest, t0001, has latency 1\.00 against 0\.500/);
  });

  it('of memory do so, too', async () => {
    expect(await unreachable({ targets: { edge: { device: 'cpu', memory: '1kB' } } })).toMatch(
      /the nearest, t0001, has memory .* against 1\.00e\+3/,
    );
  });

  it('leave sizes that only the scalings miss with the base, by either rule', async () => {
    for (const rule of ['per-size', 'single-triple', 'dWr']) {
      const scale = { rule, trials: 2, round: 2, examples: 100, finalists: 1 };
      const events = await scaledEvents(scalingStudy({ scale }), steep, { accuracyOf });
      const digests = scalingDecisions(events)
        .get('edge family 2x')
        ?.finalists.map(({ digest }) => digest);
      expect(digests, rule).toEqual([specDigest(base)]);
    }
  });
});
