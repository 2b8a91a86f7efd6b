import { cholesky, type Matrix } from '../core/linear-algebra.ts';
import { minimise, type Minimum, type Objective } from '../core/minimise.ts';
import { type Corner, cornersOf, huber, type Penalty, totalPenalty } from './fit-penalty.ts';
import type { Columns, LossLaw, Theta } from './laws/law.ts';

/** How a law is fitted. */
export interface FitOptions {
  /** Huber's with δ = 10⁻³ by default. */
  readonly penalty?: Penalty;
  /** Where to start from; the law's own {@link LossLaw.starts} by default. */
  readonly starts?: readonly Theta[];
  /** How often each run counts; once by default. Resampling sets it. */
  readonly weights?: Float64Array;
}

/** A law's parameters, and how they came about. */
export interface LawFit {
  readonly law: LossLaw;
  readonly theta: readonly number[];
  /** Σ of the penalty at `theta`. */
  readonly objective: number;
  readonly penalty: Penalty;
  /** Starts tried, and how many of them ended within a thousandth of the lowest objective. */
  readonly starts: { readonly tried: number; readonly reached: number };
  readonly evaluations: number;
  /** ln predicted − ln observed, run by run. */
  readonly residuals: Float64Array;
  /** 1 − Σ(predicted − observed)² ÷ Σ(observed − mean)², of losses in nats; weights ignored. */
  readonly r2: number;
}

/** Enough to tell which starts are worth going on with. */
const coarse = { gradientTolerance: 1e-8, valueTolerance: 1e-5, valueScale: 0, maxIterations: 2000 };
/** Enough to tell which of those are worth finishing. */
const closer = { ...coarse, valueTolerance: 1e-6 };
/** Starts that are gone on with: the best eighth, and at least so many. */
const leastContinued = 16;
/** As far as double precision goes. */
const fine = { gradientTolerance: 1e-13, valueTolerance: 1e-14, valueScale: 0, maxIterations: 2000 };
/** Coarse minima that are finished. */
const finished = 4;

/**
 * The law that fits runs best: L-BFGS from every start, roughly; the best eighth of them further; the lowest minima then to the end,
 * in coordinates in which the runs' own curvature is round. The result is a local minimum, the global one as far as the starts cover it
 * (`bench/laws` compares with the 4,500 starts of the reference procedure).
 * @param logLoss ln of the runs' losses.
 * @throws {RangeError} when no start has a finite objective.
 */
export function fitLaw(law: LossLaw, points: Columns, logLoss: Float64Array, options: FitOptions = {}): LawFit {
  const { penalty = huber, weights } = options;
  const starts = options.starts ?? law.starts(points, logLoss);
  const [first, ...narrower] = cornersOf(penalty) as [Corner, ...Corner[]];
  const objective = penaltyOf(law, points, logLoss, first, weights);
  let evaluations = 0;
  const counted = (minimum: Minimum): Minimum => {
    evaluations += minimum.evaluations;
    return minimum;
  };
  const scratch = new Float64Array(law.parameters.length);
  const rough = starts
    .filter((start) => Number.isFinite(objective(Float64Array.from(start), scratch)))
    .map((start) => counted(minimise(objective, start, coarse)))
    .toSorted((a, b) => a.value - b.value);
  const minima = rough
    .slice(0, Math.max(leastContinued, Math.ceil(rough.length / 8)))
    .map(({ x }) => counted(minimise(objective, x, closer)))
    .toSorted((a, b) => a.value - b.value);
  const distinct = minima.filter(({ value }, i) => i === 0 || value > (minima[i - 1]?.value ?? 0) * (1 + 1e-4));
  const [best] = distinct
    .slice(0, finished)
    .map((minimum) => counted(polish(law, points, objective, minimum)))
    .toSorted((a, b) => a.value - b.value);
  if (!best)
    throw new RangeError(`${law.name}: expected a start with a finite objective, got none of ${starts.length}`);
  let end = best;
  for (const corner of narrower)
    end = counted(polish(law, points, penaltyOf(law, points, logLoss, corner, weights), end));
  const theta = [...end.x];
  const residuals = residualsOf(law, theta, points, logLoss);
  return {
    law,
    theta,
    objective: totalPenalty(penalty, residuals, weights),
    penalty,
    starts: { tried: starts.length, reached: minima.filter(({ value }) => value <= best.value * 1.001 + 1e-15).length },
    evaluations,
    residuals,
    r2: rSquared(residuals, logLoss),
  };
}

/** ln predicted − ln observed of every run. */
export function residualsOf(law: LossLaw, theta: Theta, points: Columns, logLoss: Float64Array): Float64Array {
  const residuals = new Float64Array(points.count);
  law.logLosses(theta, points, residuals);
  for (let i = 0; i < residuals.length; i++) residuals[i] = (residuals[i] as number) - (logLoss[i] as number);
  return residuals;
}

/** R² of losses in nats. @param residuals ln predicted − ln observed. */
export function rSquared(residuals: Float64Array, logLoss: Float64Array): number {
  const observed = logLoss.map(Math.exp);
  const mean = observed.reduce((sum, value) => sum + value, 0) / observed.length;
  let [error, spread] = [0, 0];
  for (let i = 0; i < observed.length; i++) {
    const value = observed[i] as number;
    error += (value * Math.expm1(residuals[i] as number)) ** 2;
    spread += (value - mean) ** 2;
  }
  return 1 - error / spread;
}

