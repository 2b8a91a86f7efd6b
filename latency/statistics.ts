import { quantile } from '../core/quantile.ts';
import { studentT } from '../core/student-t.ts';

/** A central value with the interval that covers it. */
export interface Interval {
  readonly centre: number;
  readonly lo: number;
  readonly hi: number;
}

/**
 * Student's t interval of a geometric mean: exp(mean ± t · s ÷ √n) over log values.
 *
 * Given the medians of fresh sessions it is the interval of "the median of a session". Sessions are
 * the independent units: samples inside one share memory placement and clock, and an interval from
 * them is tens of times too narrow. In logs, because what disturbs a time multiplies it.
 * @param values positive, at least two. @param level coverage in (0, 1).
 */
export function geometricInterval(values: readonly number[], level: number): Interval {
  const count = values.length;
  if (count < 2) throw new RangeError(`expected at least two values, got ${count}`);
  const logs = values.map(Math.log);
  const mean = logs.reduce((sum, log) => sum + log, 0) / count;
  const variance = logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / (count - 1);
  const half = studentT(level, count - 1) * Math.sqrt(variance / count);
  return { centre: Math.exp(mean), lo: Math.exp(mean - half), hi: Math.exp(mean + half) };
}

/**
 * The ends of an interval; one that too few samples bound is the extreme sample, and the verdict is unstable then.
 * @param sorted the samples, ascending. Empty where the interval is of values that bound both ends.
 */
export function boundedBy(
  { lo, hi }: Interval,
  sorted: ArrayLike<number>,
): { readonly lo: number; readonly hi: number } {
  return { lo: lo > 0 ? lo : (sorted[0] ?? lo), hi: Number.isFinite(hi) ? hi : (sorted[sorted.length - 1] ?? hi) };
}

/** Half the width of an interval relative to its centre, on the wider (upper) side. */
export function relativeHalfWidth({ centre, hi }: Interval): number {
  return hi / centre - 1;
}

/**
 * Distribution-free interval of a quantile from order statistics: with B ~ Binomial(n, q), the
 * interval [x₍ₗ₎, x₍ᵤ₎] misses on either side with probability at most (1 − level) ÷ 2. A side is
 * null when even the extreme value does not bound the quantile that surely: too few samples.
 * @param sorted ascending. @param effective n, where samples are not independent and count as fewer; ranks are
 * then shares of all of them.
 */
export function orderStatisticInterval(
  sorted: ArrayLike<number>,
  q: number,
  level: number,
  effective: number = sorted.length,
): { readonly lo: number | null; readonly hi: number | null } {
  const tail = (1 - level) / 2;
  const count = Math.floor(effective);
  const scale = sorted.length / count;
  // below = P(B < k) = P(the quantile lies under the k-th smallest of `count` values), k = 1 … n.
  let logTerm = count * Math.log1p(-q);
  let below = Math.exp(logTerm);
  let lo: number | null = null;
  let hi: number | null = null;
  for (let k = 1; k <= count; k++) {
    // P(quantile < x₍ₖ₎) = P(B < k): the k-th value is a lower bound while that is rare …
    if (below <= tail) lo = sorted[Math.floor((k - 1) * scale)] as number;
    // … and an upper bound once P(B ≥ k) is.
    if (hi === null && 1 - below <= tail) hi = sorted[Math.ceil(k * scale) - 1] as number;
    logTerm += Math.log((count - k + 1) / k) + Math.log(q) - Math.log1p(-q);
    below += Math.exp(logTerm);
  }
  return { lo, hi };
}

/**
 * Interval of a quantile of samples that come in sessions. Samples of one session resemble each other, so they
 * count as fewer: n_eff = n ÷ deff · (t_{n−1} ÷ t_{k−1})², deff the variance between the k sessions of "share of
 * samples up to the quantile" over that of independent samples, at least 1; order statistics of n_eff values
 * give the ends. An end that too few samples bound is 0 or infinite.
 * @param sessions at least two, each of at least one sample, in any order.
 * @see Korn & Graubard (1998), Confidence intervals for proportions with small expected number of positive counts
 * estimated from survey data (n_eff); Woodruff (1952), Confidence intervals for medians and other position
 * measures (from a share to a quantile). MLPerf's LoadGen bounds its percentiles by the same binomial, taking
 * samples as independent.
 */
export function quantileInterval(sessions: readonly (readonly number[])[], q: number, level: number): Interval {
  const k = sessions.length;
  if (k < 2) throw new RangeError(`expected at least two sessions, got ${k}`);
  const sorted = Float64Array.from(sessions.flat()).sort();
  const count = sorted.length;
  const centre = quantile(sorted, q);
  // Both sides of the quantile, which differ where many samples equal it.
  const between = Math.max(
    varianceBetween(sessions, count, (value) => value <= centre),
    varianceBetween(sessions, count, (value) => value < centre),
  );
  const designEffect = Math.max(1, between / ((q * (1 - q)) / count));
  const { lo, hi } = orderStatisticInterval(sorted, q, level, count / designEffect / degreesEffect(count, k, level));
  return { centre, lo: Math.min(lo ?? 0, centre), hi: Math.max(hi ?? Number.POSITIVE_INFINITY, centre) };
}

/** Variance, estimated from the differences between sessions, of the share of all samples that are `within`. */
function varianceBetween(
  sessions: readonly (readonly number[])[],
  count: number,
  within: (value: number) => boolean,
): number {
  const k = sessions.length;
  const found = sessions.map((samples) => samples.reduce((sum, value) => sum + (within(value) ? 1 : 0), 0));
  const mean = found.reduce((sum, each) => sum + each, 0) / count;
  const squares = sessions.map((samples, session) => (((found[session] ?? 0) - samples.length * mean) / count) ** 2);
  return (k / (k - 1)) * squares.reduce((sum, square) => sum + square, 0);
}

/** From so many degrees of freedom on, Student's t is the normal distribution to a thousandth. */
const manyDegrees = 1000;

/** How many more samples it takes to know a variance from k sessions only. */
function degreesEffect(count: number, k: number, level: number): number {
  return (studentT(level, k - 1) / studentT(level, Math.min(Math.max(1, count - 1), manyDegrees))) ** 2;
}

/** Fewest samples of k like sessions whose interval of a quantile has both ends: about 540 of eight for a p99 at 95 %. */
export function leastSamples(q: number, level: number, k: number): number {
  const tail = (1 - level) / 2;
  const independent = Math.ceil(Math.log(tail) / Math.log(Math.max(q, 1 - q)));
  return Math.ceil(independent * degreesEffect(manyDegrees + 1, k, level));
}
