import { Random } from '../core/random.ts';
import type { Parameter, Weights } from '../models/graph.ts';
import type { Growth } from '../models/growth.ts';
import { copyNoiseDeviation, grownMoments, grownWeights } from '../models/grown-weights.ts';
import { initialWeights } from '../models/initialise.ts';
import type { TrainingState } from './checkpoint.ts';
import { optimizerSlots } from './optimizer.ts';
import type { Recipe } from './trainer.ts';

/** State vector of the moving average, which no step reads. */
export const averageName = 'average';

interface GrownStateOptions {
  /** Of the larger network, those that train. */
  readonly parameters: readonly Parameter[];
  readonly optimizer: Recipe['optimizer'];
  /** Of the run. */
  readonly seed: number;
  /** Index of the stage that begins: each has noise of its own. */
  readonly stage: number;
}

/**
 * The state of a run, grown with its network. Weights and their average grow alike, with the same noise; new parameters begin
 * as they would have, had the run begun with them. The optimizer's slots become what the larger network's gradients would
 * have made of them: of copies each has its part of the gradient. Of new parameters they begin anew.
 * @see Shen et al. (2022), "Staged Training for Transformer Language Models", for growing the optimizer's state as well.
 */
export function grownState(
  vectors: TrainingState['vectors'],
  growth: Growth,
  { parameters, optimizer, seed, stage }: GrownStateOptions,
): Record<string, Weights> {
  const random = new Random(seed);
  const drawn = initialWeights(
    { parameters: parameters.filter(({ name }) => growth.parameters.get(name) === 'drawn') },
    random.child('weights'),
  );
  const noise = { random: random.child('growth', stage), deviation: copyNoiseDeviation };
  const slots = new Map(optimizerSlots[optimizer].map((slot) => [slot.name as string, slot]));
  return Object.fromEntries(
    Object.entries(vectors).map(([name, values]) => {
      const slot = slots.get(name);
      const grown = slot
        ? grownMoments(growth, parameters, values, { power: slot.gradientPower, initial: slot.initial })
        : grownWeights(growth, parameters, values, { drawn, noise });
      return [name, grown];
    }),
  );
}
