/**
 * Share of the old average that an update keeps: min(decay, (1 + t) ÷ (10 + t)), so that a short run's average is
 * not its start; the window is then about the last tenth of the updates so far.
 * @param update t, 1 for the first.
 * @see TensorFlow's `ExponentialMovingAverage` with `num_updates`, as EfficientNet trains (Tan & Le 2019).
 */
export function averagingShare(decay: number, update: number): number {
  return Math.min(decay, (1 + update) / (10 + update));
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
