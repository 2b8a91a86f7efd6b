import type { Latency } from './latency.ts';

/** How a latency compares with another of the same network. */
export interface SpeedUp {
  /** Median before ÷ median after: above 1 where it is faster. */
  readonly ratio: number;
  /** `alike` where measuring cannot tell: the intervals of the two medians meet. */
  readonly verdict: 'faster' | 'slower' | 'alike';
}

/** Both of the same unit: of a run, or of an example. */
export function speedUp(before: Latency, after: Latency): SpeedUp {
  const ratio = before.p50Ms / after.p50Ms;
  const areOfMedians = [before, after].every(({ intervalMs }) => intervalMs.percentile === 50);
  const meet = before.intervalMs.lo <= after.intervalMs.hi && after.intervalMs.lo <= before.intervalMs.hi;
  // Intervals of another percentile say nothing of medians; less than a tenth is then not told apart.
  const alike = areOfMedians ? meet : Math.abs(Math.log(ratio)) < Math.log(1.1);
  return { ratio, verdict: alike ? 'alike' : ratio > 1 ? 'faster' : 'slower' };
}
