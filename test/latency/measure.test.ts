import { describe, expect, it } from 'vitest';
import type { Accelerator } from '../../accelerators/accelerator.ts';
import { SimulatedClock } from '../../core/clock.ts';
import { ConfigError, InterruptedError, InvalidFileError } from '../../core/errors.ts';
import { randomInputs } from '../../latency/inputs.ts';
import type { HostLoad } from '../../latency/host-load.ts';
import { latencySchema, type Percentile } from '../../latency/latency.ts';
import { measure, type MeasureContext, type MeasureRequest } from '../../latency/measure.ts';
import { type Protocol, protocols, protocolSchema } from '../../latency/protocol.ts';
import { openReference } from '../../latency/reference.ts';

const protocol: Protocol = {
  warmup: { minRuns: 4, window: 2, tolerance: 0.05, maxMs: 1000 },
  block: { ms: 1000, minSamples: 3, maxSamples: 20, discard: 1 },
  reference: { runs: 3, tolerance: 0.1, maxRejected: 4, settleMs: 0, otherLoad: 0.1 },
  sessions: { min: 3, max: 6, blocks: 2, gapMs: 5 },
  interval: { level: 0.95, tolerance: 0.05 },
  tail: { tolerance: 0.1, capMs: 1e7 },
  server: { sessions: 3, arrivals: 100, rampUp: 0.1, rates: 5, capMs: 1e9 },
  capMs: 1e6,
};
const fingerprint = { host: 'h', os: 'o', cpu: 'c', cores: 1, runtime: 'r', provider: 'fake', node: 'n' };
const model = new Uint8Array([1]);

/** An accelerator whose runs move a simulated clock by what a script says. */
class ScriptedAccelerator implements Accelerator {
  readonly id = 'fake';
  readonly clock = new SimulatedClock();
  opened = 0;
  closed = 0;
  runs = 0;
  /** Time of a run of the model: by session from 0, and run within it from 0. */
  modelMs: (session: number, run: number) => number = () => 10;
  /** Time of a run of the reference, by the count of model runs before it. */
  referenceMs: (modelRuns: number) => number = () => 1;

  async open(bytes: Uint8Array) {
    const isModel = bytes === model;
    const session = this.opened;
    if (isModel) this.opened++;
    let run = 0;
    return {
      inputs: [{ name: 'x', dtype: 'float32', dims: ['batch', 2] }],
      outputs: ['y'],
      run: async () => {
        this.clock.advance(isModel ? this.modelMs(session, run++) : this.referenceMs(this.runs));
        if (isModel) this.runs++;
        return {};
      },
      close: async () => {
        if (isModel) this.closed++;
      },
    };
  }
}

async function measureOn(
  accelerator: ScriptedAccelerator,
  changes: Partial<Protocol> = {},
  context: Partial<MeasureContext> = {},
  percentile?: Percentile,
) {
  const request: MeasureRequest = {
    ...(percentile === undefined ? {} : { percentile }),
    model,
    setting: { accelerator: 'fake', batch: 2, threads: 1 },
    protocol: { ...protocol, ...changes },
  };
  const { clock } = accelerator;
  const reference = await openReference(accelerator, 1, clock);
  return measure(request, { accelerator, reference, clock, fingerprint, ...context });
}

