import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  chooseSetting,
  keepsLimit,
  limitDoubt,
  perExample,
  runPercentileMs,
  settingsOf,
  someSettingMeets,
  type TriedSetting,
} from '../../latency/setting.ts';
import { latency } from '../report/fixture.ts';

const ran = (batch: number, p50Ms: number, precision: 'fp32' | 'fp16' = 'fp32'): TriedSetting => ({
  batch,
  precision,
  latency: latency(p50Ms, { batch, precision }),
});
const limit = (ms: number, percentile = 50) => ({ percentile, ms });

describe('the settings of a target', () => {
  test('are every batch in every precision, small batches first', () => {
    expect(settingsOf([8, 1], ['fp16', 'fp32'])).toEqual([
      { batch: 1, precision: 'fp16' },
      { batch: 1, precision: 'fp32' },
      { batch: 8, precision: 'fp16' },
      { batch: 8, precision: 'fp32' },
    ]);
  });
});

describe('a limit of the p99', () => {
  const measured = latency(2, { p90Ms: 3, p99Ms: 8 });
  const few = latency(2, { p90Ms: 3, p99Ms: null, samples: 120 });

  test('is kept or missed by the p99 where it was measured', () => {
    expect([9, 8, 7].map((ms) => keepsLimit(measured, limit(ms, 99)))).toEqual([true, true, false]);
  });

  test('is missed where the p90 is above it already, and not known to be kept else', () => {
    expect([2.9, 3, 9].map((ms) => keepsLimit(few, limit(ms, 99)))).toEqual([false, 'unknown', 'unknown']);
    expect([2.9, 3].map((ms) => keepsLimit(few, limit(ms, 90)))).toEqual([false, true]);
    expect(limitDoubt(few)).toBe('its p90 is within it, but 120 samples are too few for a p99');
    expect(limitDoubt({ ...few, reported: true, samples: 0 })).toMatch(/the program reported no p99$/);
  });

  test('is of whole runs, also of a latency of one example', () => {
    expect(keepsLimit(perExample({ ...measured, batch: 4 }), limit(8, 99))).toBe(true);
  });
});

const intervalMs = (lo: number, hi: number) => ({ percentile: 50, level: 0.95, lo, hi });
describe('the setting chosen for a network', () => {
  const tried = [ran(1, 1), ran(8, 4), ran(32, 20)];

  test('takes least time an example, when nothing limits a run', () => {
    expect(chooseSetting(tried)).toMatchObject({ batch: 8, p50Ms: 0.5, per: 'example' });
  });

  test('is the best of those whose run is within the limit', () => {
    expect(chooseSetting(tried, limit(4.1))).toMatchObject({ batch: 8 });
    expect(chooseSetting(tried, limit(3.9))).toMatchObject({ batch: 1, p50Ms: 1 });
    // By the limit's percentile: the fixture's p90 is 1.05 of its p50.
    expect(chooseSetting(tried, limit(4.1, 90))).toMatchObject({ batch: 1 });
  });

  test('comes nearest to the limit where none is within it, and does not meet it', () => {
    const chosen = chooseSetting(tried, limit(0.5));
    expect(chosen).toMatchObject({ batch: 1 });
    expect(chosen && runPercentileMs(chosen, 50)).toBe(1);
    expect(chosen && someSettingMeets(chosen, limit(0.5))).toBe(false);
  });

  test('says what it was chosen from, refusals with their reason', () => {
    const chosen = chooseSetting([ran(1, 2), { batch: 1, precision: 'fp16', refusal: 'webgpu: no shader-f16' }]);
    expect(chosen).toMatchObject({
      batch: 1,
      p50Ms: 2,
      chosenFrom: [
        { batch: 1, precision: 'fp32', p50Ms: 2, runMs: 2 },
        { batch: 1, precision: 'fp16', p50Ms: null, runMs: null, refusal: 'webgpu: no shader-f16' },
      ],
    });
  });

  test('is of one run where only precisions differ', () => {
    const chosen = chooseSetting([ran(8, 4), ran(8, 3, 'fp16')]);
    expect(chosen).toMatchObject({ precision: 'fp16', p50Ms: 3, batch: 8 });
    expect(chosen?.per).toBeUndefined();
  });

  test('a slower fp16 is not taken', () => {
    expect(chooseSetting([ran(1, 1), ran(1, 1.4, 'fp16')])).toMatchObject({ precision: 'fp32' });
  });

  test('is the first of those whose intervals meet the best’s, for measuring cannot tell them apart', () => {
    const single = {
      batch: 1,
      precision: 'fp32',
      latency: latency(1, { intervalMs: intervalMs(0.97, 1.03) }),
    } as const;
    const half = (lo: number, hi: number, source: 'measured' | 'predicted' = 'measured') => {
      const about = { precision: 'fp16', source, intervalMs: intervalMs(lo, hi) } as const;
      return { batch: 1, precision: 'fp16', latency: latency(0.95, about) } as const;
    };
    expect(chooseSetting([single, half(0.9, 0.98)])?.precision).toBe('fp32');
    expect(chooseSetting([single, half(0.93, 0.96)])?.precision).toBe('fp16');
    const predicted = { ...single, latency: { ...single.latency, source: 'predicted' as const } };
    expect(chooseSetting([predicted, half(0.5, 1.5, 'predicted')])?.precision).toBe('fp16');
  });

  test('is none where nothing ran', () => {
    expect(chooseSetting([{ batch: 1, precision: 'fp16', refusal: 'no' }])).toBeUndefined();
  });

  test('a limit is met by some setting exactly when the smallest run meets it', () => {
    const ms = fc.integer({ min: 1, max: 20 });
    fc.assert(
      fc.property(ms, ms, ms, ms, (one, eight, many, allowed) => {
        const all = [ran(1, one), ran(8, eight), ran(32, many)];
        const chosen = chooseSetting(all, limit(allowed));
        const isWithin = Math.min(one, eight, many) <= allowed;
        expect(chosen && someSettingMeets(chosen, limit(allowed))).toBe(isWithin);
        // What is chosen keeps the limit whenever anything does (dividing and multiplying again may round).
        if (isWithin) expect(chosen && runPercentileMs(chosen, 50)).toBeLessThanOrEqual(allowed * (1 + 1e-12));
      }),
    );
  });
});

describe('a latency per example', () => {
  test('divides every time, and its run is what it was', () => {
    const run = latency(8, { batch: 4 });
    const one = perExample(run);
    expect(one).toMatchObject({
      per: 'example',
      batch: 4,
      p50Ms: 2,
      p90Ms: run.p90Ms / 4,
      intervalMs: { lo: run.intervalMs.lo / 4 },
    });
    expect(one.samplesMs).toEqual(run.samplesMs?.map((ms) => ms / 4));
    for (const percentile of [50, 90, 99])
      expect(runPercentileMs(one, percentile)).toBeCloseTo(runPercentileMs(run, percentile), 12);
  });
});
