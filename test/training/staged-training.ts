import { defaultAugmentation } from '../../data/augment.ts';
import { loadDataset } from '../../data/load.ts';
import { dataSourceSchema } from '../../data/source.ts';
import { buildNetwork } from '../../models/build.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { imageTask } from '../../training/image-task.ts';
import { defaultRecipe, microBatchSize } from '../../training/recipe.ts';
import { planStages } from '../../training/stage-plan.ts';
import { Timeline } from '../../training/timeline.ts';
import type { Recipe, TrainingRequest, TrainingResult } from '../../training/trainer.ts';
import type { ScheduleStage } from '../../training/training-schedule.ts';
import { beforeBatch } from './synthetic-task.ts';

/** Three classes of pictures of 16 pixels. */
const source = dataSourceSchema.parse({ format: 'rendered', classes: 3, train: 96, test: 24, resolution: 16 });
export const dataset = await loadDataset(source, { baseDirectory: '' });
export const augmentation = { ...defaultAugmentation, mixup: 0.2 };
export const taskOf = (at: NetworkSpec, own = augmentation) =>
  imageTask(dataset, { resolution: at.input.resolution, augmentation: own, scoredSplit: 'holdout' });

/** Of every run. */
export const examples = 120;
/** A training of a network in stages, or without. */
export function stagedRequest(
  spec: NetworkSpec,
  stages: readonly ScheduleStage[] | undefined,
  recipe: Partial<Recipe> = {},
  overrides: Partial<TrainingRequest> = {},
): TrainingRequest {
  const full = defaultRecipe({ batchSize: 8, ...recipe });
  const settings = { spec, recipe: full, augmentation, examples, threads: 1 };
  const plans = stages && planStages({ stages: [...stages] }, settings);
  return {
    graph: buildNetwork(spec, microBatchSize(full)),
    task: taskOf(spec),
    recipe: full,
    examples,
    seed: 3,
    threads: 1,
    ...(plans && {
      stages: plans.map((plan) => {
        const { recipe: own, updates: count, threads, optimization } = plan;
        const graph = buildNetwork(plan.spec, microBatchSize(own));
        const shown = taskOf(plan.spec, plan.augmentation as typeof augmentation);
        return { graph, task: shown, recipe: own, threads, updates: count, ...(optimization && { optimization }) };
      }),
    }),
    ...overrides,
  };
}

/** What a run is, without how long it took. */
export function content(result: TrainingResult): object {
  const { cost, ...rest } = result;
  return { ...rest, examples: cost.examples, flops: cost.flops };
}

/** The request with its run aborted before the update that would follow so many. */
export function abortedAfter(request: TrainingRequest, count: number): TrainingRequest {
  const controller = new AbortController();
  const timeline = new Timeline(request);
  const stages = timeline.stages.map((stage) => {
    const { start, recipe, endUpdate } = stage;
    if (count < start.updates || count >= endUpdate) return stage;
    const perBatch = microBatchSize(recipe);
    // Batches of this stage's size from the start of the data.
    const at = timeline.examplesAfter(count) / perBatch;
    return { ...stage, task: beforeBatch(stage.task, at, () => controller.abort()) };
  });
  return { ...request, stages, signal: controller.signal };
}
