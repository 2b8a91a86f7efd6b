import { fitRegression } from './bayesian-regression.ts';
import type { Multipliers } from './multipliers.ts';

/** A scored training of the base scaled by *realised* multipliers; all at one fidelity. */
export interface AccuracyObservation {
  readonly multipliers: Multipliers;
  /** 0 … 1, on the hold-out. */
  readonly accuracy: number;
}

/** Accuracy of scaled networks at one fidelity. */
export interface AccuracySurrogate {
  readonly observations: number;
  /** Root mean square of left-out errors, in logits. */
  readonly leaveOneOutError: number;
  /** Expected accuracy, its standard deviation (noise of one training left out), and both in logits. */
  predict(multipliers: Multipliers): {
    readonly accuracy: number;
    readonly sd: number;
    readonly logit: number;
    readonly logitSd: number;
  };
}

function logs({ depth, width, resolution }: Multipliers): readonly [number, number, number] {
  return [Math.log(depth), Math.log(width), Math.log(resolution)];
}

function accuracyFeatures(multipliers: Multipliers): readonly number[] {
  const scales = logs(multipliers);
  return [1, ...scales, ...scales.map((value) => value ** 2)];
}

function average(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function rootMeanSquare(values: readonly number[]): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
}

function logit(probability: number): number {
  const inside = Math.min(1 - 1e-3, Math.max(1e-3, probability));
  return Math.log(inside / (1 - inside));
}

function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}

/**
 * Bayesian regression of logit accuracy on the logarithms of depth, width and resolution and their squares. The
 * prior: each doubling helps by about .25 logits, each next one a little less, and the two are independent.
 * Accuracies within .001 of 0 or 1 count as .001 from it. Ours.
 */
export function fitAccuracy(observations: readonly AccuracyObservation[]): AccuracySurrogate {
  const targets = observations.map(({ accuracy }) => logit(accuracy));
  const regression = fitRegression(
    observations.map(({ multipliers }) => accuracyFeatures(multipliers)),
    targets,
    {
      mean: [average(targets), 0.36, 0.36, 0.36, -0.05, -0.05, -0.05],
      sd: [2, 0.4, 0.4, 0.6, 0.15, 0.15, 0.3],
      noiseSd: 0.08,
      noiseWeight: 4,
    },
  );
  return {
    observations: observations.length,
    leaveOneOutError: rootMeanSquare(regression.leaveOneOut),
    predict: (multipliers) => {
      const { mean, meanSd } = regression.predict(accuracyFeatures(multipliers));
      const accuracy = sigmoid(mean);
      return { accuracy, sd: accuracy * (1 - accuracy) * meanSd, logit: mean, logitSd: meanSd };
    },
  };
}
