import type { Recipe } from './trainer.ts';

/** Peak learning rate of SGD for a batch of 32. */
const learningRatePer32 = 0.1;

/**
 * How every candidate is trained unless a study says otherwise: SGD with momentum, for runs of
 * 5,000–20,000 examples, where many small steps beat fewer large ones. Rates of .05–.2, warm-ups of
 * .1–.2 and batches of 16–64 lay within about two standard errors on CIFAR-10 at 10,000 examples (one
 * seed each, 3,000 hold-out images): a reasonable start, not an optimum.
 *
 * The learning rate grows linearly with the batch (Goyal et al. 2017) and is the same for every
 * width and depth. That is fair to all of them, because batch norm makes the loss blind to the length
 * of every filter, so that a step turns it by an angle of about rate ÷ length², and the
 * initialisation (`models/initialise.ts`) gives filters of all widths the same length, √2.
 */
export function defaultRecipe(overrides: Partial<Recipe> = {}): Recipe {
  const batchSize = overrides.batchSize ?? 32;
  return {
    optimizer: 'sgd-momentum',
    batchSize,
    learningRate: (learningRatePer32 * batchSize) / 32,
    momentum: 0.9,
    weightDecay: 5e-4,
    labelSmoothing: 0.1,
    warmup: 0.2,
    ...overrides,
  };
}
