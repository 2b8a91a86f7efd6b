import type { Fidelity } from '../../core/trial.ts';
import { updatesOf } from '../../training/recipe.ts';
import { learningRateAt } from '../../training/schedule.ts';
import type { CurvePoint, Recipe } from '../../training/trainer.ts';
import type { RunParameter, RunPoint } from './run-log.ts';

/** What of a training is told to a run log beside its curve. */
export interface LoggedTraining {
  /** Absent where a program of the user's own trains. */
  readonly recipe?: Recipe | undefined;
  readonly fidelity: Fidelity;
}

/** Recipe and fidelity as a run's parameters. */
export function trainingParameters({ recipe = {} as Recipe, fidelity }: LoggedTraining): Record<string, RunParameter> {
  const settings = Object.entries({ ...recipe, ...fidelity }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    settings.map(([key, value]) => [key, typeof value === 'object' ? JSON.stringify(value) : (value as RunParameter)]),
  );
}

/** A point of a training curve as a run's; the learning rate is that of its last update, and left to the stages where there are any. */
export function trainingPoint(
  { recipe, fidelity }: LoggedTraining,
  { examples, loss, accuracy, gradientNorm, imagesPerS }: CurvePoint & { readonly imagesPerS?: number },
  atMs: number,
): RunPoint {
  const values = {
    'train/loss': loss,
    'train/accuracy': accuracy,
    'train/gradient-norm': gradientNorm,
    'train/images-per-s': imagesPerS,
    'train/learning-rate':
      recipe && fidelity.schedule === undefined
        ? learningRateAt(recipe, updatesOf(recipe, examples) - 1, updatesOf(recipe, fidelity.examples))
        : undefined,
  };
  const known = Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const]));
  return { step: examples, atMs, values: Object.fromEntries(known) };
}
