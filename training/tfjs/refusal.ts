import type { GraphOptimization, Recipe } from '../trainer.ts';

/** Settings of what computes a training, by the names that people give them. */
interface HardwareSettings extends Pick<Recipe, 'rematerialise' | 'provider'> {
  readonly graphOptimization?: GraphOptimization | undefined;
}

/** The first setting that TensorFlow.js cannot be asked for, and why; undefined where there is none. */
export function tfjsRefusal({ graphOptimization, rematerialise, provider }: HardwareSettings): string | undefined {
  const refused = (key: keyof HardwareSettings, why: string, got: string | boolean): string =>
    `${key}: expected none for the trainer tfjs, ${why}, got ${got}`;
  if (graphOptimization !== undefined)
    return refused('graphOptimization', 'which has no graph to rewrite', graphOptimization);
  if (rematerialise) return refused('rematerialise', 'whose tape keeps all that gradients need', rematerialise);
  if (provider !== undefined)
    return refused('provider', 'which runs on the backend of the package that is installed', provider);
  return undefined;
}
