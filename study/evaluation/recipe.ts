import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { providerIds } from '../../accelerators/onnxruntime.ts';
import { ConfigError } from '../../core/errors.ts';
import { type Augmentation, augmentationSchema, defaultAugmentation } from '../../data/augment.ts';
import { defaultRecipe, microBatchSize } from '../../training/recipe.ts';
import { scheduleSchema } from '../../training/schedule.ts';
import { tfjsRefusal } from '../../training/tfjs/refusal.ts';
import { type Recipe, type TrainerKind, trainerKinds } from '../../training/trainer.ts';

/** What a study file or a recipe file may say about training; everything else is the default recipe's. */
export const recipeSchema = z.strictObject({
  optimizer: z.enum(['sgd-momentum', 'rmsprop', 'adamw']).optional(),
  /** Examples an update. */
  batchSize: z.int().min(1).max(65_536).optional(),
  /** Parts a batch is run in, where memory does not hold it whole; a divisor of `batchSize`. */
  microBatches: z.int().min(1).max(1024).optional(),
  /** Whether steps compute part of the forward pass again rather than keep it. */
  rematerialise: z.boolean().optional(),
  /** Execution provider that trainings run on; cpu when absent. */
  provider: z.enum(providerIds).optional(),
  /** Peak. */
  learningRate: z.number().positive().optional(),
  schedule: scheduleSchema.optional(),
  /** Share of the run in which the rate first rises to its peak. */
  warmup: z.number().min(0).max(1).optional(),
  momentum: z.number().min(0).lt(1).optional(),
  nesterov: z.boolean().optional(),
  weightDecay: z.number().min(0).optional(),
  /** Largest L2 norm of all gradients together. */
  clipNorm: z.number().positive().optional(),
  /** Decay of a moving average of the weights, over `batchSize` examples; the average is then what is scored and delivered. */
  emaDecay: z.number().min(0).lt(1).optional(),
  labelSmoothing: z.number().min(0).max(0.9).optional(),
  augmentation: augmentationSchema.optional(),
});

/** The `trainer` section of a study file. */
export const trainerSchema = recipeSchema.extend({
  /** What trains: ONNX Runtime (`onnx`, the default) or TensorFlow.js (`tfjs`), which is installed beside Ridgepoint. */
  kind: z.enum(trainerKinds).optional(),
  /** Candidates trained at once, one thread each; by default the number of cores. */
  parallel: z.int().min(1).max(256).optional(),
});
export type TrainerConfig = z.output<typeof trainerSchema>;

/**
 * The trainer, the whole recipe and the augmentation that a trainer section stands for.
 * @throws {ConfigError} when its settings contradict each other.
 */
export function resolveRecipe({ kind = 'onnx', augmentation, parallel: _slots, ...overrides }: TrainerConfig): {
  readonly trainer: TrainerKind;
  readonly recipe: Recipe;
  readonly augmentation: Augmentation;
} {
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
  const recipe = defaultRecipe(given);
  const refusal = kind === 'tfjs' ? tfjsRefusal(recipe) : undefined;
  if (refusal !== undefined) throw new ConfigError(refusal);
  const { mixup = 0, cutmix = 0 } = augmentation ?? {};
  if (mixup + cutmix > 0 && microBatchSize(recipe) < 2)
    throw new ConfigError(
      'augmentation: expected at least 2 examples in a batch that is mixed (batchSize ÷ microBatches), got 1',
    );
  return { trainer: kind, recipe, augmentation: augmentation ?? defaultAugmentation };
}

/**
 * Reads recipe settings in YAML, the keys of a trainer section that say how one network is trained.
 * @throws {ConfigError} naming the file and each offending key.
 */
export function readRecipeFile(path: string): TrainerConfig {
  let data: unknown;
  try {
    data = parseYaml(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new ConfigError(`${path}: expected a recipe in YAML: ${(cause as Error).message}`, { cause });
  }
  const parsed = recipeSchema.safeParse(data ?? {});
  if (!parsed.success) throw new ConfigError(`${path}: not a recipe\n${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
