import { type Augmentation, defaultAugmentation } from '../data/augment.ts';
import { defaultRecipe } from '../training/recipe.ts';
import type { Recipe } from '../training/trainer.ts';
import type { StudyConfig } from './study-file.ts';

/** What a study file or a flag says about training; everything else is the default recipe's. */
export type TrainerConfig = StudyConfig['trainer'];

/** The whole recipe and augmentation that a trainer section stands for. */
export function resolveRecipe({ augmentation, parallel: _slots, ...overrides }: TrainerConfig): {
  readonly recipe: Recipe;
  readonly augmentation: Augmentation;
} {
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
  return { recipe: defaultRecipe(given), augmentation: augmentation ?? defaultAugmentation };
}
