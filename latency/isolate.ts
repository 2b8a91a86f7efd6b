import { type Child, childEntry, openChild } from '../core/child.ts';
import { withHostLock } from './host-lock.ts';
import type { Latency } from './latency.ts';
import type { MeasureTask } from './measure-child.ts';
import type { MeasureProgress } from './measure.ts';

/** What to measure: a model by path or bytes, where, and by which protocol. */
export type MeterRequest = MeasureTask;

export interface MeterCall {
  /** Aborting ends the measuring process at once; the meter starts another when asked again. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: MeasureProgress) => void;
}

/** Measures latency. Calls may overlap; they are served one after another. */
export interface Meter {
  /**
   * @throws {InterruptedError} when aborted, waiting or measuring.
   * @throws {EnvironmentError} with the code `device-lost` when the device went away; the next call has a new process.
   * @throws {ChildCrashedError} when the model or its driver took the measuring process down.
   * @throws {RidgepointError} for a model that does not open.
   */
  measure(request: MeterRequest, call?: MeterCall): Promise<Latency>;
  close(): Promise<void>;
}

const entry = childEntry(import.meta.url, './measure-child');

/**
 * A meter that measures in one long-lived child process, holding the host's lock exclusively for
 * each measurement. One process for many: starting it costs as much as a quick measurement, and its
 * reference kernel remembers how fast this host was. Every measurement has fresh sessions.
 */
export function openMeter(options: { readonly lockDirectory?: string } = {}): Meter {
  let child: Child<MeasureTask, Latency, MeasureProgress> | undefined = openChild({ entry });

  const living = (): Child<MeasureTask, Latency, MeasureProgress> => {
    if (!child?.alive) child = openChild({ entry });
    return child;
  };

  /** A process whose device was lost holds what is left of it; a new one may find the device again. */
  const dropLost = async (error: { readonly code?: string }): Promise<never> => {
    if (error.code === 'device-lost') await child?.close();
    throw error;
  };

  return {
    measure(request, { signal, onProgress } = {}) {
      const task = async (): Promise<Latency> =>
        (await living().call(request, { signal, onEvent: onProgress }).catch(dropLost)).output;
      return withHostLock('exclusive', task, { signal, directory: options.lockDirectory });
    },
    async close() {
      await child?.close();
      child = undefined;
    },
  };
}

/** One measurement with a meter of its own. */
export async function measureInChild(request: MeterRequest, call?: MeterCall): Promise<Latency> {
  const meter = openMeter();
  try {
    return await meter.measure(request, call);
  } finally {
    await meter.close();
  }
}
