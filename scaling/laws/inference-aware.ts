import { minimiseScalar } from '../../core/minimise.ts';
import { type AllocationTuple, columnsOf, type Constants, lossAt, type LossLaw, type Theta } from './law.ts';

/** Chinchilla's law with the constants of Sardana et al. (2023), rounded as printed there. */
export const inferenceAwareConstants: Constants = {
  name: 'inference-aware',
  values: { A: 406.4, B: 410.7, E: 1.69, alpha: 0.336, beta: 0.283 },
  source: 'Sardana et al. (2023), Beyond Chinchilla-Optimal: Accounting for Inference in Language Model Scaling Laws',
  confirmed: 'paper',
  paramsCount: 'total',
};

/** FLOPs of training and of serving `inferenceData` tokens: 6·N·D + 2·N·D_inf (Sardana et al. 2023, eq. 3). */
export function lifetimeFlops({ params, data }: AllocationTuple, inferenceData: number): number {
  return 6 * params * data + 2 * params * inferenceData;
}

/**
 * The cheapest way to a loss over training and inference: min 6·N·D + 2·N·D_inf with L(N, D) = loss (Sardana et al. 2023,
 * eq. 3). More inference makes it smaller and longer trained.
 * @returns null when no model reaches the loss: it is at or below the irreducible one.
 */
export function cheapestForLoss(
  law: LossLaw,
  theta: Theta,
  loss: number,
  inferenceData: number,
): AllocationTuple | null {
  const logCost = (logParams: number): number => {
    const data = dataForLoss(law, theta, Math.exp(logParams), loss);
    return Math.log(lifetimeFlops({ params: Math.exp(logParams), data }, inferenceData));
  };
  const params = Math.exp(minimiseScalar(logCost, Math.log(1e3), Math.log(1e18), 400));
  const data = dataForLoss(law, theta, params, loss);
  return Number.isFinite(data) ? { params, data } : null;
}

/** Data with which a model reaches a loss; infinite when none does. */
function dataForLoss(law: LossLaw, theta: Theta, params: number, loss: number): number {
  let [low, high] = [0, Math.log(1e24)];
  if (!(lossAt(law, theta, { params, data: Math.exp(high) }) < loss)) return Number.POSITIVE_INFINITY;
  for (let step = 0; step < 80; step++) {
    const middle = (low + high) / 2;
    if (lossAt(law, theta, { params, data: Math.exp(middle) }) > loss) low = middle;
    else high = middle;
  }
  return Math.exp(high);
}

/**
 * Lowest loss over a lifetime budget: 6·N·D + 2·N·D_inf = flops. The same curve as {@link cheapestForLoss}, read the other way.
 */
export function bestForLifetime(
  law: LossLaw,
  theta: Theta,
  flops: number,
  inferenceData: number,
  uniqueData?: number,
): AllocationTuple {
  const dataOf = (params: number): number => (flops / params - 2 * inferenceData) / 6;
  return bestAlong(law, theta, dataOf, { most: flops / (2 * inferenceData) }, uniqueData);
}

/**
 * Lowest loss along a curve of what is affordable: `dataOf(params)` is the data a model of that size gets, falling with it.
 * @param range of sizes; by default 10³ to 10¹⁸.
 */
export function bestAlong(
  law: LossLaw,
  theta: Theta,
  dataOf: (params: number) => number,
  range: { readonly least?: number; readonly most?: number } = {},
  uniqueData?: number,
): AllocationTuple {
  const { least = 1e3, most = 1e18 } = range;
  const out = new Float64Array(1);
  const logLoss = (logParams: number): number => {
    const params = Math.exp(logParams);
    const data = dataOf(params);
    if (!(data > 0)) return Number.POSITIVE_INFINITY;
    law.logLosses(theta, columnsOf([{ params, data, uniqueData }]), out);
    return out[0] as number;
  };
  const params = Math.exp(minimiseScalar(logLoss, Math.log(least), Math.log(most), 400));
  return { params, data: dataOf(params) };
}
