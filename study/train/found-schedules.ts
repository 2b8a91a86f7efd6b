import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ProviderId } from '../../accelerators/onnxruntime.ts';
import { fingerprint } from '../../latency/fingerprint.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import type { FoundSchedule, TrainingSchedule } from '../../training/training-schedule.ts';
import { countSpec } from '../evaluation/evaluate.ts';
import { readScheduleFile } from '../evaluation/training-schedule.ts';

/** A network and the device that trains it, as far as schedules depend on them. */
export type SchedulePair = Pick<FoundSchedule, 'network' | 'device'>;

/** Networks whose work differs by at most this factor are alike. */
const similarFactor = 2;

/** A network on a provider of this host. */
export function schedulePair(spec: NetworkSpec, provider: ProviderId = 'cpu'): SchedulePair {
  const { cpu, cores, runtime } = fingerprint(provider);
  const operators = [...new Set(spec.stages.map(({ operator }) => operator))].toSorted();
  return {
    network: { macs: countSpec(spec).macs, resolution: spec.input.resolution, operators },
    device: { cpu, cores, runtime, provider },
  };
}

/** What makes a schedule found for one pair doubtful for another, in words; none where they are similar. */
export function differencesOf(found: SchedulePair, here: SchedulePair): readonly string[] {
  const device = (['cpu', 'cores', 'runtime', 'provider'] as const)
    .filter((key) => found.device[key] !== here.device[key])
    .map((key) => `${key} ${found.device[key]} instead of ${here.device[key]}`);
  const ratio = here.network.macs / found.network.macs;
  const operators = [found, here].map(({ network }) => network.operators.join(' and '));
  return [
    ...device,
    ...(Math.max(ratio, 1 / ratio) > similarFactor
      ? [`a network of ${ratio.toPrecision(2)} times the multiply-adds`]
      : []),
    ...(operators[0] === operators[1] ? [] : [`${operators[0]} instead of ${operators[1]}`]),
  ];
}

/** Schedules in the folder of a file that were found for a similar network on this device, by path. */
export function similarSchedules(file: string, here: SchedulePair): ReadonlyMap<string, TrainingSchedule> {
  const folder = dirname(file);
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => /\.ya?ml$/.test(name)) : [];
  const similar = new Map<string, TrainingSchedule>();
  for (const name of names.toSorted()) {
    const schedule = scheduleIn(join(folder, name));
    if (schedule?.found && differencesOf(schedule.found, here).length === 0) similar.set(join(folder, name), schedule);
  }
  return similar;
}

/** Other YAML may lie there, too. */
function scheduleIn(path: string): TrainingSchedule | undefined {
  try {
    return readScheduleFile(path);
  } catch {
    return undefined;
  }
}
