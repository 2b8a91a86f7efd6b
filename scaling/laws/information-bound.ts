import { minimiseScalar } from '../../core/minimise.ts';
import type { LossLaw } from './law.ts';

/**
 * The information-theoretic bound on the excess error of a learner with one hidden layer, after Jeon & Van Roy (2022). The
 * paper's claims are that the best size and amount of data are proportional up to logarithms, and that the share of size grows
 * with input dimension and latent complexity. This form has them, but it is a **reconstruction of ours**, not the paper's:
 *
 *   B(n, T) = c_m·K ÷ n + K·ln(1 + n ÷ K)·(ln 2n + c_e·d) ÷ T
 *
 * with width n, input dimension d, latent complexity K, T examples, N = d·n parameters. theta = (ln c_m, ln c_e, ln K, ln d).
 * It is an excess error: what is irreducible is not in it. Compute is N·T, a sixth of the FLOPs.
 */
export const informationBound: LossLaw = {
  name: 'information-bound',
  formula: 'B = c_m·K/n + K·ln(1 + n/K)·(ln 2n + c_e·d)/T, n = N/d',
  source: 'after Jeon & Van Roy (2022), An Information-Theoretic Analysis of Compute-Optimal Neural Scaling Laws',
  confirmed: 'reconstruction',
  parameters: [
    { name: 'modelConstant', transform: 'exp' },
    { name: 'dataConstant', transform: 'exp' },
    { name: 'complexity', transform: 'exp' },
    { name: 'inputDimension', transform: 'exp' },
  ],
  repeats: false,
  constants: [
    {
      name: 'information-bound',
      values: { modelConstant: 3, dataConstant: 1, complexity: 10, inputDimension: 100 },
      source: 'a reconstruction of our own after Jeon & Van Roy (2022)',
      confirmed: 'reconstruction',
      paramsCount: 'total',
    },
  ],
  logLosses(theta, { count, logParams, logData }, losses, jacobian) {
    const [modelConstant = 0, dataConstant = 0, complexity = 0, dimension = 0] = Array.from(theta, Math.exp);
    const [jm, je, jk, jd] = jacobian ?? [];
    for (let i = 0; i < count; i++) {
      const width = Math.exp(logParams[i] as number) / dimension;
      const data = Math.exp(logData[i] as number);
      const relative = width / complexity;
      const bits = Math.log(2 * width) + dataConstant * dimension;
      const spread = Math.log1p(relative);
      const model = modelConstant / relative;
      const estimation = (complexity * spread * bits) / data;
      const total = model + estimation;
      losses[i] = Math.log(total);
      if (!jm || !je || !jk || !jd) continue;
      const perBit = (complexity * spread) / data;
      // What ∂ ÷ ∂ ln width adds to the estimation error; the model's falls as fast as width grows.
      const byWidth = (complexity * bits * relative) / (1 + relative) / data + perBit;
      jm[i] = model / total;
      je[i] = (perBit * dataConstant * dimension) / total;
      jk[i] = (model + estimation - (complexity * bits * relative) / (1 + relative) / data) / total;
      jd[i] = (model - byWidth + perBit * dataConstant * dimension) / total;
    }
  },
  starts: () =>
    [1, 10, 100].flatMap((complexity) =>
      [10, 100].map((dimension) => [Math.log(3), 0, Math.log(complexity), Math.log(dimension)]),
    ),
  optimum(theta, flops) {
    const size = Math.log(flops / 6);
    const out = new Float64Array(1);
    const logBound = (logParams: number): number => {
      const logData = Float64Array.of(size - logParams);
      const point = { count: 1, logParams: Float64Array.of(logParams), logData, logUniqueData: logData };
      informationBound.logLosses(theta, point, out);
      return out[0] as number;
    };
    // From a width of 1 to one that leaves a single example.
    const logParams = minimiseScalar(logBound, theta[3] as number, size, 200);
    return { params: Math.exp(logParams), data: Math.exp(size - logParams) };
  },
  exponents: () => null,
};
