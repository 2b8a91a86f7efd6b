import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { SimulatedClock } from '../../core/clock.ts';
import { canonicalJson } from '../../core/digest.ts';
import { InterruptedError } from '../../core/errors.ts';
import type { EventPayload, JournalEvent } from '../../study/journal/events.ts';
import { Journal, journalPath } from '../../study/journal/journal.ts';
import { StudyBusyError } from '../../study/journal/lease.ts';
import type { StudyConfig } from '../../study/study-file.ts';
import { eventsOf, killedAfter, newFolder, runFake, smallStudy, story } from './small-study.ts';

/** Resumes, and stops where delivery begins: what comes before it takes no child process. */
async function resumeUntilDelivery(config: StudyConfig, folder: string, slots: number): Promise<readonly string[]> {
  const controller = new AbortController();
  const started: string[] = [];
  const onEvent = (event: JournalEvent) => {
    if (isDeliveryStart(event)) controller.abort();
    if (event.type === 'outcome') started.push(event.id);
  };
  await expect(runFake(config, folder, { slots, signal: controller.signal, onEvent })).rejects.toThrow(
    InterruptedError,
  );
  return started;
}

function isDeliveryStart(event: JournalEvent): boolean {
  return event.type === 'phase' && event.id === 'deliver' && event.action === 'started';
}

const outcomeIds = (events: readonly JournalEvent[]) =>
  events.flatMap((event) => (event.type === 'outcome' ? [event.id] : []));

const asSet = (some: readonly JournalEvent[]) => story(some).map(canonicalJson).toSorted();

/** Latency of the base as the scaling took it. */
const baseMs = (where: string) =>
  eventsOf(where).flatMap((event) =>
    event.type === 'decision' && event.id === 'scaling edge family 1x'
      ? [(event.value as { targetMs: number }).targetMs]
      : [],
  )[0] ?? 0;

describe('a study killed at any point and resumed', () => {
  // Under a time budget the clock decides too: how many rounds there are, how long the family is trained.
  const timed = smallStudy({
    search: { controller: 'evolution', scale: 'tiny', trials: 40, round: 3, examples: 100, finalists: 2, seeds: 2 },
    budget: { time: '8s' },
  });
  const folder = newFolder();
  let whole: readonly JournalEvent[] = [];
  let delivery = 0;

  beforeAll(async () => {
    await runFake(timed, folder);
    whole = eventsOf(folder);
    delivery = whole.findIndex(isDeliveryStart);
  });

  it('has a story worth resuming: every kind of event', () => {
    expect(new Set(whole.map(({ type }) => type))).toEqual(
      new Set(['study', 'issued', 'measured', 'outcome', 'decision', 'phase', 'artefact']),
    );
    expect(outcomeIds(whole).length).toBeGreaterThan(10);
    expect(whole.length).toBeGreaterThan(80);
  });

  it('goes on with one slot exactly as the uninterrupted one, and repeats nothing', async () => {
    const expected = story(whole.slice(0, delivery + 1));
    for (let count = 0; count <= delivery; count += 2) {
      const copy = killedAfter(folder, count);
      // Killed before the data was journalled, or the prepared file lost since: it is prepared again.
      if (count % 10 === 0) rmSync(join(copy, 'data.bin'));
      const answered = await resumeUntilDelivery(timed, copy, 1);
      const events = eventsOf(copy);
      expect(story(events.slice(0, events.findIndex(isDeliveryStart) + 1)), `killed after event ${count}`).toEqual(
        expected,
      );
      expect(answered, `evaluated after event ${count}`).toEqual(outcomeIds(whole.slice(count)));
    }
  });

  it('delivers the same when killed anywhere in delivery', async () => {
    for (let count = delivery + 1; count <= whole.length; count += 3) {
      const copy = killedAfter(folder, count);
      rmSync(join(copy, 'family'), { recursive: true });
      rmSync(join(copy, 'manifest.json'));
      const { calls } = await runFake(timed, copy);
      expect(story(eventsOf(copy)), `killed after event ${count}`).toEqual(story(whole));
      expect(calls).toEqual([]);
      for (const file of ['trials.csv', 'family.csv', 'family/edge/2x/metrics.json', 'family/edge/2x/spec.yaml'])
        expect(readFileSync(join(copy, file), 'utf8')).toBe(readFileSync(join(folder, file), 'utf8'));
      expect(readFileSync(join(copy, 'family/edge/2x/model.onnx'))).toEqual(
        readFileSync(join(folder, 'family/edge/2x/model.onnx')),
      );
    }
  });

  it('goes on with two slots to the same results, as a set', async () => {
    const config = smallStudy();
    const uninterrupted = newFolder();
    await resumeUntilDelivery(config, uninterrupted, 2);
    const events = eventsOf(uninterrupted);
    const until = events.findIndex(isDeliveryStart) + 1;
    for (let count = 0; count < until; count += 5) {
      const copy = killedAfter(uninterrupted, count);
      const answered = await resumeUntilDelivery(config, copy, 2);
      const resumed = eventsOf(copy);
      expect(asSet(resumed.slice(0, resumed.findIndex(isDeliveryStart) + 1)), `killed after event ${count}`).toEqual(
        asSet(events.slice(0, until)),
      );
      expect(answered.toSorted()).toEqual(outcomeIds(events.slice(count)).toSorted());
    }
  });

  it('has told its evaluator that nothing goes on from what it keeps, but not where it stopped earlier', async () => {
    let concluded = 0;
    const onConcluded = (): void => void concluded++;
    const stopped = AbortSignal.abort();
    const copy = killedAfter(folder, whole.length);
    await expect(runFake(timed, copy, { onConcluded, signal: stopped })).rejects.toThrow(InterruptedError);
    expect(concluded).toBe(0);
    await runFake(timed, copy, { onConcluded });
    expect(concluded).toBe(1);
  });

  it('has nothing left to do once it is finished', async () => {
    const copy = killedAfter(folder, whole.length);
    const before = readFileSync(join(copy, 'report.html'), 'utf8');
    const { summary, calls } = await runFake(timed, copy);
    expect(calls).toEqual([]);
    expect(summary.finished).toBe(true);
    expect(story(eventsOf(copy).slice(whole.length))).toEqual([]);
    expect(readFileSync(join(copy, 'report.html'), 'utf8')).toBe(before);
  });
});

