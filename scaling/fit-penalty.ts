/**
 * How a fit weighs the residuals r = ln predicted − ln observed. Always the **sum** over the runs, as in Hoffmann et al.
 * (2022): a mean is so small that default stopping rules end the search early.
 * - `huber`: r² ÷ 2 up to δ, then linear; δ 10⁻³ in the literature, which is nearly the absolute error.
 * - `absolute`: |r|.
 * - `asymmetric`: Huber's, weighed 2(1 − q) where the law predicts too much and 2q where too little, so that a share q of the runs
 *   comes out below the law (quantile regression, Koenker & Bassett 1978, with rounded corner). q below ½ follows the
 *   lower envelope: runs are spoilt upwards, by a bad rate or a fault, hardly ever downwards.
 */
export type Penalty =
  | { readonly kind: 'huber'; readonly delta: number }
  | { readonly kind: 'absolute' }
  | { readonly kind: 'asymmetric'; readonly delta: number; readonly quantile: number };

/** Hoffmann et al.'s. */
export const huber: Penalty = { kind: 'huber', delta: 1e-3 };

/** A penalty with a corner of some width, as numbers: weight·(r² ÷ 2, or δ·(|r| − δ ÷ 2) past δ) ÷ unit. */
export interface Corner {
  readonly delta: number;
  /** Weight where the prediction is too high, and where too low. */
  readonly above: number;
  readonly below: number;
  /** What the sum is divided by. */
  readonly unit: number;
}

/** Corners to minimise one after the other, each from the last one's minimum: the absolute error is a limit of narrower ones. */
export function cornersOf(penalty: Penalty): readonly Corner[] {
  switch (penalty.kind) {
    case 'huber':
      return [{ delta: penalty.delta, above: 1, below: 1, unit: 1 }];
    case 'asymmetric':
      return [{ delta: penalty.delta, above: 2 * (1 - penalty.quantile), below: 2 * penalty.quantile, unit: 1 }];
    case 'absolute':
      return [1e-3, 1e-4, 1e-5, 1e-6, 1e-7].map((delta) => ({ delta, above: 1, below: 1, unit: delta }));
    default:
      return penalty satisfies never;
  }
}

/** Σ of the penalty over residuals. */
export function totalPenalty(penalty: Penalty, residuals: ArrayLike<number>, weights?: ArrayLike<number>): number {
  const corner = cornersOf(penalty)[0] as Corner;
  let sum = 0;
  for (let i = 0; i < residuals.length; i++) {
    const r = residuals[i] as number;
    const size = Math.abs(r);
    const weight = (r > 0 ? corner.above : corner.below) * (weights?.[i] ?? 1);
    if (penalty.kind === 'absolute') sum += weight * size;
    else sum += weight * (size <= corner.delta ? (r * r) / 2 : corner.delta * (size - corner.delta / 2));
  }
  return sum;
}
