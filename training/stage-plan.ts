import { z } from 'zod';
import { ConfigError } from '../core/errors.ts';
import { type Augmentation, changedAugmentation } from '../data/augment.ts';
import { buildNetwork } from '../models/build.ts';
import { countGraph } from '../models/counts.ts';
import { growthBetween } from '../models/growth.ts';
import { hasLearnedSpaceToDepth, type NetworkSpec } from '../models/spec.ts';
import { isTransformer, type ModelSpec } from '../models/transformer.ts';
import { partOf } from '../scaling/apply.ts';
import { partOfTransformer } from '../scaling/scale-transformer.ts';
import { type ScheduleChoice, scheduleFor } from './heuristic-schedules.ts';
import { microBatchSize } from './recipe.ts';
import type { GraphOptimization, Recipe } from './trainer.ts';
import { growthKeys, pictureKeys, type ScheduleStage, type TrainingSchedule } from './training-schedule.ts';

/** The settings of a run, which stages change and which hold at its end. */
export interface RunSettings<Spec extends ModelSpec = ModelSpec> {
  /** At the resolution that the run ends with. */
  readonly spec: Spec;
  readonly recipe: Recipe;
  /** Of pictures. */
  readonly augmentation: Augmentation;
  readonly examples: number;
  readonly threads: number;
}

/** A stage with every setting decided. */
export interface StagePlan<Spec extends ModelSpec = ModelSpec> extends Omit<RunSettings<Spec>, 'examples'> {
  readonly updates: number;
  readonly optimization?: GraphOptimization;
}

/**
 * The stages of a run: whole updates, as near to each stage's share as its batch allows; of a very short run stages without
 * an update are left out, never the last. Resolutions given as shares become the nearest number of pixels that the network's
 * space-to-depth divides, those of depth and width what scaling makes of such multipliers.
 * @throws {ConfigError} naming the stage and the key that the network or the recipe cannot have, or where it cannot grow.
 */
export function planStages<Spec extends ModelSpec>(
  choice: ScheduleChoice,
  run: RunSettings<Spec>,
): readonly StagePlan<Spec>[] {
  const { stages } = scheduleOf(choice, run);
  const settings = stages.map((stage, index) => settingsOf(stage, run, `stages[${index}]`));
  expectGrowth(stages, settings);
  const updates = updatesOfStages(
    stages.map(({ share }, index) => ({ share, batchSize: settings[index]?.recipe.batchSize ?? 1 })),
    run.examples,
  );
  return settings
    .map((each, index) => ({ ...each, updates: updates[index] as number }))
    .filter((stage) => stage.updates > 0);
}

/** Multiply-adds that a run's examples need in all, forward. */
export function plannedMacs(plans: readonly StagePlan[]): number {
  return plans.reduce((sum, { spec, recipe, updates }) => {
    return sum + updates * recipe.batchSize * countGraph(buildNetwork(spec, 1)).macs;
  }, 0);
}

function scheduleOf(choice: ScheduleChoice, { spec, recipe, augmentation }: RunSettings): TrainingSchedule {
  if (!isTransformer(spec)) return scheduleFor(choice, { resolution: spec.input.resolution, recipe, augmentation });
  if (typeof choice === 'string' && choice !== 'fixed')
    throw new ConfigError(`schedule: expected fixed or stages of your own for a transformer, got ${choice}`);
  const schedule = scheduleFor(choice, { resolution: 0, recipe, augmentation });
  schedule.stages.forEach((stage, index) => {
    const key = pictureKeys.find((each) => stage[each] !== undefined);
    if (key !== undefined)
      throw new ConfigError(`stages[${index}].${key}: expected no setting of pictures for a transformer, got one`);
  });
  return schedule;
}

function settingsOf<Spec extends ModelSpec>(
  stage: ScheduleStage,
  run: RunSettings<Spec>,
  place: string,
): Omit<StagePlan<Spec>, 'updates'> {
  const { graphOptimization, threads = run.threads } = stage;
  const recipe = recipeAt(stage, run.recipe, place);
  const augmentation = augmentationAt(stage, run.augmentation, place);
  if ((augmentation.mixup ?? 0) + (augmentation.cutmix ?? 0) > 0 && microBatchSize(recipe) < 2)
    throw new ConfigError(`${place}: expected at least 2 examples in a batch that is mixed, got 1`);
  return {
    spec: specAt(stage, run.spec, place) as Spec,
    recipe,
    augmentation,
    threads,
    ...(graphOptimization && { optimization: graphOptimization }),
  };
}

