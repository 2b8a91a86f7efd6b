import { describe, expect, it } from 'vitest';
import type { Accelerator } from '../../accelerators/accelerator.ts';
import { SimulatedClock } from '../../core/clock.ts';
import { Random } from '../../core/random.ts';
import type { HostLoad } from '../../latency/host-load.ts';
import type { Latency } from '../../latency/latency.ts';
import { measure } from '../../latency/measure.ts';
import { protocols } from '../../latency/protocol.ts';
import { openReference } from '../../latency/reference.ts';

// What bench/latency/repeatability.ts asks of a real machine, of a simulated one: two cores, sessions that differ, and a
// neighbour that comes and goes. As on the real one, the reference kernel does not feel the neighbour.

const model = new Uint8Array([1]);
const quietMs = 3;

interface Machine {
  /** Standard deviation, in logs, of what a fresh session's time is multiplied with. */
  readonly between: number;
  /** Mean times of the neighbour being away and there, in milliseconds; none when left out. */
  readonly neighbour?: { readonly awayMs: number; readonly thereMs: number };
}

/** One thorough measurement of a network that takes 3 ms, and twice as long beside the neighbour. */
async function measured(machine: Machine, seed: string): Promise<Latency> {
  const clock = new SimulatedClock();
  const random = new Random(seed);
  const { neighbour } = machine;
  let [there, untilMs, otherCpuMs] = [false, neighbour ? 0 : Number.POSITIVE_INFINITY, 0];
  /** Lets time pass, during which the neighbour may come or go, and counts what it uses: one core of the two. */
  const pass = (ms: number): void => {
    clock.advance(ms);
    if (there) otherCpuMs += ms;
    if (!neighbour) return;
    while (clock.now() >= untilMs) {
      there = !there;
      untilMs += -Math.log(1 - random.uniform()) * (there ? neighbour.thereMs : neighbour.awayMs);
    }
  };
  const accelerator: Accelerator = {
    id: 'fake',
    open: async (bytes) => {
      const session = Math.exp(machine.between * random.normal());
      return {
        inputs: [{ name: 'x', dtype: 'float32', dims: ['batch', 2] }],
        outputs: ['y'],
        run: async () => {
          const jitter = Math.exp(0.03 * random.normal());
          pass(bytes === model ? quietMs * session * jitter * (there ? 2 : 1) : 0.4 * jitter);
          return {};
        },
        close: async () => {},
      };
    },
  };
  // Pauses are time as well.
  const ticking = { now: () => clock.now(), sleep: async (ms: number) => pass(ms) };
  const load: HostLoad = { cores: 2, stepMs: 10, otherCpuMs: () => 10 * Math.floor(otherCpuMs / 10) };
  const reference = await openReference(accelerator, 1, ticking);
  const fingerprint = { host: 'h', os: 'o', cpu: 'c', cores: 2, runtime: 'r', provider: 'fake', node: 'n' };
  const setting = { accelerator: 'fake', batch: 1, threads: 1 };
  return measure(
    { model, setting, protocol: protocols.thorough },
    { accelerator, reference, clock: ticking, load, fingerprint },
  );
}

const apart = (a: number, b: number): number => Math.exp(Math.abs(Math.log(a / b))) - 1;
const many = (machine: Machine, count: number): Promise<Latency[]> =>
  Promise.all(Array.from({ length: count }, (_, index) => measured(machine, `machine ${index}`)));

describe('repeating a measurement on a quiet machine', () => {
  it.each([0.01, 0.03, 0.06, 0.1])(
    'is within a twentieth in nine pairs of ten, or one said unstable, when sessions differ by %f',
    async (between) => {
      const latencies = await many({ between }, 60);
      const pairs = Array.from(
        { length: 30 },
        (_, pair) => latencies.slice(2 * pair, 2 * pair + 2) as [Latency, Latency],
      );
      const kept = pairs.filter(([a, b]) => !a.stable || !b.stable || apart(a.p50Ms, b.p50Ms) <= 0.05);
      expect(kept.length / pairs.length).toBeGreaterThanOrEqual(0.9);
      // An instrument that always says unstable would pass: on a good machine it must not.
      if (between <= 0.03)
        expect(latencies.filter(({ stable }) => stable).length / latencies.length).toBeGreaterThan(0.9);
    },
  );
});

describe('beside a neighbour that takes the other core', () => {
  it.each([
    ['all the time', { awayMs: 1e-6, thereMs: 1e12 }],
    ['half the time, for seconds', { awayMs: 3000, thereMs: 3000 }],
    ['half the time, for fractions of a second', { awayMs: 200, thereMs: 200 }],
    ['now and then', { awayMs: 3000, thereMs: 300 }],
  ])('%s it said unstable, or is within a twentieth of the quiet figure', async (_, neighbour) => {
    const latencies = await many({ between: 0.01, neighbour }, 30);
    const wrong = latencies.filter(({ stable, p50Ms }) => stable && apart(p50Ms, quietMs) > 0.05);
    expect(wrong).toEqual([]);
  });

  it('now and then, it still comes to a stable figure', async () => {
    const latencies = await many({ between: 0.01, neighbour: { awayMs: 3000, thereMs: 300 } }, 30);
    expect(latencies.filter(({ stable }) => stable).length).toBeGreaterThan(20);
  });
});
