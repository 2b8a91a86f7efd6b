import type { Recipe } from './trainer.ts';

/** Peak learning rate for a batch of 32; AdamW's steps do not shrink with the gradient, so it needs a far lower one. */
const learningRatePer32: Readonly<Record<Recipe['optimizer'], number>> = { 'sgd-momentum': 0.1, adamw: 0.003 };

/**
 * How every candidate is trained unless a study says otherwise: SGD with momentum, for runs of
 * 5,000–20,000 examples. A starting point, not an optimum: nine settings tried once each on CIFAR-10 at
 * 10,000 examples gave 39–44 % with a standard error of .9 points (docs/log.md), too close to rank most of them.
 *
 * The learning rate grows linearly with the batch (Goyal et al. 2017) and is the same for every
 * width and depth. That is fair to all of them, because batch norm makes the loss blind to the length
 * of every filter, so that a step turns it by an angle of about rate ÷ length², and the
 * initialisation (`models/initialise.ts`) gives filters of all widths the same length, √2.
 */
export function defaultRecipe(overrides: Partial<Recipe> = {}): Recipe {
  const batchSize = overrides.batchSize ?? 32;
  const optimizer = overrides.optimizer ?? 'sgd-momentum';
  return {
    optimizer,
    batchSize,
    learningRate: (learningRatePer32[optimizer] * batchSize) / 32,
    momentum: 0.9,
    weightDecay: 5e-4,
    labelSmoothing: 0.1,
    warmup: 0.2,
    ...overrides,
  };
}
