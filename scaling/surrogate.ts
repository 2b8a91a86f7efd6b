import { fitRegression, type RegressionPrior } from './bayesian-regression.ts';
import type { Multipliers } from './multipliers.ts';

/** A scored training of a network near the base in shape. */
export interface AccuracyObservation {
  /** *Realised* multipliers of a scaling; of another network its {@link relativeShape}. */
  readonly multipliers: Multipliers;
  /** 0 … 1, on the hold-out. */
  readonly accuracy: number;
  /** Training examples ÷ those of the fidelity that is predicted; default 1. */
  readonly examplesRatio?: number;
  /** Another network than a scaling of the base: its shape tells of slopes, its operators add to the noise. */
  readonly isOther?: boolean;
}

/** What a surrogate expects of a network trained once at the fidelity that is predicted. */
export interface AccuracyPrediction {
  /** Expected accuracy and its standard deviation, noise of one training left out. */
  readonly accuracy: number;
  readonly sd: number;
  /** Both in logits. */
  readonly logit: number;
  readonly logitSd: number;
  /** In logits, of one further training, its noise included; Student t with so many degrees of freedom. */
  readonly trainingLogitSd: number;
  readonly degreesOfFreedom: number;
}

/** Accuracy of scaled networks at one fidelity. */
export interface AccuracySurrogate {
  readonly observations: number;
  /** Root mean square of left-out errors of scalings at the fidelity that is predicted, in logits; NaN where there are none. */
  readonly leaveOneOutError: number;
  predict(multipliers: Multipliers): AccuracyPrediction;
}

/**
 * What is believed of logit accuracy before any training: constant (its mean is the observed average), slopes on ln
 * depth, ln width and ln resolution, on their squares, on ln examples, on ln examples · ln multiply-adds, and what all
 * other networks of the space differ by. Checked on public families of networks, each left out of what is said of it
 * (docs/log.md, `bench/scaling/accuracy.ts`).
 */
export const accuracyPrior: RegressionPrior = {
  mean: [0, 0.36, 0.36, 0.36, -0.05, -0.05, -0.05, 0.4, 0, 0],
  sd: [2, 0.4, 0.4, 0.6, 0.15, 0.15, 0.3, 0.4, 0.1, 0.5],
  noiseSd: 0.05,
  noiseWeight: 2,
};

/** Standard deviation of another network's accuracy about its shape's, ÷ that of a scaling's: its observation counts 1/36. */
const otherNoise = 6;

/**
 * Bayesian regression of logit accuracy on the logarithms of depth, width and resolution, their squares, and the
 * logarithm of training examples, alone and times that of multiply-adds. So trainings at other fidelities, of the search
 * phase say, and of other networks of the space inform the slopes.
 * Accuracies within .001 of 0 or 1 count as .001 from it. Ours.
 */
export function fitAccuracy(
  observations: readonly AccuracyObservation[],
  prior: RegressionPrior = accuracyPrior,
): AccuracySurrogate {
  const logits = observations.map(({ accuracy }) => logit(accuracy));
  const isDirect = observations.map(({ examplesRatio = 1, isOther = false }) => examplesRatio === 1 && !isOther);
  const direct = logits.filter((_, index) => isDirect[index]);
  const weights = observations.map(({ isOther }) => (isOther ? 1 / otherNoise : 1));
  const regression = fitRegression(
    observations.map((observation, index) => features(observation).map((value) => value * (weights[index] ?? 1))),
    logits.map((value, index) => value * (weights[index] ?? 1)),
    { ...prior, mean: [average(direct.length > 0 ? direct : logits), ...prior.mean.slice(1)] },
  );
  return {
    observations: observations.length,
    leaveOneOutError: rootMeanSquare(regression.leaveOneOut.filter((_, index) => isDirect[index])),
    predict: (multipliers) => {
      const { mean, meanSd, sd, degreesOfFreedom } = regression.predict(features({ multipliers }));
      const accuracy = 1 / (1 + Math.exp(-mean));
      return {
        accuracy,
        sd: accuracy * (1 - accuracy) * meanSd,
        logit: mean,
        logitSd: meanSd,
        trainingLogitSd: sd,
        degreesOfFreedom,
      };
    },
  };
}

function features({
  multipliers: { depth, width, resolution },
  examplesRatio = 1,
  isOther = false,
}: Omit<AccuracyObservation, 'accuracy'>): readonly number[] {
  const scales = [Math.log(depth), Math.log(width), Math.log(resolution)] as const;
  const logMacs = scales[0] + 2 * scales[1] + 2 * scales[2];
  const logExamples = Math.log(examplesRatio);
  return [1, ...scales, ...scales.map((value) => value ** 2), logExamples, logExamples * logMacs, isOther ? 1 : 0];
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
