import { deliveryMsPerNetwork, elapsedMs } from './budget.ts';
import type { StudyContext } from './context.ts';
import { countSpec } from './evaluate.ts';
import type { PhaseName } from './events.ts';

/**
 * Milliseconds until a study is done, as far as can be told: what is left of a time budget, else the
 * trainings to come, in multiply-adds, at the speed of those that are done. What is not issued yet is
 * guessed from the plan, latency taken to grow as multiply-adds do. Undefined until a training has finished.
 */
export function remainingMs(context: StudyContext): number | undefined {
  const { config, record } = context;
  if (config.budget.time !== undefined) return Math.max(0, config.budget.time - elapsedMs(context));
  let done = 0;
  let open = 0;
  let baseMacs = 0;
  const issued: Partial<Record<PhaseName, number>> = {};
  for (const trial of record.trials) {
    const outcome = record.outcome(trial.id);
    const macs = outcome?.status === 'ok' ? (outcome.metrics['macs'] ?? 0) : outcome ? 0 : countSpec(trial.spec).macs;
    if (outcome?.status === 'ok') baseMacs ||= macs;
    if (outcome) done += macs * trial.fidelity.examples;
    else open += macs * trial.fidelity.examples;
    issued[trial.phase] = (issued[trial.phase] ?? 0) + macs * trial.fidelity.examples;
  }
  if (done === 0) return undefined;
  const planned = plannedExamples(context);
  // Final trainings are all issued at once, so what is issued is what there is.
  const toCome = (['search', 'scale', 'train'] as const).reduce((sum, phase) => {
    const isSettled = record.hasFinished(phase) || (phase === 'train' && issued.train !== undefined);
    return isSettled ? sum : sum + Math.max(0, planned[phase] * baseMacs - (issued[phase] ?? 0));
  }, 0);
  return (elapsedMs(context) * (open + toCome)) / done + planned.deliveries * deliveryMsPerNetwork;
}

/** Examples of each phase, counted in trainings of a network as costly as the base, and networks to deliver. */
function plannedExamples({ config }: StudyContext) {
  const { search, scale, final } = config;
  const sizes = Object.values(config.family).flat();
  const grown = sizes.filter(({ multiple }) => multiple !== 1);
  const costOf = (of: typeof sizes) => of.reduce((sum, { multiple }) => sum + (multiple ?? 2), 0);
  const rules = final.baselines.filter((baseline) => 'rule' in baseline).length;
  const searched = search.trials + search.finalists * (search.seeds - 1);
  return {
    search: (config.base === undefined ? searched : 1) * search.examples,
    scale: costOf(grown) * scale.trials * scale.examples,
    train: (costOf(sizes) + costOf(grown) * (scale.finalists - 1 + rules)) * final.seeds * final.examples,
    deliveries: sizes.length + grown.length * rules,
  };
}
