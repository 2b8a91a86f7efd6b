import { describe, expect, it } from 'vitest';
import { statusOf } from '../../study/status.ts';
import { Spending } from '../../study/journal/spending.ts';
import { deviceHoursText, summaryTable } from '../../report/terminal.ts';
import { eventsOf, eventsUntil, newFolder, runFake, smallStudy, story } from './small-study.ts';
import type { JournalEvent } from '../../study/journal/events.ts';

const hoursOf = (events: readonly JournalEvent[]): Spending => {
  const spending = new Spending();
  for (const event of events) spending.add(event);
  return spending;
};
/** Every training of the fake takes so long that the sum can be computed apart. */
const trainedS = (events: readonly JournalEvent[]): number =>
  events.reduce(
    (sum, event) =>
      event.type === 'outcome' && 'cost' in event.outcome ? sum + (event.outcome.cost?.trainS ?? 0) : sum,
    0,
  );

describe('a budget of device hours', () => {
  it('charges what was trained and what failed, by phase, and nothing that was predicted', async () => {
    const folder = newFolder();
    const { summary } = await runFake(smallStudy({ budget: { deviceHours: 1000 } }), folder, {
      answer: (call) =>
        call === 2 ? { status: 'failed', code: 'lost', retry: true, detail: 'gone', spentS: 7200 } : undefined,
    });
    const events = eventsOf(folder);
    const spending = hoursOf(events);
    expect(spending.hours).toBeCloseTo(trainedS(events) / 3600 + 2, 10);
    expect(spending.byPhase.search).toBeGreaterThan(2);
    expect(Object.values(spending.byPhase).reduce((a, b) => a + b)).toBeCloseTo(spending.hours, 10);
    expect(summary.deviceHours).toEqual({ spent: spending.hours, budget: 1000, byPhase: spending.byPhase });
    expect(summaryTable(summary)).toContain(deviceHoursText(summary));
    // One amount of examples tells no law, so all sizes see the same.
    expect(summary.allocation).toMatchObject({ split: 'even', law: null, problem: expect.stringMatching(/3 amounts/) });
    for (const { examples, reached, forecast } of summary.allocation?.sizes ?? []) {
      expect([examples, forecast]).toEqual([summary.allocation?.sizes[0]?.examples, null]);
      expect(reached).toBeGreaterThan(0);
    }
    expect(summary.allocation?.sizes).toHaveLength(2);
    expect(statusOf(events, 0).text).toMatch(/\d of 1000 device hours/);
  });

  it('ends searching and scaling at their shares, and delivers what is best by then', async () => {
    const folder = newFolder();
    const all = hoursOf(await eventsOfWhole());
    // So little that neither search nor scaling can try all they may.
    const deviceHours = all.hours / 4;
    const split = { search: '40%', scale: '15%', train: '40%', reserve: '5%' };
    const { summary } = await runFake(smallStudy({ budget: { deviceHours, split } }), folder);
    const spending = hoursOf(eventsOf(folder));
    expect(summary.finished).toBe(true);
    expect(summary.targets[0]?.lines[0]?.members).toHaveLength(2);
    expect(spending.hours).toBeLessThan(all.hours / 2);
    const stopped = eventsOf(folder).filter(
      (event) => event.type === 'decision' && /round\d+$/.test(event.id) && event.value === false,
    );
    expect(stopped.length).toBeGreaterThan(0);
    expect(stopped[0]).toMatchObject({ because: expect.stringMatching(/of .* device hours used/) });
  });

  it('trains nothing again with other seeds once half of the next share is used, too', async () => {
    const all = hoursOf(await eventsOfWhole());
    const split = { search: '10%', scale: '2%', train: '80%' };
    const decided = async (deviceHours: number): Promise<readonly unknown[]> => {
      const config = smallStudy({ budget: { deviceHours, split } });
      const events = await eventsUntil(config, ({ id }) => id === 'base');
      const reruns = events.filter((event) => event.type === 'issued' && event.origin.by === 'finalists');
      const allowed = events.flatMap((event) =>
        event.type === 'decision' && event.id === 'search.seeds.round0' ? [event.value] : [],
      );
      return [allowed, reruns.length];
    };
    expect(await decided(all.hours / 4)).toEqual([[false], 0]);
    expect(await decided(all.hours * 100)).toEqual([[true], 2]);
  });

  it('charges what hosts that were lost had done, beside what a result cost', () => {
    const cost = { trainS: 1800, measureS: 0, examples: 1, flops: 0, peakRssBytes: 0, lostS: 3600 };
    const event = { schema: 1, seq: 0, tMs: 0, type: 'outcome', id: 't0001', attempt: 1 } as const;
    const hours = (more: object): number =>
      hoursOf([{ ...event, outcome: { status: 'ok', metrics: {}, cost: { ...cost, ...more } } }]).hours;
    expect(hours({})).toBeCloseTo(1.5, 10);
    expect(hours({ deviceHours: 8 })).toBeCloseTo(9, 10);
  });

  it('is read from the journal: a study that was interrupted goes on as one that was not', async () => {
    const config = smallStudy({ budget: { deviceHours: hoursOf(await eventsOfWhole()).hours / 2 } });
    const whole = newFolder();
    await runFake(config, whole);
    const folder = newFolder();
    let outcomes = 0;
    await eventsUntil(config, (event) => event.type === 'outcome' && ++outcomes === 5, { folder });
    await runFake(config, folder);
    expect(story(eventsOf(folder))).toEqual(story(eventsOf(whole)));
  });

  it('does not promote one network after the other only to refuse it', async () => {
    const search = { controller: 'evolution', scale: 'tiny', trials: 12, round: 6, examples: [100, 300], seeds: 1 };
    const config = smallStudy({ search, budget: { deviceHours: 1e-9 } });
    const events = await eventsUntil(config, ({ id }) => id === 'base');
    const [refused, trained] = ['over-budget', undefined].map((code) =>
      events.filter(({ type, ...event }) => type === 'outcome' && 'outcome' in event && codeOf(event.outcome) === code),
    );
    // The first of the round was trained, for a study needs one.
    expect(trained).toHaveLength(1);
    expect(refused).toHaveLength(search.round - 1);
  });

  it('refuses what it cannot mean', () => {
    const reserved = { search: '40%', scale: '20%', train: '30%', reserve: '10%' };
    expect(() => smallStudy({ budget: { split: reserved } })).toThrow(
      /budget\.split\.reserve: expected budget\.deviceHours/,
    );
    expect(() =>
      smallStudy({ budget: { deviceHours: 1, split: { search: '40%', scale: '20%', train: '40%', reserve: '1%' } } }),
    ).toThrow(/at most 100 % in all, got 101 %/);
    expect(() => smallStudy({ budget: { deviceHours: 0 } })).toThrow(/budget\.deviceHours/);
  });
});

const codeOf = (outcome: object): unknown => ('code' in outcome ? outcome.code : undefined);

let unlimited: Promise<readonly JournalEvent[]> | undefined;

/** The same study without a budget, run once. */
function eventsOfWhole(): Promise<readonly JournalEvent[]> {
  unlimited ??= (async () => {
    const folder = newFolder();
    await runFake(smallStudy(), folder);
    return eventsOf(folder);
  })();
  return unlimited;
}
