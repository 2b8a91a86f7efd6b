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
  return finalWork(config, spec).macs;
}

/** What a training works through: means over its examples and updates. */
export interface TrainingWork extends Pick<NetworkCount, 'params' | 'activations' | 'macs'> {
  /** Examples an update, in batches of the recipe's. */
  readonly batch: number;
}

/** The work of a training whose settings stay: activations and multiply-adds are those of an example at the network's own side. */
export function plainWork({ params, activations, macs }: NetworkCount): TrainingWork {
  return { params, activations, macs, batch: 1 };
}

/**
 * A network's work as the final trainings see it: stages may have smaller pictures or networks, and larger batches, so fewer
 * updates. As it is, of a network that they cannot grow and will not train.
 */
export function finalWork({ final, trainer }: Pick<StudyConfig, 'final' | 'trainer'>, spec: NetworkSpec): TrainingWork {
  const { schedule, examples } = final;
  if (schedule === undefined) return plainWork(countSpec(spec));
  const known = scheduled.get(spec);
  if (known?.schedule === schedule) return known.work;
  const run = { spec, ...resolveRecipe(trainer), examples, threads: 1 };
  const isTrained = growthRefusal({ final, trainer }, spec) === undefined;
  const means = isTrained && meanWork(planStages(schedule, run), run.recipe.batchSize);
  const work = { ...plainWork(countSpec(spec)), ...means };
  scheduled.set(spec, { schedule, work });
  return work;
}

/** Means over all stages: smaller pictures are both less to compute and less to write, larger batches fewer updates of the parameters. */
function meanWork(plans: readonly StagePlan<NetworkSpec>[], batchSize: number): Omit<TrainingWork, 'params'> {
  const stages = plans.map(({ spec, recipe, updates }) => ({ ...countSpec(spec), seen: updates * recipe.batchSize }));
  const all = stages.reduce((sum, { seen }) => sum + seen, 0);
  const updates = plans.reduce((sum, plan) => sum + plan.updates, 0);
  const meanOf = (kind: 'macs' | 'activations') =>
    stages.reduce((sum, stage) => sum + stage.seen * stage[kind], 0) / all;
  return { macs: meanOf('macs'), activations: meanOf('activations'), batch: all / updates / batchSize };
}

/** Estimates ask for every trial's, again and again. */
const scheduled = new WeakMap<NetworkSpec, { readonly schedule: ScheduleChoice; readonly work: TrainingWork }>();
