import { normalProbability } from '../../search/normal.ts';

/**
 * One-sided p-value of "values of `a` tend to be larger than those of `b`" (Mann & Whitney 1947), by the normal approximation with
 * correction for ties and continuity: good from about ten values each.
 */
export function rankSumTest(a: readonly number[], b: readonly number[]): number {
  const wins = a.reduce((sum, x) => sum + b.reduce((own, y) => own + (x > y ? 1 : x === y ? 0.5 : 0), 0), 0);
  const count = a.length + b.length;
  const counts = new Map<number, number>();
  for (const value of [...a, ...b]) counts.set(value, (counts.get(value) ?? 0) + 1);
  const tied = [...counts.values()].reduce((sum, t) => sum + t ** 3 - t, 0);
  const variance = ((a.length * b.length) / 12) * (count + 1 - tied / (count * (count - 1)));
  if (variance === 0) return 1;
  return 1 - normalProbability((wins - (a.length * b.length) / 2 - 0.5) / Math.sqrt(variance));
}
