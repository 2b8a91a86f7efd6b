import type { Accelerator } from '../accelerators/accelerator.ts';
import { convolutionKernel } from '../accelerators/probe.ts';
import type { Clock } from '../core/clock.ts';
import { median, quantile } from './statistics.ts';

/** Observations that are remembered. A host that became slower for good is believed after most of them. */
const memory = 64;
/** Of what is remembered, the share that is at least this host undisturbed: a disturbance only slows it down. */
const quietShare = 0.1;

/** A fixed kernel on an accelerator: its time tells whether the machine is the one it was. */
export interface Reference {
  /** Median time of `runs` runs, in milliseconds; remembered. Two runs before them are not counted. */
  observe(runs: number): Promise<number>;
  /** Relative departure of an observation from the fast end (the tenth percentile) of what is remembered. */
  departure(observedMs: number): number;
  close(): Promise<void>;
}

/**
 * Opens the reference kernel: a 3×3 convolution, 21 M multiply-accumulates, 0.3 MB of activations.
 * Keep it open over measurements: a fresh session of it would be another reference.
 */
export async function openReference(accelerator: Accelerator, threads: number, clock: Clock): Promise<Reference> {
  const kernel = convolutionKernel(64, 24);
  // Without spinning: its idle threads must not disturb what is measured between observations.
  const session = await accelerator.open(kernel.model, { threads, spinning: false });
  const observations: number[] = [];
  const reference: Reference = {
    async observe(runs) {
      const timesMs: number[] = [];
      for (let run = -2; run < runs; run++) {
        const startMs = clock.now();
        await session.run(kernel.feeds);
        if (run >= 0) timesMs.push(clock.now() - startMs);
      }
      const observedMs = median(timesMs);
      observations.push(observedMs);
      if (observations.length > memory) observations.shift();
      return observedMs;
    },
    departure: (observedMs) => Math.abs(observedMs / quantile(Float64Array.from(observations).sort(), quietShare) - 1),
    close: () => session.close(),
  };
  // Something to compare with from the first block on.
  for (let seen = 0; seen < 5; seen++) await reference.observe(11);
  return reference;
}
