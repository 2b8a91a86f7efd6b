import { createReadStream } from 'node:fs';
import { commandNameOf } from '../commands/declaration.ts';
import { digestJson, shortDigest } from '../core/digest.ts';
import { InfeasibleModelError } from '../core/errors.ts';
import type { Latency } from '../latency/latency.ts';
import type { ProtocolPreset } from '../latency/protocol.ts';
import type { LatencyMeter } from '../study/context.ts';
import type { TargetConfig } from '../study/study-file.ts';
import type { SharedStore } from './store.ts';
import type { JobClient } from './client.ts';
import { jobId, type MeasureJob, measureResultSchema, received } from './contract.ts';

export interface FleetMeterOptions {
  /** Measures what this host has. */
  readonly here: LatencyMeter;
  readonly hasHere: (device: string) => boolean;
  /** The queue of a device, opened when it is first needed, and closed by whoever opens it. */
  readonly clientOf: (device: string) => Promise<JobClient>;
  readonly study: string;
  readonly store: SharedStore;
  /** Latencies that the journal holds. */
  readonly measured: () => number;
  /** Protocol where none is asked for. */
  readonly protocol: ProtocolPreset;
  readonly signal: AbortSignal;
}

/** A meter that has measured elsewhere what this host lacks: one queue a device, one measurement on it at a time. */
export function fleetMeter(options: FleetMeterOptions): LatencyMeter {
  const { here, hasHere, clientOf, study, store, measured, signal } = options;
  const clients = new Map<string, Promise<JobClient>>();
  const jobs = new WeakMap<Latency, () => void>();
  const spent = new WeakMap<object, number>();

  const measure = async (
    model: MeasureJob['model'],
    { device: id, batch, threads, precision, limit }: TargetConfig,
    protocol: MeasureJob['protocol'],
  ): Promise<Latency> => {
    // A command that this host does not declare is a device of the worker that does.
    const device = commandNameOf(id) ?? id;
    const opened = clients.get(device) ?? clientOf(device);
    clients.set(device, opened);
    // What could not be opened may be the next time.
    opened.catch(() => clients.delete(device));
    const client = await opened;
    const setting = { device, batch, threads, precision, limit };
    const job: MeasureJob = { schema: 1, study, model, setting, protocol };
    // Whoever comes back finds what the journal lacks; what it has is never read as another measurement of the same,
    // as of a base that was unstable. What failed may have been repaired since, so it is measured again.
    const name = jobId(study, `m-${shortDigest(digestJson(job))}`, measured() + 1);
    let failureS = 0;
    const asked = client.ask(name, job, { signal, anew: true, onFailureTook: (took) => (failureS = took) });
    const value = await asked.catch((error: Error) => {
      spent.set(error, failureS);
      throw error;
    });
    const { answer, seconds = 0 } = received(measureResultSchema, value, name);
    if (answer.status === 'infeasible') {
      const unable = new InfeasibleModelError(answer.message, answer);
      spent.set(unable, seconds);
      // Nobody tells when that is on disk: it goes by its age.
      throw unable;
    }
    spent.set(answer.latency, seconds);
    jobs.set(answer.latency, () => client.forget(name));
    return answer.latency;
  };

  return {
    measureSpec: (spec, target, protocol) =>
      hasHere(target.device)
        ? here.measureSpec(spec, target, protocol)
        : measure({ spec }, target, protocol ?? options.protocol),
    measureFile: async (path, target, spec, protocol = 'thorough') => {
      if (hasHere(target.device)) return here.measureFile(path, target, spec, protocol);
      const file = await store.here.put(createReadStream(path));
      await store.publish(file);
      return measure({ file, spec }, target, protocol);
    },
    converted: (given, kept) => {
      const [forget, seconds] = [jobs.get(given), spent.get(given)];
      if (forget) jobs.set(kept, forget);
      if (seconds !== undefined) spent.set(kept, seconds);
    },
    journalled: (latency) => jobs.get(latency)?.(),
    secondsOf: (given) => spent.get(given) ?? here.secondsOf?.(given),
    close: () => here.close(),
  };
}