/** Every stage's network computes at first what the one before did. */
function expectGrowth(stages: readonly ScheduleStage[], settings: readonly { readonly spec: ModelSpec }[]): void {
  for (const [index, { spec }] of settings.entries()) {
    const before = settings[index - 1];
    const grows = growthKeys.some((key) => (stages[index - 1]?.[key] ?? 1) < (stages[index]?.[key] ?? 1));
    if (!before || !grows) continue;
    within(`stages[${index - 1}]: the network cannot grow from here`, () =>
      growthBetween(buildNetwork(before.spec, 1), buildNetwork(spec, 1)),
    );
  }
}

function recipeAt(stage: ScheduleStage, recipe: Recipe, place: string): Recipe {
  const {
    batchSize = recipe.batchSize,
    microBatches = recipe.microBatches,
    rematerialise = recipe.rematerialise,
    provider = recipe.provider,
    weightDecay = recipe.weightDecay,
    labelSmoothing = recipe.labelSmoothing,
    learningRateScale = batchSize / recipe.batchSize,
  } = stage;
  const learningRate = learningRateScale * recipe.learningRate;
  const changed = { ...recipe, batchSize, weightDecay, labelSmoothing, learningRate };
  const own = {
    ...changed,
    ...(microBatches !== undefined && { microBatches }),
    ...(rematerialise !== undefined && { rematerialise }),
    ...(provider !== undefined && { provider }),
  };
  within(place, () => microBatchSize(own));
  return own;
}

function augmentationAt({ augmentation: change }: ScheduleStage, augmentation: Augmentation, place: string) {
  return change ? within(`${place}.augmentation`, () => changedAugmentation(augmentation, change)) : augmentation;
}

function specAt(stage: ScheduleStage, spec: ModelSpec, place: string): ModelSpec {
  const { depth = 1, width = 1, resolution = 1, survival, dropout } = stage;
  if (isTransformer(spec)) return partOfTransformer(spec, { depth, width });
  const part = partOf(spec, { depth, width });
  return {
    ...part,
    input: { ...spec.input, resolution: sideOf(resolution, spec, place) },
    head: { ...part.head, dropout: dropout ?? spec.head.dropout },
    survival: survival ?? spec.survival,
  };
}

/** Pixels that a stage's resolution stands for. */
function sideOf(resolution: number, spec: NetworkSpec, place: string): number {
  const block = blockOf(spec);
  if (resolution === 1) return spec.input.resolution;
  if (resolution < 1) {
    const nearest = block * Math.round((resolution * spec.input.resolution) / block);
    return Math.max(nearest, block * Math.ceil(4 / block));
  }
  if (resolution % block !== 0)
    throw new ConfigError(
      `${place}.resolution: expected a multiple of ${block}, for the network moves blocks of that side into channels, got ${resolution}`,
    );
  return resolution;
}

/** Side of the blocks of pixels that must come out whole. Strides need none: padding is SAME. */
function blockOf({ stem, stages }: NetworkSpec): number {
  const region = stages.findIndex(hasLearnedSpaceToDepth);
  const before = stages.slice(0, Math.max(0, region)).reduce((product, { stride }) => product * stride, 1);
  const learned = region < 0 ? 1 : 2 * stem.stride * (stem.maxPool?.stride ?? 1) * before;
  return (stem.spaceToDepth ?? 1) * learned;
}

/** Updates of every stage, so that each ends as near as its batch allows to where the shares so far say. */
function updatesOfStages(
  stages: readonly { readonly share: number; readonly batchSize: number }[],
  examples: number,
): number[] {
  const whole = stages.reduce((sum, { share }) => sum + share, 0);
  let [seen, share] = [0, 0];
  return stages.map((stage, index) => {
    share += stage.share;
    const isLast = index === stages.length - 1;
    const updates = isLast
      ? Math.max(1, Math.ceil((examples - seen) / stage.batchSize))
      : Math.max(0, Math.round(((share / whole) * examples - seen) / stage.batchSize));
    seen += updates * stage.batchSize;
    return updates;
  });
}

/** Says where, of what is wrong. */
function within<Result>(place: string, make: () => Result): Result {
  try {
    return make();
  } catch (cause) {
    if (cause instanceof z.ZodError) throw new ConfigError(`${place}: ${cause.issues[0]?.message}`, { cause });
    throw cause instanceof ConfigError ? new ConfigError(`${place}: ${cause.message}`, { cause }) : cause;
  }
}
