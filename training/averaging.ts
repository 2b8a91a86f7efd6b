/** Examples in batches of the run, in which a decay is given: in a run of one batch they are updates. */
interface AveragedExamples {
  /** t: all so far, the update's own included. */
  readonly seen: number;
  /** κ: the update's own. */
  readonly own: number;
}

/**
 * Share of the old average that an update keeps: min(decay, (1 + t) ÷ (10 + t))^κ. The first bound keeps a short run's average
 * from being its start: the window is then about the last tenth of the examples so far. The exponent keeps the window as long in examples
 * whatever an update's batch.
 * @see TensorFlow's `ExponentialMovingAverage` with `num_updates`, as EfficientNet trains (Tan & Le 2019);
 * Busbridge et al. (2023), "How to Scale Your EMA", definition 1.2, for decay^κ.
 */
export function averagingShare(decay: number, { seen, own }: AveragedExamples): number {
  return Math.min(decay, (1 + seen) / (10 + seen)) ** own;
}

/**
 * average ← share · average + (1 − share) · values, in place and in one pass. (As nodes of the training step it
 * would be three passes, and one more vector to carry into and out of the session.)
 */
export function averageInto(average: Float32Array, values: Float32Array, share: number): void {
  const fresh = 1 - share;
  for (let index = 0; index < average.length; index++) {
    const old = average[index] as number;
    average[index] = old + fresh * ((values[index] as number) - old);
  }
}
