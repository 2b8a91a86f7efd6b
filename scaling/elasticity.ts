import { dot } from '../core/linear-algebra.ts';
import { studentT } from '../core/student-t.ts';
import { fitRegression, type Regression, type RegressionPrior } from './bayesian-regression.ts';
import { identity, type Multipliers } from './multipliers.ts';

/** A latency of the base scaled by *realised* multipliers. */
export interface LatencyObservation {
  readonly multipliers: Multipliers;
  readonly latencyMs: number;
}

/** A value with the ends of the interval that covers it. */
export interface Estimate {
  readonly value: number;
  readonly lo: number;
  readonly hi: number;
}

/** How an exponent changes along its own axis, between the smallest and the largest multiplier observed. */
export interface Curvature {
  readonly from: { readonly multiplier: number; readonly exponent: number };
  readonly to: { readonly multiplier: number; readonly exponent: number };
  /** Whether it changes by more than .1 and by more than chance: 95 % over the three axes together. */
  readonly bends: boolean;
}

type ByAxis<Value> = Readonly<Record<keyof Multipliers, Value>>;

/**
 * How the latency of one base on one device, at one batch and precision, answers to scaling:
 * latency ∝ depth^a · width^b · resolution^c over the points observed, with what departs from that.
 */
export interface Elasticity {
  readonly observations: number;
  /** a, b, c over all points, with 95 % t intervals. */
  readonly exponents: ByAxis<Estimate>;
  /** False where the points are too few, or move an axis too little, so that {@link exponentPrior} did its part. */
  readonly determined: boolean;
  /** Share of the variance of ln latency that the power law explains; NaN where all latencies are equal. */
  readonly rSquared: number;
  /** Standard deviation of ln latency about the power law: about a relative error. */
  readonly residualSd: number;
  /** Null for an axis with fewer than three different multipliers, and where the points do not determine the exponents. */
  readonly curvature: ByAxis<Curvature | null>;
  /** Time at the base that does not grow with width and resolution, and whether it grows with depth; 0 ms when none shows. */
  readonly overhead: { readonly ms: number; readonly grows: 'never' | 'with-depth' };
  /** Exponents at the base itself, where an overhead counts most. */
  readonly atBase: Multipliers;
  /** Root mean square of left-out errors of ln latency, about a relative error of {@link Elasticity.predict}. */
  readonly leaveOneOutError: number;
  /**
   * Median latency at realised multipliers by the power law with the overhead on top, a relative scale of error
   * (of ln latency, for a new measurement) and the interval at about 90 %.
   */
  predict(multipliers: Multipliers): {
    readonly latencyMs: number;
    readonly logSd: number;
    readonly intervalMs: { readonly lo: number; readonly hi: number };
  };
}

export const axes = ['depth', 'width', 'resolution'] as const satisfies (keyof Multipliers)[];

/** Exponents before any measurement: between those of activations (1, 1, 2) and of multiply-adds (1, 2, 2). */
export const exponentPrior: Multipliers = { depth: 1, width: 1.5, resolution: 1.8 };

/** Below this many points an overhead cannot be told from noise. */
const minOverheadObservations = 6;
/** Twice as many as there are coefficients. */
const minDetermined = 8;
/** Of all intervals of exponents. */
const level = 0.95;
/** Change of an exponent over the points below which a bend does not matter. */
const smallChange = 0.1;

/**
 * Least squares with classical t intervals as the limit of {@link fitRegression}'s prior, p(β, σ) ∝ 1 ÷ σ (Gelman et al.,
 * "Bayesian Data Analysis", §14.2).
 */
function leastSquares(coefficients: number): RegressionPrior {
  const zeros = Array.from({ length: coefficients }, () => 0);
  return { mean: zeros, sd: zeros.map(() => 1), noiseSd: 0, noiseWeight: -coefficients };
}

/**
 * Fits latency as an overhead plus a power law of depth, width and resolution: what runs cost whatever their size
 * (launching operators; per layer, or once), and what grows. By least squares of ln latency; where the points do
 * not determine the exponents, ridge-regularised towards {@link exponentPrior}. The exponents reported are those without an
 * overhead, what a plain power law makes of these points; for predicting, from 6 points on, the overhead is the one of 39
 * candidates with the lowest left-out error, for without it small networks would make large ones look too fast.
 * Ours; Dollár et al. (2021) use activations alone. Fit one per device, batch and precision.
 * @throws {RangeError} without any observation.
 */
