import { deliveryMsPerNetwork, elapsedMs } from './budget.ts';
import type { StudyContext } from './context.ts';
import { isBase, trainingsOfSize } from './scalings.ts';
import { countSpec } from './evaluate.ts';
import { finalMacsPerExample } from './final-training.ts';
import type { PhaseName } from './events.ts';
import { searchTrainings, type StudyConfig, topExamples } from './study-file.ts';

/** What a study's trainings have cost so far and will cost, in multiply-adds times examples. */
export interface Workload {
  readonly done: number;
  readonly open: number;
  /** Of the trainings issued so far, by phase. */
  readonly issued: Readonly<Partial<Record<PhaseName, number>>>;
  /** Multiply-adds of the first network that was trained; 0 before. */
  readonly baseMacs: number;
  /** Cost of a final training's example against one at the network's own resolution; 1 when absent. */
  readonly finalShare?: number | undefined;
  readonly hasFinished: (phase: PhaseName) => boolean;
}

/**
 * Milliseconds until a study is done, as far as can be told: what is left of a time budget, else the
 * trainings to come, in multiply-adds, at the speed of those that are done. What is not issued yet is
 * guessed from the plan, latency taken to grow as multiply-adds do. Undefined until a training has finished.
 */
export function remainingMs(context: StudyContext): number | undefined {
  const { config, record } = context;
  let done = 0;
  let open = 0;
  let baseMacs = 0;
  let finalShare: number | undefined;
  const issued: Partial<Record<PhaseName, number>> = {};
  for (const trial of record.trials) {
    const outcome = record.outcome(trial.id);
    const counted =
      trial.fidelity.schedule === undefined ? countSpec(trial.spec).macs : finalMacsPerExample(config, trial.spec);
    const macs = outcome === undefined || outcome.status === 'ok' ? counted : 0;
    if (outcome?.status === 'ok') {
      baseMacs ||= macs;
      finalShare ??= finalMacsPerExample(config, trial.spec) / countSpec(trial.spec).macs;
    }
    if (outcome) done += macs * trial.fidelity.examples;
    else open += macs * trial.fidelity.examples;
    issued[trial.phase] = (issued[trial.phase] ?? 0) + macs * trial.fidelity.examples;
  }
  const hasFinished = (phase: PhaseName): boolean => record.hasFinished(phase);
  return remainingWorkMs(config, { done, open, issued, baseMacs, finalShare, hasFinished }, elapsedMs(context));
}

/** {@link remainingMs} from a workload and the active time so far, in milliseconds. */
export function remainingWorkMs(config: StudyConfig, workload: Workload, elapsed: number): number | undefined {
  const { done, open, issued, baseMacs, finalShare = 1, hasFinished } = workload;
  if (config.budget.time !== undefined) return Math.max(0, config.budget.time - elapsed);
  if (done === 0) return undefined;
  const planned = plannedExamples(config);
  // Final trainings are all issued at once, so what is issued is what there is.
  const toCome = (['search', 'scale', 'train'] as const).reduce((sum, phase) => {
    const isSettled = hasFinished(phase) || (phase === 'train' && issued.train !== undefined);
    return isSettled
      ? sum
      : sum + Math.max(0, planned[phase] * baseMacs * (phase === 'train' ? finalShare : 1) - (issued[phase] ?? 0));
  }, 0);
  return (elapsed * (open + toCome)) / done + planned.deliveries * deliveryMsPerNetwork;
}

/** Examples of each phase, counted in trainings of a network as costly as the base, and networks to deliver. */
function plannedExamples(config: StudyConfig) {
  const { search, scale, final } = config;
  const sizes = Object.values(config.family).flat();
  const grown = sizes.filter((size) => !isBase({ size }));
  const costOf = (of: typeof sizes) => of.reduce((sum, { multiple }) => sum + (multiple ?? 2), 0);
  const rules = final.baselines.filter((baseline) => 'rule' in baseline).length;
  return {
    search:
      config.base === undefined
        ? searchTrainings(search).reduce((sum, { networks, examples }) => sum + networks * examples, 0)
        : topExamples(search),
    scale: costOf(grown) * trainingsOfSize(scale) * scale.examples,
    train: (costOf(sizes) + costOf(grown) * (scale.finalists - 1 + rules)) * final.seeds * final.examples,
    deliveries: sizes.length + grown.length * rules,
  };
}
