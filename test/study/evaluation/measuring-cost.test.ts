import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SimulatedClock } from '../../../core/clock.ts';
import { EnvironmentError } from '../../../core/errors.ts';
import type { LatencyMeter, StudyContext } from '../../../study/context.ts';
import { admit, measureAgain, patientMeter } from '../../../study/evaluation/evaluate.ts';
import type { JournalEvent } from '../../../study/journal/events.ts';
import { Journal, journalPath } from '../../../study/journal/journal.ts';
import { StudyRecord } from '../../../study/journal/record.ts';
import { resolveStudy } from '../../../study/resolve-study.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { tableSpec as spec } from '../../jobs/chaos/table-evaluator.ts';
import { FakeMeter } from '../fake-meter.ts';
import { eventsUntil, smallStudy } from '../small-study.ts';

const lost = () => new EnvironmentError('the device is gone', { retry: true });

it('a measurement that fails is charged alone, without those of other targets before it', async () => {
  const folder = join(fileFolder(), 'study');
  mkdirSync(folder);
  const clock = new SimulatedClock(0);
  const signal = new AbortController().signal;
  const meter = new FakeMeter((_spec, _call, { threads }) => {
    clock.advance(10_000);
    if (threads === 2) throw lost();
    return 1;
  });
  // A measurement's own seconds are of the real clock, about none.
  const context = {
    config: resolveStudy(
      { study: 'x', targets: { one: { device: 'simulated' }, two: { device: 'simulated', threads: 2 } } },
      'x.yaml',
    ),
    record: new StudyRecord(new Journal(journalPath(folder)), () => {}),
    meter: patientMeter(
      { measureSpec: async (...asked) => meter.measureSpec(...asked) } as LatencyMeter,
      signal,
      clock,
    ),
    profiles: new Map(),
    clock,
    signal,
  } as unknown as StudyContext;
  const fidelity = { examples: 1, seed: 0 };
  const origin = { by: 'test', because: 'a test' };
  const bounds = [{ target: 'one' }, { target: 'two' }];
  const [trial] = await admit(context, [{ phase: 'search', choices: {}, spec, fidelity, origin }], bounds);
  // Three tries of 10 s.
  expect(context.record.outcome(trial?.id ?? '')).toMatchObject({ status: 'failed', spentS: 30 });
});

it('a measurement that succeeds after others of it failed is charged for all of them', async () => {
  const fake = new FakeMeter(() => 1);
  let tries = 0;
  const meter: LatencyMeter = {
    measureSpec: async (...asked) => {
      if (++tries === 1) throw lost();
      return fake.measureSpec(...asked);
    },
    measureFile: async (...asked) => fake.measureFile(...asked),
    secondsOf: (given) => (given instanceof Error ? 100 : 20),
    close: async () => {},
  };
  const events = await eventsUntil(smallStudy(), ({ type }) => type === 'measured', { makeMeter: () => meter });
  expect(events.find(({ type }) => type === 'measured')).toMatchObject({ seconds: 120 });
});

it('a measurement that is kept per example is charged what its run took, and its job may go', async () => {
  const fake = new FakeMeter(() => 8);
  const given = new Set<object>();
  const forgotten: object[] = [];
  const kept = new Map<object, object>();
  const meter: LatencyMeter = patientMeter(
    {
      measureSpec: async (...asked) => {
        const latency = await fake.measureSpec(...asked);
        given.add(latency);
        return latency;
      },
      measureFile: () => Promise.reject(new Error('expected no file')),
      converted: (from, to) => kept.set(to, from),
      secondsOf: (latency) => (given.has(latency) ? 42 : undefined),
      journalled: (latency) => forgotten.push(kept.get(latency) ?? latency),
      close: async () => {},
    },
    new AbortController().signal,
    new SimulatedClock(0),
  );
  const folder = join(fileFolder(), 'again');
  mkdirSync(folder);
  const hear = (event: JournalEvent) => event.type === 'measured' && meter.journalled?.(event.latency);
  const secondsOf = (latency: object) => meter.secondsOf?.(latency);
  const record = new StudyRecord(new Journal(journalPath(folder)), hear, secondsOf);
  const config = resolveStudy({ study: 'x', targets: { edge: { device: 'simulated', batch: [4, 8] } } }, 'x.yaml');
  const asked = { id: 'thorough edge x', target: 'edge', digest: 'x' };
  const latency = await measureAgain({ config, record, meter }, asked, (target) => meter.measureSpec(spec, target));
  expect(latency).toMatchObject({ per: 'example', p50Ms: 2 });
  expect(record.events.at(-1)).toMatchObject({ type: 'measured', seconds: 42 });
  expect(forgotten).toEqual([...given]);
});
