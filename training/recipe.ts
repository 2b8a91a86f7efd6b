import { ConfigError } from '../core/errors.ts';
import type { Recipe } from './trainer.ts';

/**
 * Peak learning rate for a batch of 32. AdamW's steps do not shrink with the gradient, so it needs a far lower one;
 * RMSprop's is EfficientNet's .016 for 256 (Tan & Le 2019, section 5.2).
 */
const learningRatePer32: Readonly<Record<Recipe['optimizer'], number>> = {
  'sgd-momentum': 0.1,
  rmsprop: 0.002,
  adamw: 0.003,
};

/** RMSprop divides the penalty, too, by the gradients' size, so it takes EfficientNet's weak one. */
const weightDecays: Readonly<Record<Recipe['optimizer'], number>> = {
  'sgd-momentum': 5e-4,
  rmsprop: 1e-5,
  adamw: 5e-4,
};

/**
 * How every candidate is trained unless a study says otherwise: SGD with momentum, for runs of
 * 5,000–20,000 examples. A starting point, not an optimum: nine settings tried once each on CIFAR-10 at
 * 10,000 examples gave 39–44 % with a standard error of .9 points (docs/log.md), too close to rank most of them.
 *
 * The learning rate grows linearly with the batch of an update (Goyal et al. 2017), in however many
 * micro-batches it is run, and is the same for every
 * width and depth. That is fair to all of them, because batch norm makes the loss blind to the length
 * of every filter, so that a step turns it by an angle of about rate ÷ length², and the
 * initialisation (`models/initialise.ts`) gives filters of all widths the same length, √2.
 * @throws {ConfigError} when settings contradict each other.
 */
export function defaultRecipe(overrides: Partial<Recipe> = {}): Recipe {
  const batchSize = overrides.batchSize ?? 32;
  const optimizer = overrides.optimizer ?? 'sgd-momentum';
  const recipe: Recipe = {
    optimizer,
    batchSize,
    learningRate: (learningRatePer32[optimizer] * batchSize) / 32,
    momentum: 0.9,
    weightDecay: weightDecays[optimizer],
    labelSmoothing: 0.1,
    warmup: 0.2,
    ...overrides,
  };
  if (recipe.nesterov && optimizer !== 'sgd-momentum')
    throw new ConfigError(`nesterov: expected the optimizer sgd-momentum, got ${optimizer}`);
  microBatchSize(recipe);
  return recipe;
}

/** Updates in which so many examples are seen: the last batch is whole, too. */
export function updatesOf({ batchSize }: Recipe, examples: number): number {
  return Math.ceil(examples / batchSize);
}

/** Examples run at once: the batch that a recipe's graph is built with. @throws {ConfigError} unless they are whole. */
export function microBatchSize({ batchSize, microBatches = 1 }: Recipe): number {
  if (batchSize % microBatches !== 0)
    throw new ConfigError(`microBatches: expected a divisor of the batch of ${batchSize}, got ${microBatches}`);
  return batchSize / microBatches;
}
