import type { Accelerator } from '../../accelerators/accelerator.ts';
import { SimulatedClock } from '../../core/clock.ts';
import type { MeasureContext } from '../../latency/measure.ts';
import type { Protocol } from '../../latency/protocol.ts';
import { openReference } from '../../latency/reference.ts';

export const model = new Uint8Array([1]);

export const protocol: Protocol = {
  warmup: { minRuns: 4, window: 2, tolerance: 0.05, maxMs: 1000 },
  block: { ms: 1000, minSamples: 3, maxSamples: 20, discard: 1 },
  reference: { runs: 3, tolerance: 0.1, maxRejected: 4, settleMs: 0, otherLoad: 0.1 },
  sessions: { min: 3, max: 6, blocks: 2, gapMs: 5 },
  interval: { level: 0.95, tolerance: 0.05 },
  tail: { tolerance: 0.1, capMs: 1e7 },
  server: { sessions: 8, arrivals: 250, rampUp: 0.1, rates: 7, capMs: 1e9 },
  capMs: 1e6,
};

/** An accelerator on a simulated clock whose runs take what a function says; its reference takes a millisecond. */
export async function scriptedDevice(modelMs: (run: number) => number): Promise<MeasureContext> {
  const clock = new SimulatedClock();
  let run = 0;
  const accelerator: Accelerator = {
    id: 'fake',
    open: async (bytes) => ({
      inputs: [{ name: 'x', dtype: 'float32', dims: ['batch', 2] }],
      outputs: ['y'],
      run: async () => {
        clock.advance(bytes === model ? modelMs(run++) : 1);
        return {};
      },
      close: async () => {},
    }),
  };
  const reference = await openReference(accelerator, 1, clock);
  const fingerprint = { host: 'h', os: 'o', cpu: 'c', cores: 1, runtime: 'r', provider: 'fake', node: 'n' };
  return { accelerator, reference, clock, fingerprint };
}
