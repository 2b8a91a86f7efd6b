import { type Child, childEntry, openChild } from '../core/child.ts';
import { withHostLock } from './host-lock.ts';
import type { Latency } from './latency.ts';
import type { MeasureTask } from './measure-child.ts';
import type { MeasureProgress } from './measure.ts';
import type { Offline, Server, ServerQuestion } from './scenario.ts';

/** What to measure: a model by path or bytes, where, and by which protocol. */
export type MeterRequest = Omit<MeasureTask, 'scenario'>;

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
  /** Throughput of batches back to back. Throws as `measure` does. */
  offline(request: MeterRequest, call?: MeterCall): Promise<Offline>;
  /** Response times of requests that arrive by themselves. Throws as `measure` does. */
  server(request: MeterRequest, question: ServerQuestion, call?: MeterCall): Promise<Server>;
  close(): Promise<void>;
}

const entry = childEntry(import.meta.url, './measure-child');

/**
 * A meter that measures in one long-lived child process, holding the host's lock exclusively for
 * each measurement. One process for many: starting it costs as much as a quick measurement, and its
 * reference kernel remembers how fast this host was. Every measurement has fresh sessions.
 */
export function openMeter(options: { readonly lockDirectory?: string } = {}): Meter {
  let child: Child<MeasureTask, Latency | Offline | Server, MeasureProgress> | undefined = openChild({ entry });

  const living = (): Child<MeasureTask, Latency | Offline | Server, MeasureProgress> => {
    if (!child?.alive) child = openChild({ entry });
    return child;
  };

  /** A process whose device was lost holds what is left of it; a new one may find the device again. */
  const dropLost = async (error: { readonly code?: string }): Promise<never> => {
    if (error.code === 'device-lost') await child?.close();
    throw error;
  };

  const run = (task: MeasureTask, { signal, onProgress }: MeterCall = {}): Promise<Latency | Offline | Server> =>
    withHostLock(
      'exclusive',
      async () => (await living().call(task, { signal, onEvent: onProgress }).catch(dropLost)).output,
      { signal, directory: options.lockDirectory },
    );

  // What the child answers follows from the scenario asked for.
  return {
    measure: (request, call) => run(request, call) as Promise<Latency>,
    offline: (request, call) => run({ ...request, scenario: 'offline' }, call) as Promise<Offline>,
    server: (request, question, call) => run({ ...request, scenario: question }, call) as Promise<Server>,
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
