import { type DeviceProfile, type Precision } from '../accelerators/device-profile.ts';
import { cholesky, multiply, solve } from '../core/linear-algebra.ts';
import { arithmeticKinds, kernelKinds, type KernelProgram } from '../models/kernels.ts';
import { type KernelRoofs, programRoofs, roofsMs } from './roofline.ts';
import { median } from '../core/quantile.ts';

/** A network whose latency was measured, as the runtime on the device runs it. */
export interface CalibrationPoint {
  readonly program: KernelProgram;
  readonly measuredMs: number;
}

/** What of a point does not change while a profile's shares and fixed times are fitted. */
interface Observation {
  readonly roofs: readonly KernelRoofs[];
  readonly measuredMs: number;
}

/** Standard deviations, in natural logarithms, of what a profile's constants may be off by before anything is measured. */
const prior = {
  /** Of all rates together: clocks, driver, how good the runtime's kernels are. */
  speed: 1,
  /** Of one kind's share of a peak or of the bandwidth beside the others'. */
  share: 0.6,
  /** Of times that are fixed for a kernel or a run. */
  overhead: 1.2,
} as const;

/** Of one measured latency and of the model; which one is the points' own is decided by leaving them out. */
const noises = [0.02, 0.05, 0.1];
/** Degrees of freedom of Student's t, which errors are taken to follow: one disturbed measurement must not bend the rest. */
const freedom = 3;

/** A run's fixed time where the profile has none, as a share of the median latency; without a start a logarithm cannot move. */
const runShare = 0.01;
/** And a kernel's, in microseconds. */
const kernelStartUs = 2;

/**
 * The profile that explains measured networks best, near where it was: maximum a posteriori of
 * ln latency over the logarithms of one common speed, the shares of every kind and the fixed times, errors after
 * Student's t, constants normal around the given profile (so ten points fit seventeen constants without chasing noise).
 * Its `calibration` states the precision and the deviation of points left out one at a time.
 * @param points at least three, of one precision; batches may differ.
 */
export function calibrateProfile(
  profile: DeviceProfile,
  precision: Precision,
  points: readonly CalibrationPoint[],
): DeviceProfile {
  if (points.length < 3) throw new RangeError(`expected at least 3 measured networks, got ${points.length}`);
  const start = withStarts(profile, points);
  const observed = points.map(({ program, measuredMs }) => ({
    roofs: programRoofs(program, profile, precision),
    measuredMs,
  }));
  const choices = noises.map((noise) => ({ noise, logDeviation: leftOut(start, observed, noise) }));
  const { noise, logDeviation } = choices.reduce((best, choice) =>
    choice.logDeviation < best.logDeviation ? choice : best,
  );
  return { ...fit(start, observed, noise), calibration: { precision, points: points.length, logDeviation } };
}

/** Root mean square of ln(measured ÷ predicted) of each point by the fit to all others. */
function leftOut(profile: DeviceProfile, points: readonly Observation[], noise: number): number {
  const squares = points.map(({ roofs, measuredMs }, index) => {
    const rest = fit(profile, points.toSpliced(index, 1), noise);
    return Math.log(measuredMs / roofsMs(roofs, rest)) ** 2;
  });
  return Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / squares.length);
}

/** The same constants without a zero that has to be able to grow. A dispatch of 0 is a compiled graph's and stays. */
function withStarts(profile: DeviceProfile, points: readonly CalibrationPoint[]): DeviceProfile {
  const typicalUs = 1e3 * median(points.map(({ measuredMs }) => measuredMs));
  return {
    ...profile,
    kernelOverheadUs: profile.kernelOverheadUs || kernelStartUs,
    runOverheadUs: profile.runOverheadUs || runShare * typicalUs,
  };
}

const deviations: readonly number[] = [
  prior.speed,
  ...[...arithmeticKinds, ...kernelKinds].map(() => prior.share),
  ...['kernel', 'dispatch', 'run'].map(() => prior.overhead),
];

