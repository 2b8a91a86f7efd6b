import { deliveryMsPerNetwork, elapsedMs } from './budget.ts';
import type { StudyContext } from './context.ts';
import { countSpec } from './evaluation/evaluate.ts';
import { finalMacsPerExample } from './train/final-training.ts';
import type { PhaseName } from './journal/events.ts';
import { plannedDeliveries, plannedTrainings } from './planned-trainings.ts';
import type { StudyConfig } from './study-file.ts';
import type { OpenTraining, Workload } from './journal/workload.ts';

/**
 * Milliseconds until a study is done, as far as can be told: what is left of a time budget, else the
 * trainings to come, in multiply-adds, at the speed of those that are done. What is not issued yet is
 * guessed from the plan, latency taken to grow as multiply-adds do. Undefined until a training has finished.
 */
export function remainingMs(context: StudyContext): number | undefined {
  const { config, record } = context;
  const workload = record.workload.total((training) => trainingMacs(config, training));
  return remainingWorkMs(config, workload, elapsedMs(context), (phase) => record.hasFinished(phase));
}

/** Multiply-adds of an example of a training, forward: the mean over its stages where it has some. */
export function trainingMacs(config: StudyConfig, { spec, fidelity }: OpenTraining): number {
  return fidelity.schedule === undefined ? countSpec(spec).macs : finalMacsPerExample(config, spec);
}

/** {@link remainingMs} from a workload and the active time so far, in milliseconds. */
export function remainingWorkMs(
  config: StudyConfig,
  { done, open, issued, lostExamples, base }: Workload,
  elapsed: number,
  hasFinished: (phase: PhaseName) => boolean,
): number | undefined {
  if (config.budget.time !== undefined) return Math.max(0, config.budget.time - elapsed);
  if (done === 0) return undefined;
  const planned = plannedTrainings(config);
  const macsOfBase = (phase: PhaseName): number =>
    base === undefined ? 0 : phase === 'train' ? finalMacsPerExample(config, base) : countSpec(base).macs;
  // Final trainings are all issued at once, so what is issued is what there is.
  const toCome = (['search', 'scale', 'train'] as const).reduce((sum, phase) => {
    const isSettled = hasFinished(phase) || (phase === 'train' && issued.train !== undefined);
    if (isSettled) return sum;
    const examples =
      planned[phase].reduce((total, { cost, examples }) => total + cost * examples, 0) - (lostExamples[phase] ?? 0);
    return sum + Math.max(0, examples * macsOfBase(phase) - (issued[phase] ?? 0));
  }, 0);
  return (elapsed * (open + toCome)) / done + plannedDeliveries(config) * deliveryMsPerNetwork;
}
