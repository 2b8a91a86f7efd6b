import { ranksBy } from './pareto.ts';

/** A network's result at a rung, as promotion sees it. */
export interface RungResult {
  /** Names the network. */
  readonly id: string;
  /** `[objective]`, less being better. */
  readonly losses: readonly number[];
  /**
   * `[objective]`: half the width of a loss's interval, at least 0. A difference within those of both, taken together as
   * √(a² + b²), is noise and counts as none; 0 where a value is exact. The first objective's counts as exact.
   */
  readonly tolerances: readonly number[];
  /** The one number that a choice of one network would maximise. */
  readonly reward: number;
}

/**
 * Whether `a` is better than `b` beyond noise: it dominates `b`, or it is better in the first objective and in every other
 * better or no worse than noise explains. Without tolerances this is Pareto dominance. The relation has no cycles, since
 * (losses in their order, compared as words) falls along it, but it need not be transitive.
 */
export function dominatesBeyondNoise(a: RungResult, b: RungResult): boolean {
  const [first = 0, ...others] = a.losses;
  const [otherFirst = 0] = b.losses;
  if (first > otherFirst) return false;
  const isFirstBetter = first < otherFirst;
  let isBetter = isFirstBetter;
  for (const [place, loss] of others.entries()) {
    const difference = loss - (b.losses[place + 1] ?? Infinity);
    const noise = Math.hypot(a.tolerances[place + 1] ?? 0, b.tolerances[place + 1] ?? 0);
    if (difference > (isFirstBetter ? noise : 0)) return false;
    if (difference < 0) isBetter = true;
  }
  return isBetter;
}

/**
 * The first `count` results of a rung, those to promote first coming first: the one of highest reward; then front by front
 * ({@link dominatesBeyondNoise}; front 0 has those that nothing beats, front 1 those that only front 0 beats, …); within a
 * front always the farthest from all that came before, in units of the front's range in each objective (Gonzalez 1985), so that
 * any number of them is spread over the front. Equals are in the order given.
 *
 * Non-dominated sorting with an ε-net inside each front is MO-ASHA's (Schmucker et al. 2021, §3, EpsNet). We differ: noise is
 * allowed for; the highest reward comes first of all, because one network of the search becomes the base; a net keeps away from
 * the places before it, where theirs begins anew in each front.
 */
export function promotionOrder(results: readonly RungResult[], count: number): readonly RungResult[] {
  const ordered = results.toSorted((a, b) => b.reward - a.reward).slice(0, 1);
  for (const front of fronts(results)) {
    if (ordered.length >= count) break;
    const ranges = rangesOf(front);
    const waiting = front.filter((result) => result !== ordered[0]);
    const gaps = waiting.map((result) => Math.min(...ordered.map((placed) => distance(result, placed, ranges))));
    while (waiting.length > 0 && ordered.length < count) {
      const index = gaps.indexOf(Math.max(...gaps));
      const farthest = waiting.splice(index, 1);
      gaps.splice(index, 1);
      ordered.push(...farthest);
      for (const placed of farthest)
        for (const [place, result] of waiting.entries())
          gaps[place] = Math.min(gaps[place] ?? Infinity, distance(result, placed, ranges));
    }
  }
  return ordered.slice(0, count);
}

/** Results by front, the best first; in the order given within each. */
function fronts(results: readonly RungResult[]): readonly (readonly RungResult[])[] {
  const found: RungResult[][] = [];
  const ranks = ranksBy(results, dominatesBeyondNoise);
  for (const [index, result] of results.entries()) (found[ranks[index] ?? 0] ??= []).push(result);
  return found;
}

/** Largest minus least loss, `[objective]`; 1 where all are equal. */
function rangesOf(front: readonly RungResult[]): readonly number[] {
  return (front[0]?.losses ?? []).map((_, objective) => {
    const values = front.map(({ losses }) => losses[objective] ?? 0);
    return Math.max(...values) - Math.min(...values) || 1;
  });
}

function distance(a: RungResult, b: RungResult, ranges: readonly number[]): number {
  return Math.hypot(
    ...ranges.map((range, objective) => ((a.losses[objective] ?? 0) - (b.losses[objective] ?? 0)) / range),
  );
}
