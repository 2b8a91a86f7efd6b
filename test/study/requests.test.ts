import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Clock, SimulatedClock, systemClock } from '../../core/clock.ts';
import { InterruptedError } from '../../core/errors.ts';
import type { Outcome } from '../../core/trial.ts';
import type { Evaluator } from '../../search/evaluator.ts';
import type { StudyContext } from '../../study/context.ts';
import { evaluateAll } from '../../study/evaluation/evaluate.ts';
import { Journal, journalPath } from '../../study/journal/journal.ts';
import { StudyRecord, type Trial } from '../../study/journal/record.ts';
import { cancelledBy, requestOf, type StudyRequest, StudyRequests } from '../../study/requests.ts';
import { statusOf } from '../../study/status.ts';
import { resolveStudy } from '../../study/resolve-study.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { tableSpec as spec } from '../jobs/chaos/table-evaluator.ts';
import { eventsOf, newFolder, runFake, smallStudy } from './small-study.ts';

const cost = { trainS: 1, measureS: 0, examples: 1, flops: 0, peakRssBytes: 0 };
const ok: Outcome = { status: 'ok', metrics: { accuracy: 0.5 }, cost };
const outOfDisk: Outcome = { status: 'failed', code: 'full', retry: false, detail: 'out of disk' };
const ask = (action: StudyRequest['action'], trial?: string): StudyRequest => ({
  schema: 1,
  action,
  ...(trial === undefined ? {} : { trial }),
  by: 'ada@office',
});

/** A study's evaluating part: trials of one round, answered by a function. */
function round(evaluate: Evaluator['evaluate'], count = 4, clock: Clock = systemClock) {
  const folder = join(fileFolder(), 'study');
  mkdirSync(folder);
  const journal = new Journal(journalPath(folder));
  const record = new StudyRecord(journal);
  record.append({ type: 'study', id: 'x', action: 'opened' });
  const stop = new AbortController();
  const requests = new StudyRequests(record, () => stop.abort());
  const config = resolveStudy({ study: 'x', targets: { edge: { device: 'simulated' } } }, 'x.yaml');
  const evaluator = { slots: count, evaluate, close: () => Promise.resolve() };
  const context = {
    config,
    record,
    evaluator,
    requests,
    clock,
    signal: stop.signal,
    onProgress: () => {},
    onNotice: () => {},
  } as unknown as StudyContext;
  const issue = (seed: number): Trial =>
    record.issue({
      phase: 'search',
      choices: {},
      spec,
      fidelity: { examples: 1, seed },
      origin: { by: 'table', because: 'a round' },
    });
  const trials = Array.from({ length: count }, (_, index) => issue(index + 1));
  const run = () => evaluateAll(context, trials, { label: 'x', keepWeights: false });
  return { folder, record, requests, run, issue, closed: () => journal.close() };
}

/** Resolves to nothing until it is aborted. */
const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new InterruptedError('stopped')), { once: true });
  });

