import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseProfile } from '../../accelerators/profile-file.ts';
import { simulatedLatencyMs, type Work } from '../../accelerators/simulated.ts';

const profile = parseProfile(
  {
    like: 'simulated',
    id: 'unit',
    peakTflops: { fp32: 1e-3 },
    memory: { gigabytesPerS: 1e-3 },
    kernelOverheadUs: 100,
    efficiency: { arithmetic: { conv: 0.5 } },
  },
  'unit',
);

describe('latency of a roofline device', () => {
  it('is bound by compute above the ridge point', () => {
    expect(simulatedLatencyMs({ macs: 5e6, activationBytes: 10, weightBytes: 10, kernels: 0 }, 1, profile)).toBeCloseTo(
      20,
      9,
    );
  });

  it('is bound by memory below it, weights read once a batch', () => {
    const work = { macs: 1, activationBytes: 1000, weightBytes: 500, kernels: 0 };
    expect(simulatedLatencyMs(work, 4, profile)).toBeCloseTo(9, 9);
  });

  it('costs launches even without work', () => {
    expect(simulatedLatencyMs({ macs: 0, activationBytes: 0, weightBytes: 0, kernels: 7 }, 1, profile)).toBeCloseTo(
      0.7,
      9,
    );
  });

  it('has the numbers it always had', () => {
    // 100 GFLOP/s, 20 GB/s, 60 % of either, 4 µs a kernel.
    const work = { macs: 3e6, activationBytes: 0, weightBytes: 0, kernels: 5 };
    expect(simulatedLatencyMs(work)).toBeCloseTo(6e6 / 0.6e8 + 0.02, 12);
    expect(simulatedLatencyMs({ ...work, activationBytes: 6e6, weightBytes: 2e6 }, 3)).toBeCloseTo(
      20e6 / 12e6 + 0.02,
      12,
    );
  });

  it('never falls when work or batch grows', () => {
    const count = fc.integer({ min: 0, max: 1e9 });
    const work = fc.record({ macs: count, activationBytes: count, weightBytes: count, kernels: fc.nat(500) });
    fc.assert(
      fc.property(work, work, fc.integer({ min: 1, max: 64 }), (base, more, batch) => {
        const larger = Object.fromEntries(
          Object.entries(base).map(([key, value]) => [key, value + more[key as keyof Work]]),
        );
        expect(simulatedLatencyMs(larger as unknown as Work, batch + 1)).toBeGreaterThanOrEqual(
          simulatedLatencyMs(base, batch),
        );
      }),
    );
  });
});
