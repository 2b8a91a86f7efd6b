import { describe, expect, it } from 'vitest';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StudyView } from '../../dashboard/study-view.ts';
import { SimulatedClock } from '../../core/clock.ts';
import { Random } from '../../core/random.ts';
import { nonDominated } from '../../search/pareto.ts';
import type { EventPayload, JournalEvent } from '../../study/journal/events.ts';
import type { StudyContext } from '../../study/context.ts';
import { remainingMs } from '../../study/estimate.ts';
import { readJournal } from '../../study/journal/journal.ts';
import { StudyRecord } from '../../study/journal/record.ts';
import { statusOf } from '../../study/status.ts';
import type { StudyConfig } from '../../study/study-file.ts';
import { summarise } from '../../study/deliver/summarise.ts';
import { journalOf } from './journals.ts';

function madeUp(trials: number, more: readonly EventPayload[] = []): readonly JournalEvent[] {
  const folder = mkdtempSync(join(tmpdir(), 'ridgepoint-view-'));
  try {
    const { path } = journalOf(folder, { trials });
    const { events } = readJournal(path);
    return [
      ...events,
      ...more.map((payload, index) => {
        const seq = events.length + index;
        return { schema: 1, seq, tMs: (events.at(-1)?.tMs ?? 0) + 1000 * (index + 1), ...payload } as JournalEvent;
      }),
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function viewOf(events: readonly JournalEvent[]): StudyView {
  const view = new StudyView();
  for (const event of events) view.fold({ event, start: 0, end: 0 });
  return view;
}

describe('a study folded from its events', () => {
  const events = madeUp(150);

  it('says of every trial what the summary of the whole journal says', () => {
    const view = viewOf(events);
    const summary = summarise(events);
    expect(view.trials.length).toBe(150);
    for (const trial of summary.trials) {
      const row = view.trial(trial.id);
      expect(row).toMatchObject({ phase: trial.phase, status: trial.status, latencyMs: trial.latencyMs });
      expect([row?.accuracy, row?.reason, row?.endedMs]).toEqual([trial.accuracy, trial.reason, trial.endedMs]);
    }
    expect(new Set(summary.trials.map(({ status }) => status))).toEqual(new Set(['ok', 'infeasible', 'failed']));
  });

  it('has the front of the whole journal at every moment, however the points came', () => {
    const view = new StudyView();
    for (const [index, event] of events.entries()) {
      view.fold({ event, start: 0, end: 0 });
      if (index % 40 !== 7 && index !== events.length - 1) continue;
      const expected = summarise(events.slice(0, index + 1)).trials.filter(({ onFront }) => onFront);
      expect([...view.front].toSorted()).toEqual(expected.map(({ id }) => id).toSorted());
    }
    expect(view.front.size).toBeGreaterThan(2);
  });

  it('has the front of the highest rung that has a result', () => {
    let issued = 0;
    const promoted = events.map((event): JournalEvent => {
      if (event.type !== 'issued' || ++issued % 3 !== 0) return event;
      return { ...event, fidelity: { ...event.fidelity, examples: 2 * event.fidelity.examples } };
    });
    const expected = summarise(promoted).trials.filter(({ onFront }) => onFront);
    expect([...viewOf(promoted).front].toSorted()).toEqual(expected.map(({ id }) => id).toSorted());
    expect([...viewOf(events).front].toSorted()).not.toEqual(expected.map(({ id }) => id).toSorted());
  });

  it('has the active time of the whole journal, pauses between sessions left out', () => {
    const opened: EventPayload = { type: 'study', id: 'made-up', action: 'opened' };
    const longer = madeUp(20, [opened, { type: 'phase', id: 'search', action: 'finished' }]);
    const view = viewOf(longer);
    expect(view.activeS).toBeCloseTo(statusOf(longer, 0).activeS, 9);
    expect(view.activeS).toBeCloseTo(summarise(longer).activeS, 9);
  });

  it('gives what failed last another chance when the study is opened again, and nothing else', () => {
    const failing = madeUp(28);
    const failed = viewOf(failing)
      .trials.filter(({ status }) => status === 'failed')
      .map(({ id }) => id);
    expect(failed).toEqual(['t0005', 't0028']);
    const opened = madeUp(28, [{ type: 'study', id: 'made-up', action: 'opened' }]);
    const view = viewOf(opened);
    for (const { id, status } of summarise(opened).trials) expect([id, view.trial(id)?.status]).toEqual([id, status]);
    expect(view.trial('t0005')?.status).toBe('failed');
    expect(view.trial('t0028')).toMatchObject({ status: 'issued', changed: opened.length - 1 });
    expect(view.trial('t0028')?.endedMs).toBeUndefined();
  });

  it('follows a study in which a target could not run a network', () => {
    const id = `unable cpu sha256:${'0'.repeat(64)}`;
    const value = { reason: 'unsupported', message: 'no kernel', seconds: 3 };
    const unable = madeUp(5, [{ type: 'decision', id, value, because: 'the target says so' }]);
    expect(viewOf(unable).count).toBe(unable.length);
  });

  it('knows when a trial changed last', () => {
    const view = viewOf(events);
    const answer = events.findLast((event) => event.type === 'outcome' && event.id === 't0010');
    expect(view.trial('t0010')?.changed).toBe(answer?.seq);
  });

  it('estimates the time left as the study itself does, and knows none before anything is trained', () => {
    const config = viewOf(events).config as StudyConfig;
    const ownEstimate = (some: readonly JournalEvent[], nowMs: number): number | undefined => {
      const record = StudyRecord.replay(some);
      return remainingMs({ config, record, clock: new SimulatedClock(nowMs) } as unknown as StudyContext);
    };
    const first = events.findIndex(({ type }) => type === 'outcome');
    // Ends in trials that are trained, that are issued only, and before any is.
    const ends = [first, first + 1, 60, 61, 62, 200, 201];
    for (const end of ends) {
      const some = events.slice(0, end);
      const nowMs = (some.at(-1)?.tMs ?? 0) + 1500;
      const expected = ownEstimate(some, nowMs);
      const actual = viewOf(some).remainingMs(nowMs);
      if (expected === undefined) expect(actual).toBeUndefined();
      else expect(actual).toBeCloseTo(expected, 6);
    }
    expect(ownEstimate(events.slice(0, first), 0)).toBeUndefined();
    expect(ownEstimate(events, events.at(-1)?.tMs ?? 0)).toBeGreaterThan(0);
  });
});

it('the front of a front and of new points is the front of all points', () => {
  const random = new Random('front');
  const points = Array.from({ length: 300 }, () => [
    Math.round(20 * random.uniform()),
    Math.round(20 * random.uniform()),
    random.uniform(),
  ]);
  const directions = ['max', 'min', 'min'] as const;
  let front: (readonly number[])[] = [];
  for (let start = 0; start < points.length; start += 17) {
    const all = [...front, ...points.slice(start, start + 17)];
    front = nonDominated(all, directions).flatMap((index) => [all[index] ?? []]);
  }
  expect(front).toEqual(nonDominated(points, directions).map((index) => points[index]));
});
