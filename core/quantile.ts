/**
 * Quantile of sorted values by linear interpolation between order statistics (Hyndman & Fan 1996, definition 7).
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
