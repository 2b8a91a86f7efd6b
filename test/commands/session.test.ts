import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type OkOf, resultSchemas } from '../../commands/protocol.ts';
import { commandProtocols } from '../../commands/sampling.ts';
import { readSession, type Session, summariseSessions } from '../../commands/session.ts';
import { latencySchema, type Percentile } from '../../latency/latency.ts';
import { fileFolder } from '../cases/file-folder.ts';

const out = fileFolder();

/** A valid answer of a program with these keys. */
function answer(keys: object): OkOf<'measure'> {
  const parsed = resultSchemas.measure.parse({ status: 'ok', includesIo: true, precision: 'fp32', ...keys });
  if (parsed.status !== 'ok') throw new Error('expected an ok result');
  return parsed;
}

function write(name: string, values: readonly number[]): string {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => bytes.writeDoubleLE(value, 8 * index));
  writeFileSync(join(out, name), bytes);
  return name;
}

const read = (keys: object, wallS = 10) => readSession(answer(keys), { out, wallS }, 'fp32');
const flat = (ms: number, count: number) => read({ samplesMs: Array(count).fill(ms) });
const summarise = (sessions: readonly Session[], percentile: Percentile = 50) =>
  summariseSessions(sessions, {
    percentile,
    accelerator: 'command:x',
    batch: 1,
    threads: 1,
    precision: 'fp32',
    drift: 0,
    rejectedBlocks: 0,
    fingerprint: null,
    protocol: commandProtocols.quick,
  });

describe('a session', () => {
  it('is read from a file of float64 values or from the numbers themselves', () => {
    const values = [3, 1.5, 2, Math.PI, 2.5];
    const ofFile = read({ samplesMs: write('a.f64', values) });
    expect([...(ofFile.samplesMs as Float64Array)]).toEqual(values);
    expect(ofFile.p50Ms).toBe(2.5);
    expect(read({ samplesMs: values })).toMatchObject({ p50Ms: ofFile.p50Ms, p90Ms: ofFile.p90Ms });
  });

  it.each([
    [
      'another precision than asked for',
      { samplesMs: [1], precision: 'fp16' },
      'expected a latency in fp32, got one in fp16',
    ],
    ['a file outside its folder', { samplesMs: '../../request.json' }, 'expected a path below'],
    ['a file that is not there', { samplesMs: 'none.f64' }, 'expected a file of float64 values, got 0 bytes'],
    [
      'a negative time',
      { samplesMs: write('negative.f64', [1, -1]) },
      'expected positive times in milliseconds, got -1 at 1',
    ],
    ['a time that is none', { samplesMs: write('nan.f64', [Number.NaN]) }, 'got NaN at 0'],
    [
      'microseconds for milliseconds',
      { samplesMs: Array(100).fill(1234) },
      '100 that add up to 123 s where the program ran for 10.0 s',
    ],
  ])('is not read from %s', (_what, keys, message) => {
    expect(() => read(keys)).toThrow(message);
  });

  it.each([
    ['no samples', { samplesMs: [] }],
    ['neither samples nor percentiles', {}],
    ['both', { samplesMs: [1], percentilesMs: { p50: 1, p90: 1 } }],
    ['percentiles out of order', { percentilesMs: { p50: 2, p90: 1 } }],
    ['an unknown key', { samplesMs: [1], samples: 1 }],
  ])('has no form with %s', (_what, keys) => {
    expect(() => answer(keys)).toThrow();
  });
});

describe('the latency of sessions', () => {
  it('has a p99 from three hundred samples on', () => {
    const tailed = [...Array<number>(95).fill(1), ...Array<number>(5).fill(3)];
    const sessions = [tailed, tailed, tailed].map((samplesMs) => read({ samplesMs }));
    expect(summarise(sessions)).toMatchObject({ samples: 300, p50Ms: 1, p90Ms: 1, p99Ms: 3 });
    expect(summarise([...sessions.slice(1), flat(1, 99)])).toMatchObject({ samples: 299, p99Ms: null });
  });

  it('is marked as reported where a program gave percentiles only, and has no samples', () => {
    const sessions = [4, 9, 6].map((p99) => read({ percentilesMs: { p50: 2, p90: 3, p99 } }));
    const latency = summarise(sessions);
    expect(latencySchema.parse(latency)).toEqual(latency);
    expect(latency).toMatchObject({ reported: true, samples: 0, stable: true });
    expect(latency.p50Ms).toBeCloseTo(2, 12);
    expect(latency.p90Ms).toBeCloseTo(3, 12);
    expect(latency.p99Ms).toBeCloseTo(6, 12);
    expect(latency.samplesMs).toBeUndefined();
    const without = read({ percentilesMs: { p50: 2, p90: 3 } });
    expect(summarise([...sessions, without]).p99Ms).toBeNull();
  });

  it('keeps at most two hundred samples for plots', () => {
    const latency = summarise([flat(1, 500), flat(1, 500), flat(1, 500)]);
    expect(latency.samples).toBe(1500);
    expect(latency.samplesMs?.length).toBeLessThanOrEqual(200);
  });

  it('is refused when sessions disagree about what the time includes, or whose clock it is', () => {
    const other = read({ samplesMs: [1], includesIo: false });
    expect(() => summarise([flat(1, 3), flat(1, 3), other])).toThrow('includesIo');
    const device = read({ samplesMs: [1], clock: 'device' });
    expect(() => summarise([flat(1, 3), flat(1, 3), device])).toThrow('clock');
  });

  it('says whose clock it is where the program does, and nothing where it does not', () => {
    const sessions = [1, 1, 1].map((ms) => read({ samplesMs: [ms, ms], clock: 'device' }));
    expect(summarise(sessions).clock).toBe('device');
    expect(summarise([flat(1, 3), flat(1, 3), flat(1, 3)])).not.toHaveProperty('clock');
  });

  it('has the interval of the percentile asked for: of samples, or of the tails a program reported', () => {
    const tailed = [...Array<number>(380).fill(1), ...Array<number>(20).fill(3)];
    const latency = summarise(
      Array.from({ length: 6 }, () => read({ samplesMs: tailed })),
      99,
    );
    expect(latency).toMatchObject({ stable: true, p99Ms: 3, intervalMs: { percentile: 99, lo: 3, hi: 3 } });
    const reported = [4, 9, 6].map((p99) => read({ percentilesMs: { p50: 2, p90: 3, p99 } }));
    const wide = summarise(reported, 99);
    expect(wide).toMatchObject({ stable: false, intervalMs: { percentile: 99 } });
    expect(wide.intervalMs.lo).toBeLessThan(6);
    expect(wide.intervalMs.hi).toBeGreaterThan(6);
  });

  it('is made of sessions with more samples than a call may have arguments', () => {
    const many = read({ samplesMs: Array.from({ length: 200_000 }, (_, index) => 0.01 + (index % 7) * 0.001) }, 1000);
    expect(summarise([many, many, many], 99)).toMatchObject({ samples: 600_000, p99Ms: 0.016 });
  });

  it('is unstable where nothing bounds the percentile asked for', () => {
    const few = summarise([flat(1, 50), flat(1, 50), flat(2, 50)], 99);
    expect(few).toMatchObject({ stable: false, p99Ms: null, intervalMs: { percentile: 99, hi: 2 } });
    const without = [1, 2, 3].map(() => read({ percentilesMs: { p50: 2, p90: 3 } }));
    const ofP90 = { percentile: 90, lo: expect.closeTo(3, 12), hi: expect.closeTo(3, 12) };
    expect(summarise(without, 99)).toMatchObject({ stable: false, p99Ms: null, intervalMs: ofP90 });
  });
});
