import { beforeAll, describe, expect, it } from 'vitest';
import { InterruptedError } from '../../../core/errors.ts';
import type { EventOf, JournalEvent } from '../../../study/journal/events.ts';
import { explainTrial } from '../../../study/explain.ts';
import { latencyTolerance } from '../../../study/search/search-loop.ts';
import { rungsOf, searchTrainings } from '../../../study/study-file.ts';
import { summarise } from '../../../study/deliver/summarise.ts';
import { eventsOf, killedAfter, newFolder, runFake, smallStudy, story } from '../small-study.ts';

const rungs = [100, 200, 400];
const study = smallStudy({
  search: { controller: 'evolution', scale: 'tiny', trials: 12, round: 3, examples: rungs, finalists: 2, seeds: 2 },
});

const endsSearch = (event: JournalEvent) =>
  event.type === 'phase' && event.id === 'search' && event.action === 'finished';

/** Runs or resumes the search alone; what was trained, in order. */
async function search(folder: string, options: { slots?: number; inFlight?: number } = {}): Promise<readonly string[]> {
  const controller = new AbortController();
  const trained: string[] = [];
  const onEvent = (event: JournalEvent) => {
    if (endsSearch(event)) controller.abort();
    if (event.type === 'outcome') trained.push(event.id);
  };
  await expect(runFake(study, folder, { ...options, signal: controller.signal, onEvent })).rejects.toThrow(
    InterruptedError,
  );
  return trained;
}

const searchEvents = (folder: string): readonly JournalEvent[] => {
  const events = eventsOf(folder);
  return events.slice(0, events.findIndex(endsSearch) + 1);
};
const isOutcome = ({ type }: JournalEvent): boolean => type === 'outcome';
const issued = (events: readonly JournalEvent[]) =>
  events.filter((event): event is EventOf<'issued'> => event.type === 'issued');

describe.each([
  { where: 'in rounds', one: { slots: 1 }, many: { slots: 3 } },
  { where: 'rolling on a fleet', one: { slots: 1, inFlight: 1 }, many: { slots: 3, inFlight: 3 } },
])('a search over rungs, $where', ({ where, one, many }) => {
  const [alone, together] = [newFolder(), newFolder()];
  beforeAll(async () => {
    await search(alone, one);
    await search(together, many);
  });

  it('trains new networks at the lowest rung and promotes some to each higher one, saying why', () => {
    for (const folder of [alone, together]) {
      const trials = issued(searchEvents(folder)).filter(({ origin }) => origin.by !== 'finalists');
      const at = (examples: number) => trials.filter(({ fidelity }) => fidelity.examples === examples);
      expect(at(100)).toHaveLength(12);
      // Half of a rung goes on, and some that were in the better half once.
      expect(at(200).length).toBeGreaterThanOrEqual(6);
      expect(at(200).length).toBeLessThan(12);
      expect(at(400).length).toBeGreaterThanOrEqual(3);
      expect(at(400).length).toBeLessThan(at(200).length);
      for (const [rung, examples] of [200, 400].entries())
        for (const { specDigest, origin } of at(examples)) {
          const below = at(rungs[rung] ?? 0).find((trial) => trial.specDigest === specDigest);
          expect(below).toBeDefined();
          expect(origin.by).toBe('successive halving');
          expect(origin.because).toMatch(/^t\d{4} goes on: /);
        }
    }
  });

  it('chooses the base and trains its finalists at the top rung', () => {
    for (const folder of [alone, together]) {
      const events = searchEvents(folder);
      const base = events.flatMap((event) =>
        event.type === 'decision' && event.id === 'base' ? [(event.value as { trial: string }).trial] : [],
      );
      expect(issued(events).find(({ id }) => id === base[0])?.fidelity.examples).toBe(400);
      const finalists = issued(events).filter(({ origin }) => origin.by === 'finalists');
      expect(finalists).toHaveLength(2);
      for (const { fidelity } of finalists) expect(fidelity).toEqual({ examples: 400, seed: 1 });
    }
  });

  /** What was decided, and what was answered, each in order: while one is decided on a fleet another may be answered, or right after. */
  const told = (folder: string): object => {
    const events = searchEvents(folder);
    if (where === 'in rounds') return story(events);
    return [story(events.filter((event) => !isOutcome(event))), story(events.filter(isOutcome))];
  };

  it('killed anywhere and resumed with one worker, goes on exactly as the uninterrupted one and repeats nothing', async () => {
    const whole = searchEvents(alone);
    const outcomes = whole.flatMap((event, index) => (event.type === 'outcome' ? [[event.id, index] as const] : []));
    for (let count = 3; count < whole.length; count += 5) {
      const copy = killedAfter(alone, count);
      const trained = await search(copy, one);
      expect(told(copy), `killed after event ${count}`).toEqual(told(alone));
      expect(trained).toEqual(outcomes.flatMap(([id, index]) => (index >= count ? [id] : [])));
    }
  });

  it('killed anywhere with three workers, decides again what the journal says, and leaves no trial behind', async () => {
    const whole = searchEvents(together);
    for (let count = 3; count < whole.length; count += 5) {
      const copy = killedAfter(together, count);
      await search(copy, many);
      const events = searchEvents(copy);
      expect(story(events.slice(0, count - 1))).toEqual(story(whole.slice(0, count - 1)));
      // A decision made otherwise would issue another trial instead, and never ask for this one again.
      const answered = new Set(events.flatMap((event) => (event.type === 'outcome' ? [event.id] : [])));
      for (const { id } of issued(events)) expect(answered, `killed after event ${count}`).toContain(id);
      expect(issued(events).filter(({ fidelity }) => fidelity.examples === 100)).toHaveLength(12);
    }
  });

  it(`is decided ${where === 'in rounds' ? 'alike whatever the number of workers' : 'again from its journal by any number of workers'}`, async () => {
    if (where === 'in rounds') {
      const what = (folder: string) =>
        issued(searchEvents(folder)).map(({ specDigest, fidelity }) => [specDigest, fidelity]);
      expect(what(together)).toEqual(what(alone));
    }
    const whole = searchEvents(together);
    for (const inFlight of [1, 2, 7]) {
      // All but the last event: the phase's end.
      const copy = killedAfter(together, whole.length - 1);
      expect(await search(copy, where === 'in rounds' ? { slots: inFlight } : { slots: 1, inFlight })).toEqual([]);
      expect(story(searchEvents(copy))).toEqual(story(whole));
    }
  });
});

