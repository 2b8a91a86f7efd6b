import { createReadStream } from 'node:fs';
import { commandNameOf } from '../commands/declaration.ts';
import { digestJson, shortDigest } from '../core/digest.ts';
import { InfeasibleModelError } from '../core/errors.ts';
import type { Latency } from '../latency/latency.ts';
import type { ProtocolPreset } from '../latency/protocol.ts';
import type { FolderArtefacts } from '../study/artefacts.ts';
import type { LatencyMeter } from '../study/context.ts';
import type { TargetConfig } from '../study/study-file.ts';
import type { JobClient } from './client.ts';
import { jobId, type MeasureJob, measureResultSchema, received } from './contract.ts';

export interface FleetMeterOptions {
  /** Measures what this host has. */
  readonly here: LatencyMeter;
  readonly hasHere: (device: string) => boolean;
  /** The queue of a device, opened when it is first needed, and closed by whoever opens it. */
  readonly clientOf: (device: string) => Promise<JobClient>;
  readonly study: string;
  readonly store: FolderArtefacts;
  /** Protocol where none is asked for. */
  readonly protocol: ProtocolPreset;
  readonly signal: AbortSignal;
}

/** A meter that has measured elsewhere what this host lacks: one queue a device, one measurement on it at a time. */
export function fleetMeter(options: FleetMeterOptions): LatencyMeter {
  const { here, hasHere, clientOf, study, store, signal } = options;
  const clients = new Map<string, Promise<JobClient>>();
  /** How often each measurement was asked for: the base is measured again when it was unstable. */
  const asked = new Map<string, number>();
  const jobs = new WeakMap<Latency, () => void>();

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
    const work = `m-${shortDigest(digestJson(job))}`;
    const time = (asked.get(work) ?? 0) + 1;
    asked.set(work, time);
    const name = jobId(study, work, time);
    const { answer } = received(measureResultSchema, await client.ask(name, job, { signal }), name);
    if (answer.status === 'infeasible') {
      client.forget(name);
      throw new InfeasibleModelError(answer.message, answer);
    }
    jobs.set(answer.latency, () => client.forget(name));
    return answer.latency;
  };

  return {
    measureSpec: (spec, target, protocol) =>
      hasHere(target.device)
        ? here.measureSpec(spec, target, protocol)
        : measure({ spec }, target, protocol ?? options.protocol),
    measureFile: async (path, target, spec) => {
      if (hasHere(target.device)) return here.measureFile(path, target, spec);
      const file = await store.put(createReadStream(path));
      return measure({ file, spec }, target, 'thorough');
    },
    journalled: (latency) => jobs.get(latency)?.(),
    close: () => here.close(),
  };
}
