import { availableParallelism } from 'node:os';
import type { Choices } from '../../core/trial.ts';
import { digestJson } from '../../core/digest.ts';
import type { Augmentation } from '../../data/augment.ts';
import { oneOf, type SpaceNode } from '../../search/space.ts';
import type { Recipe } from '../../training/trainer.ts';
import type { ScheduleStage, TrainingSchedule } from '../../training/training-schedule.ts';

/** Settings that a run ends with, which a schedule leads up to. */
interface EndSettings {
  readonly recipe: Recipe;
  readonly augmentation: Augmentation;
}

/**
 * Schedules to search: how the first stage differs from the last, which has the run's own network, pictures and regularisation, in
 * how many stages the one becomes the other, and how long the last is. Settings of the hardware (batch, threads) and of the
 * model (resolution, regularisation, learning rate) are chosen together, for what one allows depends on the other: small
 * pictures leave room for large batches, and small batches are more updates, which a short training lacks, at little cost.
 * One stage of another batch and rate is a schedule, too: where that does as well, nothing need change during training.
 * @param cores of the device; one more decision where there are several.
 */
export function scheduleSpace(cores: number = availableParallelism()): SpaceNode {
  return {
    stages: oneOf([1, 2, 3, 4], 'stages'),
    lastShare: oneOf([0.2, 0.35, 0.5], 'last.share'),
    resolution: oneOf([0.375, 0.5, 0.625, 0.75, 1], 'first.resolution'),
    batch: oneOf([1, 2, 4], 'first.batch'),
    lastBatch: oneOf([0.5, 1], 'last.batch'),
    rate: oneOf([1, 2, 4], 'rate'),
    regularisation: oneOf([0, 0.5, 1], 'first.regularisation'),
    ...(cores > 1 && { threads: oneOf([1, cores], 'threads') }),
  };
}

/** Choices that stand for training as it is without a schedule. */
export const fixedChoices = {
  stages: 1,
  'last.share': 0.5,
  'first.resolution': 1,
  'first.batch': 1,
  'last.batch': 1,
  rate: 1,
  'first.regularisation': 1,
};

/**
 * The schedule that choices of {@link scheduleSpace} stand for. Between the first stage and the last, resolution and regularisation
 * (label smoothing, shift, cutout, RandAugment's magnitude, mixup, CutMix) move evenly, the batch by factors of 2 from
 * `first.batch` times the last one's, which is `last.batch` times the run's; the learning rate goes with the batch, times `rate`.
 */
export function scheduleOfChoices(choices: Choices, end: EndSettings): TrainingSchedule {
  const stages = Number(choices['stages']);
  const lastShare = stages === 1 ? 1 : Number(choices['last.share']);
  const threads = Number(choices['threads'] ?? 1) > 1 ? { threads: Number(choices['threads']) } : {};
  const step = (firstBatchShare: number) =>
    stepSettings(Number(choices['last.batch']) * firstBatchShare, Number(choices['rate']), end);
  return {
    stages: Array.from({ length: stages }, (_, index): ScheduleStage => {
      if (index === stages - 1) return { share: lastShare, ...step(1), ...threads };
      const progress = index / (stages - 1);
      const evenly = (first: number) => first + (1 - first) * progress;
      const regularisation = evenly(Number(choices['first.regularisation']));
      const batch = 2 ** Math.round(Math.log2(Number(choices['first.batch'])) * (1 - progress));
      return {
        share: (1 - lastShare) / (stages - 1),
        resolution: evenly(Number(choices['first.resolution'])),
        ...step(batch),
        ...weakened(end, regularisation),
        ...threads,
      };
    }),
  };
}

/** The last stage's settings throughout: what is left of a schedule when nothing changes. */
export function levelSchedule({ stages }: TrainingSchedule): TrainingSchedule {
  return { stages: [{ ...(stages.at(-1) as ScheduleStage), share: 1 }] };
}

/** Two sets of choices that stand for one schedule are one. */
export function scheduleIdentity(choices: Choices, end: EndSettings): string {
  return digestJson(scheduleOfChoices(choices, end));
}

/** A batch of so many times the run's, whole micro-batches that can be mixed, and a rate that goes with it, times `rate`. */
function stepSettings(factor: number, rate: number, { recipe, augmentation }: EndSettings): Partial<ScheduleStage> {
  const { microBatches = 1 } = recipe;
  const least = (augmentation.mixup ?? 0) + (augmentation.cutmix ?? 0) > 0 ? 2 : 1;
  const batchSize = microBatches * Math.max(least, Math.round((factor * recipe.batchSize) / microBatches));
  return {
    ...(batchSize !== recipe.batchSize && { batchSize }),
    ...(rate !== 1 && { learningRateScale: (rate * batchSize) / recipe.batchSize }),
  };
}

/** What of the run's regularisation is left at a share of its strength. */
function weakened({ recipe, augmentation }: EndSettings, strength: number): Partial<ScheduleStage> {
  if (strength === 1) return {};
  const { shift, cutout, randAugment, mixup, cutmix } = augmentation;
  const change = {
    ...(shift > 0 && { shift: strength * shift }),
    ...(cutout > 0 && { cutout: strength * cutout }),
    ...(randAugment && { randAugment: { ...randAugment, magnitude: strength * randAugment.magnitude } }),
    ...(mixup !== undefined && { mixup: strength * mixup }),
    ...(cutmix !== undefined && { cutmix: strength * cutmix }),
  };
  return {
    labelSmoothing: strength * recipe.labelSmoothing,
    ...(Object.keys(change).length > 0 && { augmentation: change }),
  };
}