export function fitElasticity(observations: readonly LatencyObservation[]): Elasticity {
  if (observations.length === 0) throw new RangeError('elasticity: expected at least one observed latency, got none');
  const determined = areDetermining(observations.map(({ multipliers }) => multipliers));
  const plain = fitForm(observations, { share: 0, depthPower: 0, determined });
  const alternatives =
    observations.length < minOverheadObservations
      ? []
      : ([0, 1] as const).flatMap((depthPower) =>
          Array.from({ length: 19 }, (_, index) =>
            fitForm(observations, { share: (index + 1) / 20, depthPower, determined }),
          ),
        );
  const form = alternatives.reduce(
    (best, other) => (rootMeanSquare(other.leaveOneOut) < rootMeanSquare(best.leaveOneOut) ? other : best),
    plain,
  );
  const predict = predictBy(form);
  const growing = 1 - form.overheadMs / predict(identity).latencyMs;
  const [, ...slopes] = form.regression.coefficients;
  return {
    observations: observations.length,
    exponents: byAxis((_, index) => coefficient(plain.regression, index + 1, level)),
    determined,
    ...qualityOf(observations, plain.regression),
    curvature: byAxis((axis) => (determined ? curvatureAlong(axis, observations) : null)),
    overhead: { ms: form.overheadMs, grows: form.depthPower === 0 ? 'never' : 'with-depth' },
    atBase: byAxis(
      (axis, index) => growing * (slopes[index] ?? 0) + (axis === 'depth' ? (1 - growing) * form.depthPower : 0),
    ),
    leaveOneOutError: rootMeanSquare(form.leaveOneOut),
    predict,
  };
}

/** `d^0.93 · w^0.01 · r^0.02 (± 0.01, 0.02, 0.02)`: the exponents with half their 95 % intervals. */
export function powerLawText({ exponents, determined }: Pick<Elasticity, 'exponents' | 'determined'>): string {
  const law = axes.map((axis) => `${axis[0]}^${exponents[axis].value.toFixed(2)}`).join(' · ');
  const halves = axes.map((axis) => ((exponents[axis].hi - exponents[axis].lo) / 2).toFixed(2)).join(', ');
  return `${law} (± ${halves}${determined ? '' : ', a prior included'})`;
}

/** One hypothesis: latency = overhead·d^k + e^a·d^b·w^c·r^e, linear in its logarithm once the overhead is taken off. */
interface LatencyForm {
  readonly overheadMs: number;
  readonly depthPower: 0 | 1;
  readonly regression: Regression;
  /** Errors of ln latency with each observation left out, `[observation]`. */
  readonly leaveOneOut: readonly number[];
}

interface FormOptions {
  /** Overhead ÷ the smallest latency per depth^`depthPower`, below 1 so that something is left to grow. */
  readonly share: number;
  readonly depthPower: 0 | 1;
  readonly determined: boolean;
}

function fitForm(
  observations: readonly LatencyObservation[],
  { share, depthPower, determined }: FormOptions,
): LatencyForm {
  const smallest = Math.min(
    ...observations.map(({ multipliers, latencyMs }) => latencyMs / multipliers.depth ** depthPower),
  );
  const overheadMs = share === 0 ? 0 : share * smallest;
  const overheads = observations.map(({ multipliers }) => overheadMs * multipliers.depth ** depthPower);
  const targets = observations.map(({ latencyMs }, index) => Math.log(latencyMs - (overheads[index] ?? 0)));
  const { depth, width, resolution } = exponentPrior;
  const weak = {
    mean: [average(targets), depth, width, resolution],
    sd: [5, 0.5, 0.7, 0.7],
    noiseSd: 0.05,
    noiseWeight: 3,
  };
  const regression = fitRegression(
    observations.map(({ multipliers }) => features(multipliers)),
    targets,
    determined ? leastSquares(1 + axes.length) : weak,
  );
  const leaveOneOut = observations.map(({ latencyMs }, index) => {
    const predicted = Math.exp((targets[index] ?? 0) - (regression.leaveOneOut[index] ?? 0));
    return Math.log(latencyMs / ((overheads[index] ?? 0) + predicted));
  });
  return { overheadMs, depthPower, regression, leaveOneOut };
}

