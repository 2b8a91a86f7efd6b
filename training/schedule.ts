/** How the learning rate moves over a run, as plain data. */
export type Schedule =
  | { readonly kind: 'constant'; readonly peak: number }
  | {
      /** Linear from `peak` ÷ warm-up steps up to `peak`, then half a cosine down to zero. */
      readonly kind: 'warmup-cosine';
      readonly peak: number;
      /** Share of all steps that warm up, 0–1. */
      readonly warmup: number;
    };

/**
 * Learning rate of one step. The schedule is complete within `steps`: the cosine's last step is the
 * one just above zero, and zero would be at `steps`.
 * @param step 0 … steps − 1
 * @see Loshchilov & Hutter (2017), "SGDR", eq. 5 with one cycle; Goyal et al. (2017) for the warm-up.
 */
export function learningRateAt(schedule: Schedule, step: number, steps: number): number {
  if (schedule.kind === 'constant') return schedule.peak;
  const warmupSteps = Math.round(schedule.warmup * steps);
  if (step < warmupSteps) return (schedule.peak * (step + 1)) / warmupSteps;
  const progress = (step - warmupSteps) / (steps - warmupSteps);
  return (schedule.peak * (1 + Math.cos(Math.PI * progress))) / 2;
}