describe('a running study', () => {
  it('ends the evaluation of a trial that is cancelled, and goes on with the others', async () => {
    const ended: string[] = [];
    const study = round(async ({ id }, { signal }) => {
      if (id !== 't0002') return ok;
      queueMicrotask(() => study.requests.answer(ask('cancel', 't0002')));
      return untilAborted(signal).finally(() => ended.push(id));
    });
    await study.run();
    expect(ended).toEqual(['t0002']);
    const statuses = study.record.trials.map(({ id }) => study.record.outcome(id)?.status);
    expect(statuses).toEqual(['ok', 'failed', 'ok', 'ok']);
    expect(study.record.outcome('t0002')).toMatchObject({ code: 'cancelled', detail: 'cancelled by ada@office' });
    // Nobody's machine is to blame: it counts as no failure.
    expect(study.record.evaluated.failed).toBe(0);
    expect([...study.record.events].filter(({ type }) => type === 'request')).toMatchObject([
      { id: 't0002', action: 'cancel', by: 'ada@office' },
    ]);
    study.closed();
  });

  it('keeps what was cancelled so when it is opened again, and evaluates it when somebody asks', async () => {
    const study = round(() => Promise.resolve(ok), 2);
    expect(study.requests.answer(ask('cancel', 't0002')).done).toBe(true);
    await study.run();
    study.record.append({ type: 'study', id: 'x', action: 'opened' });
    expect(study.record.outcome('t0002')).toMatchObject({ code: 'cancelled' });
    expect(study.requests.answer(ask('retry', 't0002')).done).toBe(true);
    await study.run();
    expect(study.record.outcome('t0002')?.status).toBe('ok');
    study.closed();
  });

  it('charges a trial that is cancelled from when a device began with it', async () => {
    const clock = new SimulatedClock(0);
    const study = round(
      async ({ id }, { signal, onBegun }) => {
        // The second never leaves the queue.
        if (id === 't0001') onBegun?.();
        if (id === 't0001') clock.advance(3_600_000);
        queueMicrotask(() => study.requests.answer(ask('cancel', id)));
        return untilAborted(signal);
      },
      2,
      clock,
    );
    await study.run();
    const spent = ['t0001', 't0002'].map((id) => study.record.outcome(id));
    expect(spent).toMatchObject([
      { code: 'cancelled', spentS: 3600 },
      { code: 'cancelled', spentS: 0 },
    ]);
    expect(study.record.spending.hours).toBe(1);
    study.closed();
  });

  it('evaluates a failed trial again within its round when somebody asks', async () => {
    const calls: string[] = [];
    const study = round(({ id }, { attempt }) => {
      calls.push(`${id}.${attempt}`);
      if (id === 't0004' && attempt === 1) study.requests.answer(ask('retry', 't0001'));
      return Promise.resolve(id === 't0001' && attempt === 1 ? outOfDisk : ok);
    });
    await study.run();
    expect(calls).toEqual(['t0001.1', 't0002.1', 't0003.1', 't0004.1']);
    study.closed();
  });

  it('refuses what would take the ground from what was decided since', async () => {
    const study = round(({ id }) => Promise.resolve(id === 't0001' ? outOfDisk : ok));
    await study.run();
    study.issue(99);
    expect(study.requests.answer(ask('retry', 't0001'))).toMatchObject({
      done: false,
      text: expect.stringContaining('rests on that'),
    });
    expect(study.requests.answer(ask('retry', 't0002')).text).toMatch(/has not failed: it is ok/);
    expect(study.requests.answer(ask('cancel', 't0002')).text).toMatch(/has its answer already: ok/);
    expect(study.requests.answer(ask('cancel', 't9')).text).toMatch(/expected a trial.*got t9/);
    expect([...study.record.events].some(({ type }) => type === 'request')).toBe(false);
    study.closed();
  });
});

describe('a study asked through its folder', () => {
  it('stops when it is cancelled, says so in its journal, and goes on when it is run again', async () => {
    const folder = newFolder();
    const config = smallStudy();
    let asked: ReturnType<typeof requestOf> | undefined;
    const stopped = runFake(config, folder, {
      onEvent: (event) => {
        if (event.type !== 'outcome' || asked) return;
        // What is no request must not keep those behind it from being heard.
        writeFileSync(join(folder, 'requests', '00000000-0000-0000-0000-000000000000.json'), '{');
        asked = requestOf(folder, ask('cancel'));
      },
    });
    // The fake study may be over its phases before the watcher hears: then it is cancelled where it is.
    await expect(stopped).rejects.toThrow(/cancelled; everything finished so far is kept/);
    expect(await asked).toMatchObject({ done: true, text: expect.stringContaining('small is cancelled') });
    expect(cancelledBy(eventsOf(folder))?.by).toBe('ada@office');
    expect(statusOf(eventsOf(folder), 0).text).toMatch(/^cancelled by ada@office in /);
    const left = readdirSync(join(folder, 'requests')).filter((name) => !name.startsWith('00000000-'));
    expect(left).toEqual([]);
    await runFake(config, folder);
    expect(cancelledBy(eventsOf(folder))).toBeUndefined();
    expect(statusOf(eventsOf(folder), 0).phase).toBe('finished');
  });

  it('that nobody runs has it journalled by who asks', async () => {
    const study = round(() => Promise.resolve(ok), 2);
    study.closed();
    expect((await requestOf(study.folder, ask('cancel', 't0002'))).done).toBe(true);
    expect(StudyRecord.replay(eventsOf(study.folder)).outcome('t0002')).toMatchObject({ code: 'cancelled' });
    expect(existsSync(join(study.folder, 'lease.json'))).toBe(false);
  });
});
