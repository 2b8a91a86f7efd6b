import { type Child, childEntry, openChild } from '../core/child.ts';
import { fingerprint, needsSession } from './fingerprint.ts';
import { withHostLock } from './host-lock.ts';
import type { Fingerprint, Latency } from './latency.ts';
import type { FingerprintTask, MeasureTask } from './measure-child.ts';
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
  /**
   * What measurements of a provider are stamped with here: asked of the measuring process where only that knows it, once.
   * Throws as `measure` does.
   */
  fingerprint(accelerator: string, call?: MeterCall): Promise<Fingerprint>;
  close(): Promise<void>;
}

type Answer = Latency | Offline | Server | Fingerprint;
type MeasuringChild = Child<MeasureTask | FingerprintTask, Answer, MeasureProgress>;

const entry = childEntry(import.meta.url, './measure-child');

/**
 * A meter that measures in one long-lived child process, started when it is first asked, holding the host's lock exclusively for
 * each measurement. One process for many: starting it costs as much as a quick measurement, and its
 * reference kernel remembers how fast this host was. Every measurement has fresh sessions.
 */
export function openMeter(options: { readonly lockDirectory?: string } = {}): Meter {
  let child: MeasuringChild | undefined;
  const fingerprints = new Map<string, Fingerprint>();

  const living = (): MeasuringChild => {
    if (!child?.alive) child = openChild({ entry });
    return child;
  };

  /** A process whose device was lost holds what is left of it; a new one may find the device again. */
  const dropLost = async (error: { readonly code?: string }): Promise<never> => {
    if (error.code === 'device-lost') await child?.close();
    throw error;
  };

  const run = (task: MeasureTask | FingerprintTask, { signal, onProgress }: MeterCall = {}): Promise<Answer> =>
    withHostLock(
      'exclusive',
      async () => (await living().call(task, { signal, onEvent: onProgress }).catch(dropLost)).output,
      { signal, directory: options.lockDirectory },
    );

  // What the child answers follows from what it is asked for.
  return {
    measure: (request, call) => run(request, call) as Promise<Latency>,
    offline: (request, call) => run({ ...request, scenario: 'offline' }, call) as Promise<Offline>,
    server: (request, question, call) => run({ ...request, scenario: question }, call) as Promise<Server>,
    async fingerprint(accelerator, call) {
      if (!needsSession(accelerator)) return fingerprint(accelerator);
      const known = fingerprints.get(accelerator) ?? ((await run({ fingerprintOf: accelerator }, call)) as Fingerprint);
      fingerprints.set(accelerator, known);
      return known;
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
