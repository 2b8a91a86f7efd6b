import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type RooflineProfile, simulatedLatencyMs, type Work } from '../../accelerators/simulated.ts';

const profile: RooflineProfile = {
  id: 'unit',
  peakFlopsPerS: 1e9,
  bytesPerS: 1e6,
  efficiency: 0.5,
  kernelOverheadMs: 0.1,
};

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
