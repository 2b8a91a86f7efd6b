import type { Accelerator } from '../accelerators/accelerator.ts';
import { convolutionKernel } from '../accelerators/probe.ts';
import type { Clock } from '../core/clock.ts';
import { median, quantile } from '../core/quantile.ts';

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
 * Opens the reference kernel: a 3×3 convolution, 21 M multiply-accumulates, 0.3 MB of activations; of 0.3 M on
 * a device that is slow at that one, such as an emulated GPU, where observing would take longer than measuring.
 * Keep it open over measurements: a fresh session of it would be another reference.
 */
export async function openReference(accelerator: Accelerator, threads: number, clock: Clock): Promise<Reference> {
  const { kernel, session } = await openKernel(accelerator, threads, clock);
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

/** Where a run takes longer, a smaller kernel is the reference. CPU cores of this decade take 0.2 to 5 ms. */
const slowMs = 40;

async function openKernel(accelerator: Accelerator, threads: number, clock: Clock) {
  const open = async (channels: number, side: number) => {
    const kernel = convolutionKernel(channels, side);
    // Without spinning: its idle threads must not disturb what is measured between observations.
    return { kernel, session: await accelerator.open(kernel.model, { threads, spinning: false }) };
  };
  const usual = await open(64, 24);
  // The first run allocates and compiles.
  await usual.session.run(usual.kernel.feeds);
  const startMs = clock.now();
  await usual.session.run(usual.kernel.feeds);
  if (clock.now() - startMs <= slowMs) return usual;
  const small = await open(16, 12);
  await usual.session.close();
  return small;
}
