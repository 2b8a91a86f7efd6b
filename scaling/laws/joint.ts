import { exponentsOf, powers } from './chinchilla.ts';
import type { AllocationTuple, LossLaw, Theta } from './law.ts';
import { projectedStarts } from './projected-starts.ts';

const exponents = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.7, 1] as const;
const softness = [0.25, 0.5, 1, 2, 4] as const;

/**
 * The joint law of Droppo & Elibol (2021): loss from model size, data and the task's irreducible loss at once,
 *
 *   L(N, D) = [E^(1/α) + (N_C ÷ N)^(α_N/α) + (D_C ÷ D)^(α_D/α)]^α,
 *
 * theta = (α_N·ln N_C, α_D·ln D_C, ln E, α_N, α_D, ln α). α is how softly one limit gives way to the next. α = 1 is Chinchilla
 * with A = N_C^α_N; E = 0 and α = α_D is Kaplan et al.'s L(N, D). The published form was not confirmed word for word.
 */
export const joint: LossLaw = {
  name: 'joint',
  formula: 'L = [E^(1/α) + (N_C/N)^(α_N/α) + (D_C/D)^(α_D/α)]^α',
  source: 'Droppo & Elibol (2021), Scaling Laws for Acoustic Models',
  confirmed: 'recalled',
  parameters: [
    { name: 'A', transform: 'exp' },
    { name: 'B', transform: 'exp' },
    { name: 'E', transform: 'exp' },
    { name: 'alphaN', transform: 'identity' },
    { name: 'alphaD', transform: 'identity' },
    { name: 'alpha', transform: 'exp' },
  ],
  repeats: false,
  constants: [],
  logLosses(theta, { count, logParams, logData }, losses, jacobian) {
    const [a = 0, b = 0, e = 0, alphaN = 0, alphaD = 0, logAlpha = 0] = theta;
    const alpha = Math.exp(logAlpha);
    const [ja, jb, je, jN, jD, jAlpha] = jacobian ?? [];
    for (let i = 0; i < count; i++) {
      const n = logParams[i] as number;
      const d = logData[i] as number;
      const qx = (a - alphaN * n) / alpha;
      const qy = (b - alphaD * d) / alpha;
      const qe = e / alpha;
      // Small α makes the powers large: take the largest out.
      const most = Math.max(qx, qy, qe);
      const x = Math.exp(qx - most);
      const y = Math.exp(qy - most);
      const floor = Math.exp(qe - most);
      const total = floor + x + y;
      const loss = alpha * (most + Math.log(total));
      losses[i] = loss;
      if (!ja || !jb || !je || !jN || !jD || !jAlpha) continue;
      ja[i] = x / total;
      jb[i] = y / total;
      je[i] = floor / total;
      jN[i] = (-n * x) / total;
      jD[i] = (-d * y) / total;
      // ∂ ÷ ∂ ln α of α·LSE(q ÷ α) = α·LSE − Σ share·q.
      jAlpha[i] = loss - (alpha * (qx * x + qy * y + qe * floor)) / total;
    }
  },
  starts: (points, logLoss) =>
    projectedStarts(points, logLoss, [exponents, exponents, softness], ([alphaN = 0, alphaD = 0, alpha = 1]) => ({
      power: 1 / alpha,
      terms: [powers(points.logParams, alphaN / alpha), powers(points.logData, alphaD / alpha)],
      thetaOf: ([e, a, b]) => [a * alpha, b * alpha, e * alpha, alphaN, alphaD, Math.log(alpha)],
    })),
  optimum: (theta, flops) => jointOptimum(theta, flops),
  exponents: ([, , , alphaN = 0, alphaD = 0]: Theta) => exponentsOf(alphaN, alphaD),
};

/**
 * Where α_N·(N_C ÷ N)^(α_N/α) = α_D·(D_C ÷ D)^(α_D/α) and 6·N·D = flops: a power law, whatever E is.
 * @param theta that of {@link joint}.
 */
export function jointOptimum(theta: Theta, flops: number): AllocationTuple {
  const [a = 0, b = 0, , alphaN = 0, alphaD = 0, logAlpha = 0] = theta;
  const size = Math.log(flops / 6);
  const balance = Math.exp(logAlpha) * Math.log(alphaN / alphaD);
  const logParams = (a - b + alphaD * size + balance) / (alphaN + alphaD);
  return { params: Math.exp(logParams), data: Math.exp(size - logParams) };
}