describe('a measurement on a quiet machine', () => {
  it('is a valid record: exact, stable, with the setting and fingerprint it was made with', async () => {
    const accelerator = new ScriptedAccelerator();
    const latency = await measureOn(accelerator);
    expect(latencySchema.parse(latency)).toEqual(latency);
    expect(latency).toMatchObject({ source: 'measured', accelerator: 'fake', batch: 2, threads: 1, precision: 'fp32' });
    expect(latency).toMatchObject({
      stable: true,
      drift: 0,
      rejectedBlocks: 0,
      includesIo: true,
      clock: 'host',
      calibrated: true,
      fingerprint,
    });
    expect(latency.p50Ms).toBeCloseTo(10, 9);
    expect(latency.intervalMs.hi - latency.intervalMs.lo).toBeLessThan(1e-6);
    expect(latency).toMatchObject({ sessions: 3, samples: 120, p99Ms: null });
  });

  it('opens fresh sessions and closes each', async () => {
    const accelerator = new ScriptedAccelerator();
    await measureOn(accelerator);
    expect([accelerator.opened, accelerator.closed]).toEqual([3, 3]);
  });

  it('counts no warm-up run, however slow', async () => {
    const accelerator = new ScriptedAccelerator();
    accelerator.modelMs = (_, run) => (run < 5 ? 10 * 2 ** (5 - run) : 10);
    const latency = await measureOn(accelerator);
    expect(Math.max(...(latency.samplesMs ?? []))).toBeCloseTo(10, 9);
  });

  it('has a p99 of all samples once there are 300', async () => {
    const accelerator = new ScriptedAccelerator();
    accelerator.modelMs = (_, run) => (run % 25 === 0 ? 40 : 10);
    const latency = await measureOn(accelerator, { block: { ...protocol.block, maxSamples: 100, ms: 1e5 } });
    expect(latency).toMatchObject({ samples: 600 });
    expect([latency.p50Ms, latency.p90Ms, latency.p99Ms].map((ms) => Math.round(ms ?? 0))).toEqual([10, 10, 40]);
  });

  it('reports progress after every session', async () => {
    const seen: number[] = [];
    await measureOn(new ScriptedAccelerator(), {}, { onProgress: ({ session }) => seen.push(session) });
    expect(seen).toEqual([1, 2, 3]);
  });
});

it('reports every rejected block, so that a long disturbance is not a long silence', async () => {
  const accelerator = new ScriptedAccelerator();
  const load = scriptedLoad(accelerator, () => 0.5);
  const seen: string[] = [];
  await measureOn(
    accelerator,
    {},
    { load, onProgress: ({ session, rejectedBlocks }) => seen.push(`${session} ${rejectedBlocks}`) },
  );
  expect(seen.slice(0, 5)).toEqual(['0 1', '0 2', '0 3', '0 4', '1 4']);
});

describe('sessions that differ', () => {
  it('are added until the interval between them is tight enough', async () => {
    const accelerator = new ScriptedAccelerator();
    accelerator.modelMs = (session) => (session === 1 ? 10.4 : 10);
    const latency = await measureOn(accelerator);
    expect(latency).toMatchObject({ sessions: 4, stable: true });
    expect(latency.intervalMs.lo).toBeLessThan(latency.p50Ms);
    expect(latency.intervalMs.hi).toBeGreaterThan(latency.p50Ms);
  });

  it('are unstable when the most sessions do not suffice, though samples inside each agree exactly', async () => {
    const accelerator = new ScriptedAccelerator();
    accelerator.modelMs = (session) => 10 + 3 * (session % 2);
    const latency = await measureOn(accelerator);
    expect(latency).toMatchObject({ sessions: 6, stable: false, drift: 0 });
    expect(latency.sessionP50Ms?.map(Math.round)).toEqual([10, 13, 10, 13, 10, 13]);
  });

  it('stop at the time cap, but not before the fewest that give an interval', async () => {
    const accelerator = new ScriptedAccelerator();
    accelerator.modelMs = (session) => 10 + 3 * (session % 2);
    expect(await measureOn(accelerator, { capMs: 1 })).toMatchObject({ sessions: 3, samples: 9, stable: false });
  });
});

describe('a machine that is disturbed', () => {
  it('has the disturbed block rejected and repeated', async () => {
    const accelerator = new ScriptedAccelerator();
    // From model run 30 to 60 everything takes twice as long.
    accelerator.referenceMs = (run) => (run >= 30 && run < 60 ? 2 : 1);
    accelerator.modelMs = () => 10 * accelerator.referenceMs(accelerator.runs);
    const latency = await measureOn(accelerator);
    expect(latency).toMatchObject({ stable: true, drift: 0, samples: 120 });
    expect(latency.rejectedBlocks).toBeGreaterThan(0);
    expect(latency.p50Ms).toBeCloseTo(10, 9);
  });

  it('is unstable when it never calms down, and the measurement ends all the same', async () => {
    const accelerator = new ScriptedAccelerator();
    let observed = 0;
    accelerator.referenceMs = () => (Math.floor(observed++ / 5) % 2 ? 2 : 1);
    const latency = await measureOn(accelerator);
    expect(latency).toMatchObject({ stable: false, rejectedBlocks: protocol.reference.maxRejected });
    expect(latency.drift).toBeGreaterThan(protocol.reference.tolerance);
  });
});