describe('a resumed study', () => {
  it('uses the latencies its journal has, whatever the device says now', async () => {
    const config = smallStudy();
    const first = newFolder();
    await resumeUntilDelivery(config, first, 1);
    // The base's latency that sizes are multiples of.
    const measured = eventsOf(first).findIndex(({ id }) => id === 'base edge 1');
    const folder = newFolder();
    const journal = new Journal(journalPath(folder), new SimulatedClock(1e12));
    for (const { schema: _schema, seq: _seq, tMs: _tMs, ...event } of eventsOf(first).slice(0, measured + 1))
      journal.append(
        (event.type === 'measured'
          ? { ...event, latency: { ...event.latency, p50Ms: 3 * event.latency.p50Ms } }
          : event) as EventPayload,
      );
    journal.close();
    await resumeUntilDelivery(config, folder, 1);
    expect(baseMs(folder)).toBeCloseTo(3 * baseMs(first), 12);
  });

  it('gives what failed its remaining attempts when it is opened again', async () => {
    const config = smallStudy();
    const folder = newFolder();
    const controller = new AbortController();
    const crash = { status: 'failed', code: 'child-crashed', retry: true, detail: 'signal SIGSEGV' } as const;
    const answer = (_call: number, { id }: { readonly id: string }) => (id === 't0002' ? crash : undefined);
    const attempts = () =>
      eventsOf(folder).flatMap((event) => (event.type === 'outcome' && event.id === 't0002' ? [event.attempt] : []));
    const stopped = runFake(config, folder, {
      answer,
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === 'outcome' && event.id === 't0002' && event.attempt === 2) controller.abort();
      },
    });
    await expect(stopped).rejects.toThrow(InterruptedError);
    expect(attempts()).toEqual([1, 2]);
    const { summary } = await runFake(config, folder, { answer });
    expect(attempts()).toEqual([1, 2, 3]);
    expect(summary.finished).toBe(true);
    expect(summary.warnings).toContainEqual(expect.stringContaining('child-crashed: signal SIGSEGV'));
  });

  it('does not try again what failed before something was decided on it', async () => {
    const config = smallStudy({ family: { edge: ['1x'] }, final: { examples: 200, seeds: 2, baselines: [] } });
    const folder = newFolder();
    const crash = { status: 'failed', code: 'child-crashed', retry: false, detail: 'signal SIGSEGV' } as const;
    const final = (trial: string) =>
      eventsOf(folder).some(
        ({ type, id, ...event }) => type === 'issued' && id === trial && 'phase' in event && event.phase === 'train',
      );
    let failed: string | undefined;
    await runFake(config, folder, {
      answer: (_call, { id }) => {
        if (!final(id) || (failed ??= id) !== id) return undefined;
        return crash;
      },
    });
    expect(failed).toBeDefined();
    const { calls } = await runFake(config, folder);
    expect(calls).toEqual([]);
  });

  it('is refused to a changed study file, naming what changed', async () => {
    const folder = newFolder();
    await resumeUntilDelivery(smallStudy(), folder, 1);
    const before = readFileSync(journalPath(folder));
    const search = { ...smallStudy().search, trials: 7 };
    await expect(runFake(smallStudy({ search }), folder)).rejects.toThrow(/a changed search\.trials; give/);
    await expect(
      runFake(smallStudy({ targets: { other: { device: 'simulated' } }, family: {} }), folder),
    ).rejects.toThrow(/targets\.edge.*targets\.other/);
    expect(readFileSync(journalPath(folder))).toEqual(before);
    expect(existsSync(join(folder, 'lease.json'))).toBe(false);
  });

  it('begins anew with a corrected study file when nothing was tried yet', async () => {
    const folder = newFolder();
    const nowhere = smallStudy({ data: { format: 'cifar10', path: '/nowhere/at/all' } });
    await expect(runFake(nowhere, folder)).rejects.toThrow('/nowhere/at/all');
    await resumeUntilDelivery(smallStudy(), folder, 1);
  });

  it('is refused to a second writer, and free again after a damaged journal was refused', async () => {
    const folder = newFolder();
    const config = smallStudy();
    let second: Promise<unknown> | undefined;
    const controller = new AbortController();
    await expect(
      runFake(config, folder, {
        signal: controller.signal,
        onEvent: () => {
          second ??= runFake(config, folder).catch((error: unknown) => error);
          controller.abort();
        },
      }),
    ).rejects.toThrow(InterruptedError);
    expect(await second).toBeInstanceOf(StudyBusyError);

    writeFileSync(journalPath(folder), 'not a journal\nat all\n');
    await expect(runFake(config, folder)).rejects.toThrow(/line 1.*not JSON/);
    expect(existsSync(join(folder, 'lease.json'))).toBe(false);
  });
});
