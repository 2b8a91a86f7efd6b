import type { NetworkCount } from '../../models/counts.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import type { ScheduleChoice } from '../../training/heuristic-schedules.ts';
import { planStages, type StagePlan } from '../../training/stage-plan.ts';
import { countSpec } from '../evaluation/evaluate.ts';
import { resolveRecipe } from '../evaluation/recipe.ts';
import { growthRefusal } from '../evaluation/training-schedule.ts';
import type { StudyConfig } from '../study-file.ts';

/** Multiply-adds of one example, forward, as the final trainings see it: the mean over the stages of their schedule. */
export function finalMacsPerExample(config: Pick<StudyConfig, 'final' | 'trainer'>, spec: NetworkSpec): number {
  return finalCount(config, spec).macs;
}

/**
 * What a network counts, with the multiply-adds and activations of an example as the final trainings see it; as it is, of one
 * that they cannot grow and will not train.
 */
export function finalCount(
  { final, trainer }: Pick<StudyConfig, 'final' | 'trainer'>,
  spec: NetworkSpec,
): NetworkCount {
  const { schedule, examples } = final;
  if (schedule === undefined) return countSpec(spec);
  const known = scheduled.get(spec);
  if (known?.schedule === schedule) return known.count;
  const isTrained = growthRefusal({ final, trainer }, spec) === undefined;
  const plansOf = () => planStages(schedule, { spec, ...resolveRecipe(trainer), examples, threads: 1 });
  const count = { ...countSpec(spec), ...(isTrained && meanWork(plansOf())) };
  scheduled.set(spec, { schedule, count });
  return count;
}

/** Means over the examples of all stages: smaller pictures are both less to compute and less to write. */
function meanWork(plans: readonly StagePlan<NetworkSpec>[]): Pick<NetworkCount, 'macs' | 'activations'> {
  const stages = plans.map(({ spec, recipe, updates }) => ({ ...countSpec(spec), seen: updates * recipe.batchSize }));
  const all = stages.reduce((sum, { seen }) => sum + seen, 0);
  const meanOf = (kind: 'macs' | 'activations') =>
    stages.reduce((sum, stage) => sum + stage.seen * stage[kind], 0) / all;
  return { macs: meanOf('macs'), activations: meanOf('activations') };
}

/** Estimates ask for every trial's, again and again. */
const scheduled = new WeakMap<NetworkSpec, { readonly schedule: ScheduleChoice; readonly count: NetworkCount }>();
