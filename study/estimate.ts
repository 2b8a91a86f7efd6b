import { elapsedMs } from './budget.ts';
import type { StudyContext } from './context.ts';
import type { PhaseName } from './events.ts';

/** Trainings a study still means to do in a phase, in examples of a network as costly as the base. */
type Work = Readonly<Partial<Record<PhaseName, number>>>;

/**
 * Milliseconds until a study is done, as far as can be told: what is left of a time budget, else the planned
 * trainings that are not done, at the speed of those that are. Latency is taken to grow as multiply-adds do.
 * Undefined until a training has finished. Delivery is left out; it takes seconds a network.
 */
export function remainingMs(context: StudyContext): number | undefined {
  const { config, record } = context;
  if (config.budget.time !== undefined) return Math.max(0, config.budget.time - elapsedMs(context));
  const planned = plannedWork(context);
  const done: Partial<Record<PhaseName, number>> = {};
  let macs = 0;
  let cost = 0;
  for (const trial of record.trials) {
    const outcome = record.outcome(trial.id);
    if (outcome?.status !== 'ok') continue;
    macs ||= outcome.metrics['macs'] ?? 0;
    const work = ((outcome.metrics['macs'] ?? macs) / macs) * trial.fidelity.examples;
    done[trial.phase] = (done[trial.phase] ?? 0) + work;
    cost += work;
  }
  if (cost === 0) return undefined;
  const left = (Object.keys(planned) as PhaseName[]).reduce(
    (sum, phase) => sum + (record.hasFinished(phase) ? 0 : Math.max(0, (planned[phase] ?? 0) - (done[phase] ?? 0))),
    0,
  );
  return (elapsedMs(context) * left) / cost;
}

function plannedWork({ config }: StudyContext): Work {
  const { search, scale, final } = config;
  const sizes = Object.values(config.family).flat();
  const grown = sizes.filter(({ multiple }) => multiple !== 1);
  const costOf = (of: typeof sizes) => of.reduce((sum, { multiple }) => sum + (multiple ?? 2), 0);
  const rules = final.baselines.filter((baseline) => 'rule' in baseline).length;
  return {
    search:
      config.base === undefined
        ? (search.trials + search.finalists * (search.seeds - 1)) * search.examples
        : search.examples,
    scale: costOf(grown) * scale.trials * scale.examples,
    train: (costOf(sizes) + costOf(grown) * (scale.finalists - 1 + rules)) * final.seeds * final.examples,
  };
}
