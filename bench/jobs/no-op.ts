import type { Outcome } from '../../core/trial.ts';

/** What an evaluation that does nothing answers, about as large as a real answer. */
export const noOpOutcome: Outcome = {
  status: 'ok',
  metrics: { accuracy: 0.71, crossEntropy: 0.83 },
  cost: { trainS: 1, measureS: 0, examples: 6000, stepMs: 21, imagesPerS: 1500, flops: 1e12, peakRssBytes: 3e8 },
  curve: Array.from({ length: 20 }, (_, index) => ({ examples: 300 * (index + 1), loss: 2.3 / (index + 1) })),
};