const withExamples = (examples: unknown) => smallStudy({ search: { examples } }).search;

describe('rungs in a study file', () => {
  it('are one amount or several, of which one alone is that amount', () => {
    expect(rungsOf(withExamples(500))).toEqual([500]);
    expect(withExamples(['5e2']).examples).toBe(500);
    expect(rungsOf(withExamples([500, 1500, 4500]))).toEqual([500, 1500, 4500]);
  });

  it.each([
    [[], /search\.examples[^]*none|none[^]*search\.examples/],
    [[500, 600], /expected rungs that each take at least twice the examples of the one before.*got 500, 600/],
    [[1500, 500], /got 1500, 500/],
    ['many', /expected an amount such as 6000, or a list of rungs such as \[2000, 6000, 18000\]/],
  ])('that make no sense are refused: %j', (examples, message) => {
    expect(() => withExamples(examples)).toThrow(message);
  });

  it('cost about the same each, and the finalists are trained again at the top', () => {
    const search = { ...withExamples([500, 1500, 4500]), trials: 90, finalists: 3, seeds: 2 };
    expect(searchTrainings({ search })).toEqual([
      { networks: 90, examples: 500 },
      { networks: 30, examples: 1500 },
      { networks: 13, examples: 4500 },
    ]);
    // No more finalists than networks.
    const few = { ...withExamples(500), trials: 2, finalists: 3, seeds: 2 };
    expect(searchTrainings({ search: few })).toEqual([{ networks: 4, examples: 500 }]);
  });
});

describe('the noise that promotion allows a latency', () => {
  const intervalMs = { percentile: 50, level: 0.95, lo: 0.9, hi: 1.1 } as const;
  it('is half its interval, in logarithms, where it was measured, and none where it was predicted', () => {
    for (const source of ['measured', 'command'] as const)
      expect(latencyTolerance({ source, intervalMs })).toBeCloseTo(Math.log(1.1 / 0.9) / 2, 12);
    expect(latencyTolerance({ source: 'predicted', intervalMs })).toBe(0);
    expect(latencyTolerance({ source: 'measured', intervalMs: { ...intervalMs, lo: 1, hi: 1 } })).toBe(0);
  });
});

describe('what happened at the rungs', () => {
  it('is told: how many there were, which went on, and the other rungs of a trial', async () => {
    const folder = newFolder();
    await search(folder, { slots: 2 });
    const events = eventsOf(folder);
    const { rungs: told, trials } = summarise(events);
    expect(told.map(({ examples }) => examples)).toEqual(rungs);
    const [low, middle, top] = told;
    expect(low?.trials).toHaveLength(12);
    expect(low?.promoted).toHaveLength(middle?.trials.length ?? 0);
    expect(middle?.promoted).toHaveLength(top?.trials.length ?? 0);
    expect(top?.promoted).toEqual([]);
    expect(trials.filter(({ onFront }) => onFront).length).toBeGreaterThan(0);
    for (const trial of trials) if (trial.onFront) expect(trial.fidelityExamples).toBe(400);
    const promoted = low?.promoted[0] ?? '';
    expect(explainTrial(events, promoted).text).toMatch(
      new RegExp(`rungs     ${promoted} is the same network as t\\d{4} \\(200 examples, \\d+\\.\\d %\\)`),
    );
    const above = middle?.trials[0] ?? '';
    expect(explainTrial(events, above).text).toMatch(
      /proposed by successive halving \(t\d{4} goes on: place \d+ of \d+ after 100 examples, where 1 in 2 goes on\)/,
    );
  });
});
