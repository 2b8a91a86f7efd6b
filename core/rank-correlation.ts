import { dot } from './linear-algebra.ts';

/**
 * Spearman's rank correlation of paired values, −1 to 1; equal values share the mean of their ranks.
 * @param a at least two values, not all equal. @param b as many.
 */
export function rankCorrelation(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [centredRanks(a), centredRanks(b)];
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
}

/** Ranks less their mean, in the order of the values; equal values share the mean of their ranks. */
export function centredRanks(values: readonly number[]): number[] {
  const order = values.map((value, index) => ({ value, index })).sort((a, b) => a.value - b.value);
  const ranks = values.map(() => 0);
  for (let first = 0; first < order.length;) {
    let end = first;
    while (end < order.length && order[end]?.value === order[first]?.value) end++;
    for (const { index } of order.slice(first, end)) ranks[index] = (first + end - values.length) / 2;
    first = end;
  }
  return ranks;
}