/** A profile whose constants are off by these logarithms, in the order of {@link deviations}. No kernel beats a peak. */
function shifted(profile: DeviceProfile, logs: readonly number[]): DeviceProfile {
  const rest = logs.map(Math.exp);
  const next = (): number => rest.shift() ?? 1;
  const speed = next();
  const shares = <Kind extends string>(kinds: readonly Kind[], of: Readonly<Record<Kind, number>>) =>
    Object.fromEntries(kinds.map((kind) => [kind, Math.min(1, of[kind] * speed * next())])) as Record<Kind, number>;
  return {
    ...profile,
    efficiency: {
      arithmetic: shares(arithmeticKinds, profile.efficiency.arithmetic),
      memory: shares(kernelKinds, profile.efficiency.memory),
    },
    kernelOverheadUs: (profile.kernelOverheadUs ?? 0) * next(),
    dispatchUs: profile.dispatchUs * next(),
    runOverheadUs: profile.runOverheadUs * next(),
  };
}

const rounds = 30;
const step = 1e-4;

/**
 * Gauss–Newton in the space of the points, which are fewer than the constants:
 * θ = P·Jᵀ·(J·P·Jᵀ + Σ)⁻¹·(e + J·θ₀), the step halved until the posterior improves.
 */
function fit(profile: DeviceProfile, points: readonly Observation[], noise: number): DeviceProfile {
  const residuals = (logs: readonly number[]): number[] => {
    const candidate = shifted(profile, logs);
    return points.map(({ roofs, measuredMs }) => Math.log(measuredMs / roofsMs(roofs, candidate)));
  };
  const loss = (logs: readonly number[], errors: readonly number[]): number =>
    errors.reduce((sum, error) => sum + (freedom + 1) * Math.log1p((error / noise) ** 2 / freedom), 0) +
    logs.reduce((sum, log, index) => sum + (log / (deviations[index] ?? 1)) ** 2, 0);

  let logs = deviations.map(() => 0);
  let errors = residuals(logs);
  for (let round = 0; round < rounds; round++) {
    const target = proposal(logs, errors, residuals, noise);
    let share = 1;
    let next = logs;
    for (; share > 1e-3; share /= 2) {
      next = logs.map((log, index) => log + share * ((target[index] ?? 0) - log));
      if (loss(next, residuals(next)) < loss(logs, errors)) break;
    }
    const improved = loss(logs, errors) - loss(next, residuals(next));
    if (share <= 1e-3 || improved < 1e-3) break;
    logs = next;
    errors = residuals(logs);
  }
  return shifted(profile, logs);
}

function proposal(
  logs: readonly number[],
  errors: readonly number[],
  residuals: (logs: readonly number[]) => number[],
  noise: number,
): readonly number[] {
  // Columns: how each predicted ln latency moves with one constant.
  const columns = logs.map((_, index) => {
    const moved = residuals(logs.map((log, at) => (at === index ? log + step : log)));
    return errors.map((error, point) => (error - (moved[point] ?? 0)) / step);
  });
  const variances = deviations.map((deviation) => deviation ** 2);
  const covariance = errors.map((_, i) =>
    errors.map((_, j) => {
      const shared = columns.reduce(
        (sum, column, at) => sum + (variances[at] ?? 0) * (column[i] ?? 0) * (column[j] ?? 0),
        0,
      );
      // Of Student's t at this error, as a normal's variance (iteratively reweighted least squares).
      const variance = (noise ** 2 * freedom + (errors[i] ?? 0) ** 2) / (freedom + 1);
      return i === j ? shared + variance : shared;
    }),
  );
  const rows = errors.map((_, point) => columns.map((column) => column[point] ?? 0));
  const wanted = multiply(rows, logs).map((value, point) => value + (errors[point] ?? 0));
  const weights = solve(cholesky(covariance), wanted);
  return columns.map(
    (column, at) => (variances[at] ?? 0) * column.reduce((sum, value, i) => sum + value * (weights[i] ?? 0), 0),
  );
}