describe('a percentile that is asked for', () => {
  it('has samples enough for an interval of its own', async () => {
    const accelerator = new ScriptedAccelerator();
    // Every twentieth run takes 40 ms: 5 %, so p90 is 10 ms and p99 is 40 ms.
    accelerator.modelMs = (_, run) => (run % 20 === 0 ? 40 : 10);
    const latency = await measureOn(accelerator, {}, {}, 99);
    expect(latency).toMatchObject({ stable: true, intervalMs: { percentile: 99 } });
    // .99ⁿ ≤ .025 from n = 368 on; three sessions count as (4.303 ÷ 1.962)² times fewer.
    expect(latency.samples).toBeGreaterThanOrEqual(1770);
    expect(latency.intervalMs.lo).toBeCloseTo(40, 9);
    expect(latency.intervalMs.hi).toBeCloseTo(40, 9);
    expect(latency.p50Ms).toBeCloseTo(10, 9);
  });

  it('is unstable when its interval stays wide, however well the median is known', async () => {
    // Only every other session has slow runs at all.
    const [asked, median] = [new ScriptedAccelerator(), new ScriptedAccelerator()];
    for (const accelerator of [asked, median])
      accelerator.modelMs = (session, run) => (session % 2 && run % 20 === 0 ? 40 : 10);
    expect(await measureOn(asked, {}, {}, 99)).toMatchObject({ stable: false, sessions: 6 });
    expect(await measureOn(median)).toMatchObject({ stable: true, intervalMs: { percentile: 50 } });
  });

  it('is unstable when the time is up before samples bound it; the extreme sample ends its interval then', async () => {
    const accelerator = new ScriptedAccelerator();
    accelerator.modelMs = (_, run) => (run % 20 === 0 ? 40 : 10);
    const latency = await measureOn(accelerator, { tail: { tolerance: 0.1, capMs: 500 } }, {}, 99);
    expect(latency).toMatchObject({ stable: false, p99Ms: null, intervalMs: { percentile: 99, hi: 40 } });
    expect(latency.samples).toBeLessThan(300);
  });
});

/** Other processes that keep `busy(t)` of two cores busy from one moment to the next. */
function scriptedLoad({ clock }: ScriptedAccelerator, busy: (atMs: number) => number): HostLoad {
  let [atMs, otherCpuMs] = [clock.now(), 0];
  return {
    cores: 2,
    stepMs: 10,
    otherCpuMs() {
      // In steps of a tenth of a millisecond would be exact; a hundred of them are enough here.
      const stepMs = (clock.now() - atMs) / 100;
      for (let step = 0; step < 100; step++, atMs += stepMs) otherCpuMs += 2 * busy(atMs) * stepMs;
      return otherCpuMs;
    },
  };
}

/** The model takes twice as long while a neighbour is busy; the reference never changes. */
function neighbour(busy: (atMs: number) => number): { accelerator: ScriptedAccelerator; load: HostLoad } {
  const accelerator = new ScriptedAccelerator();
  accelerator.modelMs = () => (busy(accelerator.clock.now()) > 0.1 ? 20 : 10);
  return { accelerator, load: scriptedLoad(accelerator, busy) };
}