function predictBy({ overheadMs, depthPower, regression }: LatencyForm): Elasticity['predict'] {
  const reach90 = studentT(0.9, regression.predict(features(identity)).degreesOfFreedom);
  return (multipliers) => {
    const { mean, sd } = regression.predict(features(multipliers));
    const overhead = overheadMs * multipliers.depth ** depthPower;
    const latencyMs = overhead + Math.exp(mean);
    return {
      latencyMs,
      logSd: (sd * Math.exp(mean)) / latencyMs,
      intervalMs: {
        lo: overhead + Math.exp(mean - reach90 * sd),
        hi: overhead + Math.exp(mean + reach90 * sd),
      },
    };
  };
}

/** How well a power law describes the points it was fitted to. */
function qualityOf(observations: readonly LatencyObservation[], { noiseSd, predict }: Regression) {
  const logs = observations.map(({ latencyMs }) => Math.log(latencyMs));
  const mean = average(logs);
  const residual = observations.reduce(
    (sum, { multipliers }, index) => sum + ((logs[index] ?? 0) - predict(features(multipliers)).mean) ** 2,
    0,
  );
  return { residualSd: noiseSd, rSquared: 1 - residual / logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) };
}

/** The power law with the square of one axis' logarithm added: its exponent is then b + 2q·ln(multiplier). */
function curvatureAlong(axis: keyof Multipliers, observations: readonly LatencyObservation[]): Curvature | null {
  const values = observations.map(({ multipliers }) => multipliers[axis]);
  if (new Set(values.map((value) => value.toPrecision(3))).size < 3) return null;
  const regression = fitRegression(
    observations.map(({ multipliers }) => [...features(multipliers), Math.log(multipliers[axis]) ** 2]),
    observations.map(({ latencyMs }) => Math.log(latencyMs)),
    leastSquares(2 + axes.length),
  );
  const slope = regression.coefficients[1 + axes.indexOf(axis)] ?? 0;
  // Three axes are tested, so each at a third of the level (Bonferroni).
  const square = coefficient(regression, 1 + axes.length, 1 - (1 - level) / axes.length);
  const at = (multiplier: number) => ({ multiplier, exponent: slope + 2 * square.value * Math.log(multiplier) });
  const [from, to] = [at(Math.min(...values)), at(Math.max(...values))];
  const isSure = square.lo > 0 || square.hi < 0;
  return { from, to, bends: isSure && Math.abs(to.exponent - from.exponent) > smallChange };
}

/** A coefficient with its t interval. */
function coefficient(regression: Regression, index: number, at: number): Estimate {
  const value = regression.coefficients[index] ?? 0;
  const { meanSd, degreesOfFreedom } = regression.predict(regression.coefficients.map((_, i) => (i === index ? 1 : 0)));
  const half = studentT(at, degreesOfFreedom) * meanSd;
  return { value, lo: value - half, hi: value + half };
}

/**
 * Whether points tell the exponents apart without a prior: enough of them, every axis moved by two at least, and no
 * axis nearly a combination of the others.
 */
function areDetermining(points: readonly Multipliers[]): boolean {
  if (points.length < minDetermined) return false;
  const columns = axes.map((axis) => points.map((point) => Math.log(point[axis])));
  const moved = columns.map((column) => {
    const counts = new Map<string, number>();
    for (const value of column) counts.set(value.toFixed(6), (counts.get(value.toFixed(6)) ?? 0) + 1);
    return column.length - Math.max(...counts.values());
  });
  if (moved.some((count) => count < 2)) return false;
  const [a = 0, b = 0, c = 0] = [correlation(columns, 0, 1), correlation(columns, 0, 2), correlation(columns, 1, 2)];
  // Determinant of the matrix of correlations: 1 for a design whose axes move apart, 0 for one where two move together.
  return 1 + 2 * a * b * c - a ** 2 - b ** 2 - c ** 2 > 0.02;
}

function correlation(columns: readonly (readonly number[])[], i: number, j: number): number {
  const [x, y] = [centred(columns[i] ?? []), centred(columns[j] ?? [])];
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
}

function centred(values: readonly number[]): readonly number[] {
  const mean = average(values);
  return values.map((value) => value - mean);
}

function features({ depth, width, resolution }: Multipliers): readonly number[] {
  return [1, Math.log(depth), Math.log(width), Math.log(resolution)];
}

function byAxis<Value>(of: (axis: keyof Multipliers, index: number) => Value): ByAxis<Value> {
  return { depth: of('depth', 0), width: of('width', 1), resolution: of('resolution', 2) };
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function rootMeanSquare(values: readonly number[]): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
}
