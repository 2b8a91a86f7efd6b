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
 * Schedules to search: how the first stage differs from the last, which has the run's own settings, in how many
 * stages the one becomes the other, and how long the last is. Settings of the hardware (batch, threads) and of the model (resolution,
 * regularisation) are chosen together, for what one allows depends on the other: small pictures leave room for large batches.
 * @param cores of the device; one more decision where there are several.
 */
export function scheduleSpace(cores: number = availableParallelism()): SpaceNode {
  return {
    stages: oneOf([1, 2, 3, 4], 'stages'),
    lastShare: oneOf([0.2, 0.35, 0.5], 'last.share'),
    resolution: oneOf([0.375, 0.5, 0.625, 0.75, 1], 'first.resolution'),
    batch: oneOf([1, 2, 4], 'first.batch'),
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
  'first.regularisation': 1,
};

/**
 * The schedule that choices of {@link scheduleSpace} stand for. Between the first stage and the last, resolution and regularisation
 * (label smoothing, RandAugment's magnitude, mixup, CutMix) move evenly, the batch by factors of 2; the learning rate goes with
 * the batch.
 */
export function scheduleOfChoices(choices: Choices, { recipe, augmentation }: EndSettings): TrainingSchedule {
  const stages = Number(choices['stages']);
  const lastShare = Number(choices['last.share']);
  const threads = Number(choices['threads'] ?? 1) > 1 ? { threads: Number(choices['threads']) } : {};
  if (stages === 1) return { stages: [{ share: 1, ...threads }] };
  return {
    stages: Array.from({ length: stages }, (_, index): ScheduleStage => {
      if (index === stages - 1) return { share: lastShare, ...threads };
      const progress = index / (stages - 1);
      const evenly = (first: number) => first + (1 - first) * progress;
      const regularisation = evenly(Number(choices['first.regularisation']));
      const batch = 2 ** Math.round(Math.log2(Number(choices['first.batch'])) * (1 - progress));
      return {
        share: (1 - lastShare) / (stages - 1),
        resolution: evenly(Number(choices['first.resolution'])),
        ...(batch > 1 && { batchSize: batch * recipe.batchSize }),
        ...weakened({ recipe, augmentation }, regularisation),
        ...threads,
      };
    }),
  };
}

/** Two sets of choices that stand for one schedule are one. */
export function scheduleIdentity(choices: Choices, end: EndSettings): string {
  return digestJson(scheduleOfChoices(choices, end));
}

/** What of the run's regularisation is left at a share of its strength. */
function weakened({ recipe, augmentation }: EndSettings, strength: number): Partial<ScheduleStage> {
  if (strength === 1) return {};
  const { randAugment, mixup, cutmix } = augmentation;
  const change = {
    ...(randAugment && { randAugment: { ...randAugment, magnitude: strength * randAugment.magnitude } }),
    ...(mixup !== undefined && { mixup: strength * mixup }),
    ...(cutmix !== undefined && { cutmix: strength * cutmix }),
  };
  return {
    labelSmoothing: strength * recipe.labelSmoothing,
    ...(Object.keys(change).length > 0 && { augmentation: change }),
  };
}