describe('other processes that the reference does not feel', () => {
  it('make a measurement unstable when they stay for all of it', async () => {
    const { accelerator, load } = neighbour(() => 0.5);
    const latency = await measureOn(accelerator, {}, { load });
    expect(latency).toMatchObject({ stable: false, drift: 0, rejectedBlocks: protocol.reference.maxRejected });
    expect(latency.otherLoad).toBeCloseTo(0.5, 6);
    expect(latencySchema.parse(latency)).toEqual(latency);
  });

  it('have their blocks rejected when they pass', async () => {
    const { accelerator, load } = neighbour((atMs) => (atMs > 150 && atMs < 500 ? 0.5 : 0));
    const latency = await measureOn(accelerator, {}, { load });
    expect(latency.rejectedBlocks).toBeGreaterThan(0);
    expect(latency).toMatchObject({ stable: true });
    expect(latency.p50Ms).toBeCloseTo(10, 9);
  });

  it('do no harm while they are few', async () => {
    const { accelerator, load } = neighbour(() => 0.05);
    const latency = await measureOn(accelerator, {}, { load });
    expect(latency).toMatchObject({ stable: true, rejectedBlocks: 0 });
    expect(latency.otherLoad).toBeCloseTo(0.05, 6);
  });
});

describe('a host that was faster when it was quiet', () => {
  it('is unstable all through, though nothing changes meanwhile', async () => {
    const latency = await measureOn(new ScriptedAccelerator(), {}, { quietReferenceMs: 0.8 });
    expect(latency).toMatchObject({ stable: false, referenceMs: 1 });
    expect(latency.drift).toBeCloseTo(0.25, 9);
  });

  it('is stable within the tolerance, and when it became faster', async () => {
    for (const quietReferenceMs of [0.95, 1.5])
      expect(await measureOn(new ScriptedAccelerator(), {}, { quietReferenceMs })).toMatchObject({ stable: true });
  });
});

it('stops between two runs when aborted, and closes its session', async () => {
  const accelerator = new ScriptedAccelerator();
  const controller = new AbortController();
  accelerator.modelMs = (_, run) => {
    if (run === 3) controller.abort();
    return 10;
  };
  const measuring = measureOn(accelerator, {}, { signal: controller.signal });
  await expect(measuring).rejects.toBeInstanceOf(InterruptedError);
  expect(accelerator).toMatchObject({ runs: 4, opened: 1, closed: 1 });
});

it.each(Object.keys(protocols) as (keyof typeof protocols)[])('the %s preset is a valid protocol', (preset) => {
  expect(protocolSchema.parse(protocols[preset])).toEqual(protocols[preset]);
});

const input = (dtype: string, dims: (number | string)[]) => [{ name: 'x', dtype, dims }];

describe('inputs', () => {
  it.each([
    ['float32', Float32Array],
    ['float16', Uint16Array],
    ['int32', Int32Array],
    ['int64', BigInt64Array],
    ['uint8', Uint8Array],
    ['bool', Uint8Array],
  ])(
    'of type %s have the declared shape with the batch filled in, and the same values every time',
    (dtype, constructor) => {
      const { x } = randomInputs(input(dtype, ['batch', 3, 5]), 4);
      expect(x).toMatchObject({ dtype, dims: [4, 3, 5] });
      expect(x?.data).toBeInstanceOf(constructor);
      expect(x?.data).toHaveLength(60);
      expect(new Set<number | bigint>(x?.data).size).toBeGreaterThan(1);
      expect(randomInputs(input(dtype, ['batch', 3, 5]), 4)).toEqual({ x });
    },
  );

  it('name a symbolic axis that is not the batch', () => {
    expect(() => randomInputs(input('float32', ['batch', 3, 'height', 5]), 1)).toThrow(ConfigError);
    expect(() => randomInputs(input('float32', ['batch', 3, 'height', 5]), 1)).toThrow(
      /input 'x'.*'height' \(axis 2\)/,
    );
  });

  it('refuse a batch the file is not fixed at', () => {
    expect(() => randomInputs(input('float32', [1, 3]), 8)).toThrow(/expected batch 8.*fixed at 1/);
    expect(randomInputs(input('float32', [8, 3]), 8)['x']?.dims).toEqual([8, 3]);
  });

  it('refuse types nobody can fill', () => {
    expect(() => randomInputs(input('string', ['batch']), 1)).toThrow(InvalidFileError);
  });
});
