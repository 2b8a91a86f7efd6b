import { fitRegression, type Regression } from './bayesian-regression.ts';
import { identity, type Multipliers } from './multipliers.ts';

/** A measured latency of the base scaled by *realised* multipliers. */
export interface LatencyObservation {
  readonly multipliers: Multipliers;
  readonly latencyMs: number;
}

/** Latency of scaled networks on one accelerator, with how far to trust it. */
export interface LatencySurrogate {
  readonly observations: number;
  /** Root mean square of left-out errors of ln latency, about a relative error; NaN without observations. */
  readonly leaveOneOutError: number;
  /** Exponents of depth, width and resolution at the base: latency ∝ d^a·w^b·r^c there. */
  readonly exponents: Multipliers;
  /**
   * Time at the base that does not grow with width and resolution, and whether it grows with depth; 0 ms
   * when none shows.
   */
  readonly overhead: { readonly ms: number; readonly grows: 'never' | 'with-depth' };
  /**
   * Median latency at realised multipliers, a relative scale of error (of ln latency, for a new measurement)
   * and the interval at about 90 %.
   */
  predict(multipliers: Multipliers): {
    readonly latencyMs: number;
    readonly logSd: number;
    readonly intervalMs: { readonly lo: number; readonly hi: number };
  };
}

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

function linearFeatures(multipliers: Multipliers): readonly number[] {
  return [1, ...logs(multipliers)];
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

/** Below this many observations an overhead cannot be told from noise. */
const minOverheadObservations = 6;

/**
 * Two-sided 90 % quantile of Student's t: the normal's 1.645 with its first Cornish–Fisher term;
 * within 3 % from 5 degrees of freedom on, and low below.
 */
function tQuantile90(degreesOfFreedom: number): number {
  const z = 1.6449;
  return z + (z ** 3 + z) / (4 * degreesOfFreedom);
}

/**
 * One hypothesis: latency = overhead·d^k + e^a·d^b·w^c·r^e, linear in its logarithm once the overhead is
 * taken off.
 */
interface LatencyForm {
  readonly overheadMs: number;
  readonly depthPower: 0 | 1;
  readonly regression: Regression;
  /** Errors of ln latency with each observation left out, `[observation]`. */
  readonly leaveOneOut: readonly number[];
}

/**
 * Fits latency as an overhead plus a power law of depth, width and resolution: what runs cost whatever
 * their size (launching operators; per layer, or once), and what grows. The power law is ridge-regularised towards
 * d^1·w^1.5·r^1.8, between activations (1, 1, 2) and multiply-adds (1, 2, 2). From 6 observations on the
 * overhead is the one of 39 candidates with the lowest left-out error; without it small networks would make
 * large ones look too fast. Fit one per accelerator, on measurements of one batch size and precision.
 * Ours; Dollár et al. (2021) use activations alone.
 */
export function fitLatency(observations: readonly LatencyObservation[]): LatencySurrogate {
  const plain = fitForm(observations, 0, 0);
  const alternatives =
    observations.length < minOverheadObservations
      ? []
      : ([0, 1] as const).flatMap((power) =>
          Array.from({ length: 19 }, (_, index) => fitForm(observations, (index + 1) / 20, power)),
        );
  const form = alternatives.reduce(
    (best, other) => (rootMeanSquare(other.leaveOneOut) < rootMeanSquare(best.leaveOneOut) ? other : best),
    plain,
  );
  const predict: LatencySurrogate['predict'] = (multipliers) => {
    const { mean, sd, degreesOfFreedom } = form.regression.predict(linearFeatures(multipliers));
    const overheadMs = form.overheadMs * multipliers.depth ** form.depthPower;
    const latencyMs = overheadMs + Math.exp(mean);
    const reach = tQuantile90(degreesOfFreedom) * sd;
    return {
      latencyMs,
      logSd: (sd * Math.exp(mean)) / latencyMs,
      intervalMs: { lo: overheadMs + Math.exp(mean - reach), hi: overheadMs + Math.exp(mean + reach) },
    };
  };
  const [, depth = 1, width = 1, resolution = 1] = form.regression.coefficients;
  const growing = 1 - form.overheadMs / predict(identity).latencyMs;
  return {
    observations: observations.length,
    leaveOneOutError: rootMeanSquare(form.leaveOneOut),
    exponents: {
      depth: growing * depth + (1 - growing) * form.depthPower,
      width: growing * width,
      resolution: growing * resolution,
    },
    overhead: { ms: form.overheadMs, grows: form.depthPower === 0 ? 'never' : 'with-depth' },
    predict,
  };
}

/** @param share overhead ÷ the smallest latency per depth^`depthPower`, below 1 so that something is left to grow. */
function fitForm(observations: readonly LatencyObservation[], share: number, depthPower: 0 | 1): LatencyForm {
  const smallest = Math.min(
    ...observations.map(({ multipliers, latencyMs }) => latencyMs / multipliers.depth ** depthPower),
  );
  const overheadMs = share === 0 ? 0 : share * smallest;
  const overheads = observations.map(({ multipliers }) => overheadMs * multipliers.depth ** depthPower);
  const targets = observations.map(({ latencyMs }, index) => Math.log(latencyMs - (overheads[index] ?? 0)));
  const regression = fitRegression(
    observations.map(({ multipliers }) => linearFeatures(multipliers)),
    targets,
    { mean: [average(targets), 1, 1.5, 1.8], sd: [5, 0.5, 0.7, 0.7], noiseSd: 0.05, noiseWeight: 3 },
  );
  const leaveOneOut = observations.map(({ latencyMs }, index) => {
    const predicted = Math.exp((targets[index] ?? 0) - (regression.leaveOneOut[index] ?? 0));
    return Math.log(latencyMs / ((overheads[index] ?? 0) + predicted));
  });
  return { overheadMs, depthPower, regression, leaveOneOut };
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
