import { chinchillaOptimum, exponentGrid, powers } from './chinchilla.ts';
import type { LossLaw, Theta } from './law.ts';
import { projectedStarts } from './projected-starts.ts';

/**
 * Chinchilla with one exponent, which five small runs can fit: L = E + A ÷ N^η + B ÷ D^η, theta = (ln A, ln B, ln E, η).
 * With M = D ÷ N it is Gadre et al.'s E + A·N^−η + b·6^(−η/2)·(M·N)^−η, b = B·6^(η/2): loss at equal token multiples M falls
 * along parallel lines. Parameters and data grow alike with compute, a = b = ½.
 */
export const tied: LossLaw = {
  name: 'tied',
  formula: 'L = E + A/N^η + B/D^η',
  source: 'Gadre et al. (2024), Language models scale reliably with over-training and on downstream tasks, eq. 4',
  confirmed: 'paper',
  parameters: [
    { name: 'A', transform: 'exp' },
    { name: 'B', transform: 'exp' },
    { name: 'E', transform: 'exp' },
    { name: 'eta', transform: 'identity' },
  ],
  repeats: false,
  constants: [],
  logLosses([a = 0, b = 0, e = 0, eta = 0]: Theta, { count, logParams, logData }, losses, jacobian) {
    const floor = Math.exp(e);
    const [ja, jb, je, jEta] = jacobian ?? [];
    for (let i = 0; i < count; i++) {
      const n = logParams[i] as number;
      const d = logData[i] as number;
      const x = Math.exp(a - eta * n);
      const y = Math.exp(b - eta * d);
      const total = floor + x + y;
      losses[i] = Math.log(total);
      if (!ja || !jb || !je || !jEta) continue;
      ja[i] = x / total;
      jb[i] = y / total;
      je[i] = floor / total;
      jEta[i] = -(n * x + d * y) / total;
    }
  },
  starts: (points, logLoss) =>
    projectedStarts(points, logLoss, [exponentGrid], ([eta = 0]) => ({
      terms: [powers(points.logParams, eta), powers(points.logData, eta)],
      thetaOf: ([e, a, b]) => [a, b, e, eta],
    })),
  optimum: ([a = 0, b = 0, e = 0, eta = 0]: Theta, flops) => chinchillaOptimum([a, b, e, eta, eta], flops),
  exponents: () => ({ params: 0.5, data: 0.5 }),
};
