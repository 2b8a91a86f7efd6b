import { describe, expect, it } from 'vitest';
import { InterruptedError } from '../../core/errors.ts';
import type { Protocol } from '../../latency/protocol.ts';
import { type ServerQuestion, serverSchema } from '../../latency/scenario.ts';
import { measureServer } from '../../latency/server.ts';
import { model, protocol, scriptedDevice } from './scripted-device.ts';

async function served(
  question: Omit<ServerQuestion, 'seed'>,
  server: Partial<Protocol['server']> = {},
  serviceMs: (run: number) => number = () => 2,
) {
  const setting = { accelerator: 'fake', batch: 1, threads: 1 };
  const request = { model, setting, protocol: { ...protocol, server: { ...protocol.server, ...server } } };
  return measureServer(request, await scriptedDevice(serviceMs), { seed: 1, ...question });
}

/** P(wait ≤ t) of M/D/1: service D, rate λ (Erlang 1909; Tijms, A First Course in Stochastic Models, §9.2). */
function waitDistribution(tMs: number, rate: number, serviceMs: number): number {
  let sum = 0;
  let factorial = 1;
  for (let k = 0; k * serviceMs <= tMs; k++) {
    factorial *= Math.max(1, k);
    const x = rate * (tMs - k * serviceMs);
    sum += ((-x) ** k / factorial) * Math.exp(x);
  }
  return (1 - rate * serviceMs) * sum;
}

describe('a queue before a device of constant speed', () => {
  it.each([0.3, 0.5, 0.8])('waits as M/D/1 does at a utilisation of %f', async (utilisation) => {
    const serviceMs = 2;
    const [arrivals, sessions] = [20_000, 8];
    const { points } = await served({ ratePerS: (1e3 * utilisation) / serviceMs }, { arrivals, sessions });
    const [point] = points;
    // Pollaczek–Khinchine with a constant service.
    const meanWaitMs = (utilisation * serviceMs) / (2 * (1 - utilisation));
    // Waits of one busy period go together: at .8 the standard error of the mean of 160 000 is about 1.3 %. Three of them.
    expect(Math.abs((point?.meanWaitMs ?? 0) / meanWaitMs - 1)).toBeLessThan(0.04);
    expect(point?.utilisation).toBeCloseTo(utilisation, 1);
    // The wait below which 99 % of M/D/1's are is at our p99: P is .99 there.
    const rate = utilisation / serviceMs;
    for (const [q, ms] of [
      [0.9, point?.p90Ms ?? 0],
      [0.99, point?.p99Ms ?? 0],
    ] as const)
      expect(Math.abs(waitDistribution(ms - serviceMs, rate, serviceMs) - q)).toBeLessThan(0.15 * (1 - q));
    expect(point?.arrivals).toBe(arrivals * sessions);
  });

  it('is a valid record, the same for the same seed, other arrivals for another', async () => {
    const record = await served({ ratePerS: 200 });
    expect(serverSchema.parse(record)).toEqual(record);
    expect(await served({ ratePerS: 200 })).toEqual(record);
    const setting = { accelerator: 'fake', batch: 1, threads: 1 };
    const other = await measureServer({ model, setting, protocol }, await scriptedDevice(() => 2), {
      ratePerS: 200,
      seed: 2,
    });
    expect(other.points[0]?.meanWaitMs).not.toBe(record.points[0]?.meanWaitMs);
  });

  it('counts what a slow run does to those that wait behind it', async () => {
    // One run in a hundred takes 100 ms instead of 2: alone it would be the p99 and nothing else.
    const slow = await served({ ratePerS: 100 }, {}, (run) => (run % 100 === 99 ? 100 : 2));
    // Ten requests arrive during a slow run: about a tenth of all wait for one.
    expect(slow.points[0]?.p90Ms).toBeGreaterThan(5);
    expect(slow.service.p90Ms).toBeCloseTo(2, 9);
  });

  it('says so when it grows without end', async () => {
    const { points, highestRatePerS } = await served({ ratePerS: 800, limit: { percentile: 99, ms: 10 } });
    expect(points).toHaveLength(1);
    expect(points[0]).toMatchObject({ saturated: true, meets: false });
    expect(highestRatePerS).toBeNull();
  });
});

describe('the highest rate within a limit', () => {
  it('is that of queueing theory, rather below than above', async () => {
    const limit = { percentile: 99, ms: 10 };
    const { points, highestRatePerS } = await served({ limit }, { arrivals: 2000 });
    expect(points.length).toBeLessThanOrEqual(protocol.server.rates);
    // The rate at which P(wait ≤ 8 ms) is .99 when a service takes 2.
    let [lo, hi] = [0, 0.5];
    for (let step = 0; step < 40; step++) {
      const middle = (lo + hi) / 2;
      if (waitDistribution(8, middle, 2) > 0.99) lo = middle;
      else hi = middle;
    }
    const truthPerS = 1e3 * lo;
    expect(highestRatePerS).toBeLessThan(truthPerS * 1.02);
    expect(highestRatePerS).toBeGreaterThan(truthPerS * 0.85);
    for (const { meets, ratePerS } of points) if (meets) expect(ratePerS).toBeLessThanOrEqual(highestRatePerS ?? 0);
  });

  it('is none, and no rate is tried, when one request alone takes longer', async () => {
    expect(await served({ limit: { percentile: 99, ms: 1.5 } })).toMatchObject({ points: [], highestRatePerS: null });
  });

  it('is not looked for below a rate that brings too few arrivals in its time', async () => {
    // 250 a second for half a second are some 125 arrivals: no interval of a p99 has an upper end.
    const { points, highestRatePerS } = await served({ limit: { percentile: 99, ms: 1e3 } }, { capMs: 500 });
    expect(points).toHaveLength(1);
    expect(points[0]).toMatchObject({ meets: false, saturated: false, intervalMs: { hi: null } });
    expect(highestRatePerS).toBeNull();
  });

  it('is not claimed on arrivals too few to bound the percentile', async () => {
    const { points } = await served({ ratePerS: 10, limit: { percentile: 99, ms: 1e3 } }, { arrivals: 20 });
    expect(points[0]).toMatchObject({ meets: false, p99Ms: null, intervalMs: { hi: null } });
  });
});

it('stops while it waits for an arrival when aborted', async () => {
  const controller = new AbortController();
  const context = await scriptedDevice(() => 2);
  const setting = { accelerator: 'fake', batch: 1, threads: 1 };
  const answer = measureServer(
    { model, setting, protocol },
    { ...context, signal: controller.signal, onProgress: ({ at }) => at && controller.abort() },
    { ratePerS: 1, seed: 1 },
  );
  await expect(answer).rejects.toBeInstanceOf(InterruptedError);
});
