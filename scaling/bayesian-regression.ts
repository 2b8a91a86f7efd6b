import { cholesky, dot, multiply, solve } from '../core/linear-algebra.ts';

/** What is believed before data: independent normal coefficients, and how noisy targets are. */
export interface RegressionPrior {
  /** Mean and standard deviation of each coefficient, `[feature]`; a small deviation is a strong ridge. */
  readonly mean: readonly number[];
  readonly sd: readonly number[];
  /** Standard deviation of the noise, and how many observations that belief is worth. */
  readonly noiseSd: number;
  readonly noiseWeight: number;
}

/** A predicted target: Student t with this centre, scale and degrees of freedom. */
export interface RegressionPrediction {
  readonly mean: number;
  /** Scale of one further noisy observation. */
  readonly sd: number;
  /** Scale of the noiseless mean. */
  readonly meanSd: number;
  readonly degreesOfFreedom: number;
}

/** A fitted {@link fitRegression}. */
export interface Regression {
  readonly coefficients: readonly number[];
  readonly noiseSd: number;
  /** Exact prediction error of each target had it been left out, `[observation]`. */
  readonly leaveOneOut: readonly number[];
  predict(features: readonly number[]): RegressionPrediction;
}

/**
 * Bayesian linear regression with the conjugate normal–inverse-gamma prior, in closed form (Gelman et al.,
 * "Bayesian Data Analysis", §14; Bishop 2006, §3.3). Works from zero observations on. Leave-one-out errors are
 * e ÷ (1 − h), exact for a fixed prior.
 * @param features `[observation][feature]`. @param targets `[observation]`.
 */
export function fitRegression(
  features: readonly (readonly number[])[],
  targets: readonly number[],
  prior: RegressionPrior,
): Regression {
  const size = prior.mean.length;
  const rows = features.map((row, index) => {
    if (row.length !== size) throw new RangeError(`expected ${size} features, got ${row.length} in row ${index}`);
    return row;
  });
  // The conjugate prior's covariance is in units of the noise variance.
  const priorPrecision = prior.sd.map((sd) => (prior.noiseSd / sd) ** 2);
  const precision = priorPrecision.map((value, i) =>
    priorPrecision.map((_, j) => rows.reduce((sum, row) => sum + (row[i] ?? 0) * (row[j] ?? 0), i === j ? value : 0)),
  );
  const lower = cholesky(precision);
  const moment = priorPrecision.map((value, i) =>
    rows.reduce((sum, row, index) => sum + (row[i] ?? 0) * (targets[index] ?? 0), value * (prior.mean[i] ?? 0)),
  );
  const coefficients = solve(lower, moment);

  const residuals = multiply(rows, coefficients).map((fitted, index) => (targets[index] ?? 0) - fitted);
  const departure = coefficients.map((value, index) => value - (prior.mean[index] ?? 0));
  const misfit =
    dot(residuals, residuals) + departure.reduce((sum, d, i) => sum + (priorPrecision[i] ?? 0) * d ** 2, 0);
  const degreesOfFreedom = prior.noiseWeight + rows.length;
  const noiseSd = Math.sqrt((prior.noiseWeight * prior.noiseSd ** 2 + misfit) / degreesOfFreedom);

  const leverage = (row: readonly number[]): number => dot(row, solve(lower, row));
  return {
    coefficients,
    noiseSd,
    leaveOneOut: rows.map((row, index) => (residuals[index] ?? 0) / (1 - leverage(row))),
    predict: (row) => {
      const spread = leverage(row);
      return {
        mean: dot(row, coefficients),
        sd: noiseSd * Math.sqrt(1 + spread),
        meanSd: noiseSd * Math.sqrt(spread),
        degreesOfFreedom,
      };
    },
  };
}
