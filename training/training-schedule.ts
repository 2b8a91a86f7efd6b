import { z } from 'zod';
import { providerIds } from '../accelerators/onnxruntime.ts';
import { augmentationChangeSchema } from '../data/augment.ts';

/** Why steps run in one precision only. */
const precisionRefusal =
  'expected fp32: weights, gradients and their moments are kept in 32 bits, and onnxruntime’s CPU has no convolution in 16';

const share = z.number().gt(0).max(1);

/**
 * A stage of a training schedule: its share of the examples, and what differs from the run's own settings while it lasts.
 * Left out means as in the run.
 */
export const scheduleStageSchema = z.strictObject({
  /** Share of the run's examples; relative to the other stages' shares. */
  share: z.number().positive(),

  /** Side of the pictures: up to 1 a share of the network's own, from 4 on pixels. */
  resolution: z
    .number()
    .refine((value) => (value > 0 && value <= 1) || (Number.isInteger(value) && value >= 4 && value <= 4096), {
      error: 'expected a share of the network’s resolution, above 0 up to 1, or whole pixels, from 4 to 4096',
    })
    .optional(),
  /** Share of the network's repeats, or of a transformer's layers, above 0 up to 1: it grows from stage to stage. */
  depth: share.optional(),
  /** Share of its channels, or of a transformer's heads, likewise. */
  width: share.optional(),
  /** Survival probability of the last residual branch (stochastic depth). */
  survival: z.number().gt(0).max(1).optional(),
  /** Before the classifier. */
  dropout: z.number().min(0).max(0.9).optional(),
  labelSmoothing: z.number().min(0).max(0.9).optional(),
  weightDecay: z.number().min(0).optional(),
  /** Keys of the trainer's augmentation that are others here; `randAugment` and `crop` as a whole. */
  augmentation: augmentationChangeSchema.optional(),
  /** Factor on the learning-rate curve; by default the batch's factor, as the default recipe scales. */
  learningRateScale: z.number().positive().optional(),

  /** Examples an update. */
  batchSize: z.int().min(1).max(65_536).optional(),
  /** Parts a batch is run in; a divisor of the batch. */
  microBatches: z.int().min(1).max(1024).optional(),
  /** Whether the step computes part of its forward pass again rather than keep it. */
  rematerialise: z.boolean().optional(),
  /** Execution provider that the step runs on. */
  provider: z.enum(providerIds).optional(),
  /** Of the step; no more than the machine has are used. */
  threads: z.int().min(1).max(256).optional(),
  /** Whether the runtime rewrites the step before it runs it. */
  graphOptimization: z.enum(['disabled', 'all']).optional(),
  precision: z.literal('fp32', { error: precisionRefusal }).optional(),
});
export type ScheduleStage = z.output<typeof scheduleStageSchema>;

/** For which network, on which device and how a schedule was found. It says whom it may suit; nothing is computed from it. */
export const foundScheduleSchema = z.strictObject({
  network: z.strictObject({
    /** Multiply-adds of one example at the end, forward. */
    macs: z.number().positive(),
    resolution: z.int().positive(),
    /** Operators of its stages, sorted. */
    operators: z.array(z.string()),
  }),
  device: z.strictObject({ cpu: z.string(), cores: z.int().positive(), runtime: z.string(), provider: z.string() }),
  data: z.string(),
  tried: z.int().positive(),
  /** Examples that a training sees in the same predicted time, by the schedule and without. */
  examples: z.strictObject({ scheduled: z.int().positive(), fixed: z.int().positive() }),
  /** Hold-out accuracy then, mean over seeds. */
  accuracy: z.strictObject({ scheduled: z.number(), fixed: z.number(), seeds: z.int().positive() }),
  /** Hold-out cross-entropy then, in nats: what it was chosen by. Files of earlier versions have none. */
  crossEntropy: z.strictObject({ scheduled: z.number(), fixed: z.number() }).optional(),
});
export type FoundSchedule = z.output<typeof foundScheduleSchema>;

/**
 * A training schedule as data: which settings, of the hardware and of the model, hold for which part of a training. (The
 * curve of the learning rate within the recipe is the *learning-rate schedule*.)
 * @see WO2023059439A1 for hardware-level and model-level settings that change together, stage by stage.
 */
export const trainingScheduleSchema = z
  .strictObject({
    stages: z.array(scheduleStageSchema).min(1).max(64),
    /** Of one that was searched for. */
    found: foundScheduleSchema.optional(),
  })
  .check(({ value: { stages }, issues }) => {
    for (const key of growthKeys)
      stages.forEach(({ [key]: share = 1 }, index) => {
        const complain = (message: string) =>
          issues.push({ code: 'custom', path: ['stages', index, key], message, input: share });
        const before = stages[index - 1]?.[key] ?? (index === 0 ? share : 1);
        if (share < before) complain(`expected at least the ${before} of the stage before, got ${share}`);
        else if (index === stages.length - 1 && share < 1)
          complain(`expected the whole network in the last stage, 1, got ${share}`);
      });
  });
export type TrainingSchedule = z.output<typeof trainingScheduleSchema>;

/** Keys of a stage by which the network grows. */
export const growthKeys = ['depth', 'width'] as const satisfies readonly (keyof ScheduleStage)[];

/** Keys of a stage that only pictures have. */
export const pictureKeys = [
  'resolution',
  'survival',
  'dropout',
  'augmentation',
] as const satisfies readonly (keyof ScheduleStage)[];
