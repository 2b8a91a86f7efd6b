import type { NetworkCount } from '../models/counts.ts';
import type { NetworkSpec } from '../models/spec.ts';
import type { ScheduleChoice } from '../training/heuristic-schedules.ts';
import { plannedMacs, planStages } from '../training/stage-plan.ts';
import { countSpec } from './evaluate.ts';
import { resolveRecipe } from './recipe.ts';
import type { StudyConfig } from './study-file.ts';

/** Multiply-adds of one example, forward, as the final trainings see it: the mean over the stages of their schedule. */
export function finalMacsPerExample(
  { final, trainer }: Pick<StudyConfig, 'final' | 'trainer'>,
  spec: NetworkSpec,
): number {
  const { schedule, examples } = final;
  if (schedule === undefined) return countSpec(spec).macs;
  const known = means.get(spec);
  if (known?.schedule === schedule) return known.macs;
  const plans = planStages(schedule, { spec, ...resolveRecipe(trainer), examples, threads: 1 });
  const seen = plans.reduce((sum, { recipe, updates }) => sum + updates * recipe.batchSize, 0);
  const macs = plannedMacs(plans) / seen;
  means.set(spec, { schedule, macs });
  return macs;
}

/** What a network counts, with the multiply-adds of an example as the final trainings see it. */
export function finalCount(config: Pick<StudyConfig, 'final' | 'trainer'>, spec: NetworkSpec): NetworkCount {
  return { ...countSpec(spec), macs: finalMacsPerExample(config, spec) };
}

/** Estimates ask for every trial's, again and again. */
const means = new WeakMap<NetworkSpec, { readonly schedule: ScheduleChoice; readonly macs: number }>();
