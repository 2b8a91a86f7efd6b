import { minimiseScalar } from '../../core/minimise.ts';
import { chinchillaOptimum, exponentGrid, powers } from './chinchilla.ts';
import { columnsOf, type LossLaw } from './law.ts';
import { projectedStarts } from './projected-starts.ts';

/** R_D* of Muennighoff et al. (2023): repeats after which a further one is worth 1/e of a first. */
export const publishedRepeatsHalfLife = 15.387756;

/**
 * Repeated data and excess parameters are worth less: Muennighoff et al. (2023), eq. 5–6,
 *
 *   L = E + A ÷ N'^α + B ÷ D'^α,  D' = U_D + U_D·R_D*·(1 − e^(−R_D/R_D*)),  R_D = D ÷ U_D − 1,
 *
 * N' likewise with U_N = min(N, the compute-optimal size for U_D). theta = (ln A, ln B, ln E, α, ln R_D*, ln R_N*); one
 * exponent for both terms, as in the paper's release. Their data do not determine R_D* and R_N*: lower objectives exist
 * elsewhere, so judge a fit by its objective and R², not by these two.
 */
export const dataConstrained: LossLaw = {
  name: 'data-constrained',
  formula: "L = E + A/N'^α + B/D'^α, N' and D' discounting repeats",
  source: 'Muennighoff et al. (2023), Scaling Data-Constrained Language Models, eq. 5–6',
  confirmed: 'paper',
  parameters: [
    { name: 'A', transform: 'exp' },
    { name: 'B', transform: 'exp' },
    { name: 'E', transform: 'exp' },
    { name: 'alpha', transform: 'identity' },
    { name: 'repeatsHalfLifeData', transform: 'exp' },
    { name: 'repeatsHalfLifeParams', transform: 'exp' },
  ],
  repeats: true,
  constants: [
    {
      name: 'data-constrained',
      values: {
        A: Math.exp(6.255414),
        B: Math.exp(7.3049974),
        E: Math.exp(0.6254804),
        alpha: 0.3526596,
        repeatsHalfLifeData: publishedRepeatsHalfLife,
        repeatsHalfLifeParams: 5.309743,
      },
      source: "Muennighoff et al. (2023), the authors' release",
      confirmed: 'paper',
      paramsCount: 'total',
    },
  ],
  logLosses(theta, { count, logParams, logData, logUniqueData }, losses, jacobian) {
    const [a = 0, b = 0, e = 0, alpha = 0, logRD = 0, logRN = 0] = theta;
    const floor = Math.exp(e);
    const [rD, rN] = [Math.exp(logRD), Math.exp(logRN)];
    const [ja, jb, je, jAlpha, jRD, jRN] = jacobian ?? [];
    for (let i = 0; i < count; i++) {
      const u = logUniqueData[i] as number;
      const n = logParams[i] as number;
      // αA·N^−α = αB·U_D^−α at the compute-optimal size for U_D.
      const optimal = (a - b) / alpha + u;
      const excess = n > optimal;
      const data = discounted(u, logData[i] as number, rD);
      const params = discounted(excess ? optimal : n, n, rN);
      const x = Math.exp(a - alpha * params.log);
      const y = Math.exp(b - alpha * data.log);
      const total = floor + x + y;
      losses[i] = Math.log(total);
      if (!ja || !jb || !je || !jAlpha || !jRD || !jRN) continue;
      // How ln N' follows the compute-optimal size, which itself follows A, B and α; 0 where N is below it.
      const follows = excess ? params.byBase * alpha * x : 0;
      ja[i] = (x - follows / alpha) / total;
      jb[i] = (y + follows / alpha) / total;
      je[i] = floor / total;
      jAlpha[i] = (-params.log * x - data.log * y + (follows * (a - b)) / alpha ** 2) / total;
      jRD[i] = (-alpha * y * data.byDiscount) / total;
      jRN[i] = (-alpha * x * params.byDiscount) / total;
    }
  },
  starts: (points, logLoss) =>
    projectedStarts(points, logLoss, [exponentGrid, [1, 5, 15, 50]], ([alpha = 0, rD = 1]) => {
      const data = points.logData.map((log, i) => discounted(points.logUniqueData[i] as number, log, rD).log);
      return {
        terms: [powers(points.logParams, alpha), powers(data, alpha)],
        thetaOf: ([e, a, b]) => [a, b, e, alpha, Math.log(rD), Math.log(5)],
      };
    }),
  optimum(theta, flops, uniqueData) {
    const [a = 0, b = 0, e = 0, alpha = 0] = theta;
    const unconstrained = chinchillaOptimum([a, b, e, alpha, alpha], flops);
    if (uniqueData === undefined || unconstrained.data <= uniqueData) return unconstrained;
    const out = new Float64Array(1);
    const size = Math.log(flops / 6);
    const logLoss = (logParams: number): number => {
      const point = { params: Math.exp(logParams), data: Math.exp(size - logParams), uniqueData };
      this.logLosses(theta, columnsOf([point]), out);
      return out[0] as number;
    };
    // From far fewer parameters, with many repeats, to as many as leave each datum seen once.
    const most = Math.max(Math.log(unconstrained.params), size - Math.log(uniqueData));
    const logParams = minimiseScalar(logLoss, Math.log(unconstrained.params) - 7, most + 1, 200);
    return { params: Math.exp(logParams), data: Math.exp(size - logParams) };
  },
  exponents: () => null,
};

/**
 * D': what so much data is worth in distinct data, when only `uniqueData` of it is (Muennighoff et al. 2023, eq. 5).
 * @param halfLife R_D*, repeats.
 */
export function effectiveData(data: number, uniqueData: number, halfLife = publishedRepeatsHalfLife): number {
  return Math.exp(discounted(Math.log(Math.min(uniqueData, data)), Math.log(data), halfLife).log);
}

/** ln of U + U·R·(1 − e^(−ρ/R)), ρ = X ÷ U − 1, with its derivatives by ln U and by ln R. */
function discounted(
  logBase: number,
  logAll: number,
  discount: number,
): { readonly log: number; readonly byBase: number; readonly byDiscount: number } {
  const ratio = Math.exp(Math.max(0, logAll - logBase));
  const repeats = ratio - 1;
  const decay = Math.exp(-repeats / discount);
  const worth = 1 + discount * (1 - decay);
  return {
    log: logBase + Math.log(worth),
    byBase: 1 - (ratio * decay) / worth,
    byDiscount: (discount * (1 - decay) - repeats * decay) / worth,
  };
}
