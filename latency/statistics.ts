import { studentT } from '../core/student-t.ts';

/**
 * Quantile of sorted values by linear interpolation between order statistics (Hyndman & Fan 1996,
 * definition 7: position q·(n − 1), as NumPy and R default to).
 * @param sorted ascending, at least one value. @param q in [0, 1].
 */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  if (sorted.length === 0) throw new RangeError('expected at least one value, got none');
  const position = q * (sorted.length - 1);
  const below = Math.floor(position);
  const lo = sorted[below] as number;
  const hi = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return lo + (position - below) * (hi - lo);
}

/** Median of values in any order; they are not changed. */
export function median(values: readonly number[]): number {
  return quantile(Float64Array.from(values).sort(), 0.5);
}

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

/** Half the width of an interval relative to its centre, on the wider (upper) side. */
export function relativeHalfWidth({ centre, hi }: Interval): number {
  return hi / centre - 1;
}

/**
 * Distribution-free interval of a quantile from order statistics: with B ~ Binomial(n, q), the
 * interval [x₍ₗ₎, x₍ᵤ₎] misses on either side with probability at most (1 − level) ÷ 2. A side is
 * null when even the extreme value does not bound the quantile that surely: too few samples.
 * It takes the samples to be independent, so it is for tails over many sessions, not for medians.
 * @param sorted ascending.
 */
export function orderStatisticInterval(
  sorted: ArrayLike<number>,
  q: number,
  level: number,
): { readonly lo: number | null; readonly hi: number | null } {
  const tail = (1 - level) / 2;
  const count = sorted.length;
  // below[k] = P(B < k) = P(the quantile lies under the k-th smallest value), k = 1 … n.
  let logTerm = count * Math.log1p(-q);
  let below = Math.exp(logTerm);
  let lo: number | null = null;
  let hi: number | null = null;
  for (let k = 1; k <= count; k++) {
    // P(quantile < x₍ₖ₎) = P(B < k): the k-th value is a lower bound while that is rare …
    if (below <= tail) lo = sorted[k - 1] as number;
    // … and an upper bound once P(B ≥ k) is.
    if (hi === null && 1 - below <= tail) hi = sorted[k - 1] as number;
    logTerm += Math.log((count - k + 1) / k) + Math.log(q) - Math.log1p(-q);
    below += Math.exp(logTerm);
  }
  return { lo, hi };
}
