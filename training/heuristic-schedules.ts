import type { Augmentation } from '../data/augment.ts';
import type { Recipe } from './trainer.ts';
import type { ScheduleStage, TrainingSchedule } from './training-schedule.ts';

/** Training schedules that need no search, by name. */
export const heuristicNames = ['fixed', 'efficientnetv2', 'progressive-resize', 'multigrid'] as const;
export type HeuristicName = (typeof heuristicNames)[number];

/** A schedule as it is asked for: a heuristic by its name, or stages. */
export type ScheduleChoice = HeuristicName | TrainingSchedule;

/** What a heuristic starts from: the settings a run ends with. */
export interface ScheduleTarget {
  /** The network's own, in pixels. */
  readonly resolution: number;
  readonly recipe: Pick<Recipe, 'batchSize'>;
  readonly augmentation: Augmentation;
}

/** The stages that a choice stands for, for a run that ends with these settings. Heuristics give sides as shares. */
export function scheduleFor(choice: ScheduleChoice, target: ScheduleTarget): TrainingSchedule {
  return typeof choice === 'string' ? { stages: heuristics[choice](target) } : choice;
}

const heuristics: Readonly<Record<HeuristicName, (target: ScheduleTarget) => ScheduleStage[]>> = {
  fixed: () => [{ share: 1 }],
  efficientnetv2: efficientNetV2,
  'progressive-resize': progressiveResize,
  multigrid,
};

const efficientNetV2Stages = 4;
const smallestSide = 128;
/** The release of EfficientNetV2-M and L, whose sizes begin at a third of the target. */
const referenceSide = 384;
/** First RandAugment magnitude; its code's levels are ours. */
const firstMagnitude = 5;

/**
 * Sides of EfficientNetV2's four stages, in pixels: int(128 + (target − 128) · (i + 1) ÷ 4). Its formula has no answer below
 * 128 pixels: there the same shares of the target as 384 gets (½, ⅔, ⅚, 1), rounded.
 * @see Tan & Le (2021), "EfficientNetV2", section 4; the formula is that of the released code, where the paper's table
 * begins at 128.
 */
export function efficientNetV2Sides(target: number): number[] {
  const sideAt = (side: number, index: number) =>
    smallestSide + ((side - smallestSide) * (index + 1)) / efficientNetV2Stages;
  return Array.from({ length: efficientNetV2Stages }, (_, index) => {
    if (target >= smallestSide) return Math.trunc(sideAt(target, index));
    return Math.round((target * sideAt(referenceSide, index)) / referenceSide);
  });
}

/** `count` values evenly from `first` to `last`, both included. */
export function evenly(first: number, last: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + ((last - first) * index) / (count - 1));
}

/**
 * EfficientNetV2's: four stages of equal length, larger pictures with more of the run's RandAugment (from magnitude 5, or
 * the run's where that is less) and mixup (from 0). Dropout stays, as in its code. What the run does not have at the end no
 * stage has.
 */
function efficientNetV2({ resolution, augmentation }: ScheduleTarget): ScheduleStage[] {
  const { randAugment, mixup } = augmentation;
  const last = randAugment?.magnitude ?? 0;
  const magnitudes = evenly(Math.min(firstMagnitude, last), last, efficientNetV2Stages);
  const mixups = evenly(0, mixup ?? 0, efficientNetV2Stages);
  return efficientNetV2Sides(resolution).map((side, index) => ({
    share: 1,
    resolution: side / resolution,
    augmentation: {
      ...(randAugment && { randAugment: { ...randAugment, magnitude: magnitudes[index] as number } }),
      ...(mixup !== undefined && { mixup: mixups[index] as number }),
    },
  }));
}

/** Composer's defaults of progressive resizing. */
const resize = { initialScale: 0.5, delay: 0.5, fineTune: 0.2, multiple: 4 };
/** Sides on the way to the target, at most: each needs a session of its own, which takes longer to open than a step. */
const mostSides = 8;

/**
 * Composer's progressive resizing: half the side for the first half, then growing evenly, the whole side for the last fifth;
 * sides are multiples of 4. We differ where that makes more than eight sides: they are then multiples of 8, 12, …
 * @see MosaicML Composer, `ProgressiveResizing`, its defaults; mean area .50 of the target's, sides unrounded.
 */
function progressiveResize({ resolution }: ScheduleTarget): ScheduleStage[] {
  const { initialScale, delay, fineTune, multiple } = resize;
  const first = multiple * Math.max(1, Math.round((initialScale * resolution) / multiple));
  if (first >= resolution) return [{ share: 1 }];
  const step = multiple * Math.ceil((resolution - first) / multiple / mostSides);
  const between: number[] = [];
  for (let side = first + step; side < resolution; side += step) between.push(side);
  const growing = (1 - delay - fineTune) / Math.max(1, between.length);
  return [
    // Where no side lies between, the growth's share is half the one's and half the other's.
    { share: delay + (between.length === 0 ? growing / 2 : 0), resolution: first / resolution },
    ...between.map((side) => ({ share: growing, resolution: side / resolution })),
    { share: fineTune + (between.length === 0 ? growing / 2 : 0) },
  ];
}

/** Batches of the long cycle, in base batches. */
const longCycle = [8, 4, 2, 1];

/**
 * Multigrid's long cycle for pictures: batch × side² stays, so batches are 8, 4, 2 and 1 times the run's on sides of √⅛, ½,
 * √½ and 1, each for as many updates; the learning rate grows with the batch. Published for video, where the time axis
 * takes part of the reduction: factors (.25, √.5), (.5, √.5), (.5, 1), (1, 1) of time and side, of which we keep the product
 * time × side² = ⅛, ¼, ½, 1. One cycle where they go through one for each level of a stepped learning rate, and no short cycle.
 * @see Wu et al. (2020), "A Multigrid Method for Efficiently Training Video Models", section 3; they also train 1.5 × the epochs.
 */
function multigrid({ recipe }: ScheduleTarget): ScheduleStage[] {
  return longCycle.map((factor) => ({
    share: factor,
    resolution: 1 / Math.sqrt(factor),
    batchSize: factor * recipe.batchSize,
    learningRateScale: factor,
  }));
}