/** The sum of a penalty over runs as a function of `theta`, with its gradient. */
export function penaltyOf(
  law: LossLaw,
  points: Columns,
  logLoss: Float64Array,
  corner: Corner,
  weights?: Float64Array,
): Objective {
  const { count } = points;
  const losses = new Float64Array(count);
  const jacobian = law.parameters.map(() => new Float64Array(count));
  const slopes = new Float64Array(count);
  const { delta, above, below, unit } = corner;
  return (theta, gradient) => {
    law.logLosses(theta, points, losses, jacobian);
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const r = (losses[i] as number) - (logLoss[i] as number);
      const size = Math.abs(r);
      const weight = (r > 0 ? above : below) * (weights ? (weights[i] as number) : 1);
      if (weight === 0) slopes[i] = 0;
      else if (size <= delta) {
        sum += (weight * (r * r)) / 2;
        slopes[i] = weight * r;
      } else {
        sum += weight * delta * (size - delta / 2);
        slopes[i] = r > 0 ? weight * delta : -weight * delta;
      }
    }
    for (let k = 0; k < jacobian.length; k++) {
      const column = jacobian[k] as Float64Array;
      gradient[k] = product(slopes, column) / unit;
    }
    return sum / unit;
  };
}

/** Inner product in four sums, which do not wait for one another. */
function product(a: Float64Array, b: Float64Array): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 3 < a.length; i += 4) {
    s0 += (a[i] as number) * (b[i] as number);
    s1 += (a[i + 1] as number) * (b[i + 1] as number);
    s2 += (a[i + 2] as number) * (b[i + 2] as number);
    s3 += (a[i + 3] as number) * (b[i + 3] as number);
  }
  for (; i < a.length; i++) s0 += (a[i] as number) * (b[i] as number);
  return s0 + s1 + (s2 + s3);
}

/** Jᵀ·J of ln L by `theta`, `[parameters][parameters]`: the curvature of least squares, which every penalty resembles. */
export function gramOf(law: LossLaw, theta: Theta, points: Columns, weights?: Float64Array): Matrix {
  const jacobian = law.parameters.map(() => new Float64Array(points.count));
  law.logLosses(theta, points, new Float64Array(points.count), jacobian);
  return jacobian.map((a) =>
    jacobian.map((b) => {
      let sum = 0;
      for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number) * (weights?.[i] ?? 1);
      return sum;
    }),
  );
}

/**
 * From a rough minimum to the end. The coefficients and exponents of a law are nearly collinear (runs far from N = 1 see A and α
 * together), which makes the valley thousands of times longer than wide; in θ = θ₀ + L⁻ᵀ·u, L·Lᵀ = Jᵀ·J, it is round.
 */
function polish(law: LossLaw, points: Columns, objective: Objective, from: Minimum): Minimum {
  const scratch = new Float64Array(from.x.length);
  let best = { ...from, value: objective(from.x, scratch) };
  for (let round = 0; round < 4; round++) {
    const gram = gramOf(law, best.x, points);
    const size = gram.reduce((sum, row, k) => sum + (row[k] ?? 0), 0);
    if (!(Number.isFinite(size) && size > 0)) break;
    const lower = cholesky(
      gram.map((row, k) => row.map((value, j) => (k === j ? value * (1 + 1e-9) + 1e-12 * size : value))),
    );
    const from = best.x;
    const theta = new Float64Array(from.length);
    const slope = new Float64Array(from.length);
    const round = (u: Float64Array): void => {
      backSubstitute(lower, u, theta);
      for (let k = 0; k < theta.length; k++) theta[k] = (theta[k] as number) + (from[k] as number);
    };
    const next = minimise(
      (u, gradient) => {
        round(u);
        const value = objective(theta, slope);
        forwardSubstitute(lower, slope, gradient);
        return value;
      },
      new Float64Array(from.length),
      fine,
    );
    const gain = best.value - next.value;
    if (!(gain > 0)) break;
    round(next.x);
    best = { ...next, x: Float64Array.from(theta), evaluations: best.evaluations + next.evaluations };
    if (gain <= 1e-12 * best.value) break;
  }
  return best;
}

/** out = L⁻ᵀ·u. */
function backSubstitute(lower: Matrix, u: Float64Array, out: Float64Array): void {
  for (let i = u.length - 1; i >= 0; i--) {
    let rest = u[i] as number;
    for (let k = i + 1; k < u.length; k++) rest -= (lower[k]?.[i] ?? 0) * (out[k] as number);
    out[i] = rest / (lower[i]?.[i] ?? 1);
  }
}

/** out = L⁻¹·g. */
function forwardSubstitute(lower: Matrix, g: Float64Array, out: Float64Array): void {
  for (let i = 0; i < g.length; i++) {
    let rest = g[i] as number;
    for (let k = 0; k < i; k++) rest -= (lower[i]?.[k] ?? 0) * (out[k] as number);
    out[i] = rest / (lower[i]?.[i] ?? 1);
  }
}
