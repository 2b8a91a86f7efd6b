import type { Accelerator } from '../accelerators/accelerator.ts';
import { onnxRuntimeAccelerator } from '../accelerators/onnxruntime.ts';
import { profiled } from '../accelerators/runtime-profile.ts';
import { serveChild } from '../core/child.ts';
import { systemClock } from '../core/clock.ts';
import { fingerprint } from './fingerprint.ts';
import { hostLoad } from './host-load.ts';
import { randomInputs } from './inputs.ts';
import { type KernelTime, kernelTimesOf } from './kernel-times.ts';
import type { Fingerprint } from './latency.ts';
import { measure, steadyClock } from './measure.ts';
import type { Protocol } from './protocol.ts';
import { openReference, type Reference } from './reference.ts';
import { median } from '../core/quantile.ts';

/** A network to be observed from outside and, unless left out, from inside. */
export interface ObserveTask {
  /** Bytes of an ONNX file. */
  readonly model: Uint8Array;
  readonly batch: number;
  readonly threads: number;
  readonly protocol: Protocol;
  /** Runs with the runtime's own profile too. */
  readonly profiles: boolean;
}

/** What was seen of a network. */
export interface ObservedTimes {
  readonly p50Ms: number;
  readonly sessionP50Ms: readonly number[];
  readonly stable: boolean;
  /** Median of what the reference kernel took in the same seconds. */
  readonly referenceMs: number;
  readonly kernels: readonly KernelTime[];
  readonly fingerprint: Fingerprint;
}

const load = hostLoad();
const clock = steadyClock(systemClock);
const accelerator = onnxRuntimeAccelerator('cpu');
const references = new Map<number, Reference>();

/** Runs before the ones a profile is read of, */
const skippedRuns = 3;
/** and how many these are: for so long, within these limits. */
const profileRuns = { ms: 60, fewest: 5, most: 40 };

serveChild<ObserveTask, ObservedTimes>(async ({ model, batch, threads, protocol, profiles }, { signal }) => {
  const reference = references.get(threads) ?? (await openReference(accelerator, threads, clock));
  references.set(threads, reference);
  const seenMs: number[] = [];
  const watched: Reference = {
    ...reference,
    async observe(runs) {
      const observedMs = await reference.observe(runs);
      seenMs.push(observedMs);
      return observedMs;
    },
  };
  const setting = { accelerator: 'cpu', batch, threads };
  const witnesses = { reference: watched, ...(load ? { load } : {}), clock, signal };
  const context = { ...witnesses, accelerator, fingerprint: fingerprint('cpu') };
  const { p50Ms, sessionP50Ms = [], stable } = await measure({ model, setting, protocol }, context);
  const kernels = profiles ? await profile(accelerator, model, { batch, threads }) : [];
  return { p50Ms, sessionP50Ms, stable, referenceMs: median(seenMs), kernels, fingerprint: context.fingerprint };
});

async function profile(
  on: Accelerator,
  model: Uint8Array,
  { batch, threads }: { readonly batch: number; readonly threads: number },
): Promise<readonly KernelTime[]> {
  const noted = await profiled(on, model, { threads }, async (session) => {
    const feeds = randomInputs(session.inputs, batch);
    for (let run = 0; run < skippedRuns; run++) await session.run(feeds);
    const startMs = clock.now();
    for (let run = 0; run < profileRuns.most; run++) {
      if (run >= profileRuns.fewest && clock.now() - startMs > profileRuns.ms) break;
      await session.run(feeds);
    }
  });
  return kernelTimesOf(noted, skippedRuns);
}
