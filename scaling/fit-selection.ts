import { fitLaw, residualsOf } from './fit.ts';
import type { Penalty } from './fit-penalty.ts';
import type { Run } from './fit-runs.ts';
import { columnsOf, type LossLaw } from './laws/law.ts';

/** A block of runs that a law was fitted without, all of more compute than those it was fitted to. */
export interface HeldOutBlock {
  readonly trained: number;
  readonly tested: number;
  /** Mean |ln predicted − ln observed| on the block: about the relative error. */
  readonly error: number;
}

/** How well a law extrapolates in compute. */
export interface HoldOut {
  /** Mean over the blocks. */
  readonly error: number;
  readonly blocks: readonly HeldOutBlock[];
}

/** Shares of the runs, ordered by compute, that are fitted before the next ones are predicted. */
const cuts = [0.5, 0.6, 0.7, 0.8, 0.9, 1] as const;

/**
 * Rolling hold-out ordered by compute: fitted to the cheapest half of the runs, a law predicts the next tenth, then fitted to six
 * tenths the one after, and so on. It asks what a plan asks, to look further out than one has been; cross-validation would not.
 * @returns null when the smallest part has no more runs than the law has parameters.
 */
export function rollingHoldOut(law: LossLaw, runs: readonly Run[], penalty: Penalty): HoldOut | null {
  const ordered = runs.toSorted((a, b) => a.flops - b.flops);
  const blocks: HeldOutBlock[] = [];
  for (const [k, cut] of cuts.slice(0, -1).entries()) {
    const at = Math.round(cut * ordered.length);
    const end = Math.round((cuts[k + 1] ?? 1) * ordered.length);
    if (at <= law.parameters.length) return null;
    if (end === at) continue;
    const [known, next] = [ordered.slice(0, at), ordered.slice(at, end)];
    const fit = fitLaw(law, columnsOf(known), logLosses(known), { penalty });
    const residuals = residualsOf(law, fit.theta, columnsOf(next), logLosses(next));
    const error = residuals.reduce((sum, value) => sum + Math.abs(value), 0) / residuals.length;
    blocks.push({ trained: at, tested: end - at, error });
  }
  return { error: blocks.reduce((sum, block) => sum + block.error, 0) / blocks.length, blocks };
}

/** ln of the runs' losses. */
export function logLosses(runs: readonly Run[]): Float64Array {
  return Float64Array.from(runs, ({ loss }) => Math.log(loss));
}
