import { normalQuantile } from './normal.ts';

/**
 * Losses as a Gaussian process likes them: those up to the median in units of their own spread about it, those above by
 * their rank alone, as quantiles of the standard normal. So outliers among bad trials (a network that learned nothing) do not hide
 * the differences among good ones. The order is kept, equals stay equal.
 * @see Song et al. (2024), "The Vizier Gaussian process bandit algorithm", half-rank warping.
 */
export function halfRankWarp(losses: readonly number[]): Float64Array {
  const sorted = Float64Array.from(losses).sort();
  const count = sorted.length;
  const median = sorted[Math.floor((count - 1) / 2)] ?? 0;
  const good = sorted.filter((loss) => loss <= median);
  const spread = Math.sqrt(good.reduce((sum, loss) => sum + (loss - median) ** 2, 0) / Math.max(1, good.length));
  const unit = spread > 0 ? spread : 1;
  const warped = new Map<number, number>();
  for (const [index, loss] of sorted.entries())
    if (!warped.has(loss))
      warped.set(loss, loss <= median ? (loss - median) / unit : Math.max(0, normalQuantile((index + 0.5) / count)));
  return Float64Array.from(losses, (loss) => warped.get(loss) ?? 0);
}
