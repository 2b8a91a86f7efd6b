import { powers } from './chinchilla.ts';
import { jointOptimum } from './joint.ts';
import type { LossLaw, Theta } from './law.ts';
import { projectedStarts } from './projected-starts.ts';

/** FLOPs of a petaflop/s-day. */
const petaflopDay = 8.64e19;

/**
 * Kaplan et al. (2020), eq. 1.5: L(N, D) = [(N_c ÷ N)^(α_N/α_D) + D_c ÷ D]^α_D, theta = (α_N·ln N_c, α_D·ln D_c, α_N, α_D). It has no irreducible
 * loss. N counts parameters without embeddings.
 *
 * Its own optimum under 6·N·D is not the paper's allocation: that comes from early stopping below the critical batch size,
 * and is {@link kaplanAllocation}.
 */
export const kaplan: LossLaw = {
  name: 'kaplan',
  formula: 'L = [(N_c/N)^(α_N/α_D) + D_c/D]^α_D',
  source: 'Kaplan et al. (2020), Scaling Laws for Neural Language Models, eq. 1.5',
  confirmed: 'paper',
  parameters: [
    { name: 'A', transform: 'exp' },
    { name: 'B', transform: 'exp' },
    { name: 'alphaN', transform: 'identity' },
    { name: 'alphaD', transform: 'identity' },
  ],
  repeats: false,
  constants: [
    {
      name: 'kaplan-loss',
      // N_c 6.4e13, D_c 1.8e13 belong to α .076, .103; the 8.8e13 and 5.4e13 with .076, .095 are fits to N and to D alone.
      values: { A: 6.4e13 ** 0.076, B: 1.8e13 ** 0.103, alphaN: 0.076, alphaD: 0.103 },
      source: 'Kaplan et al. (2020), table 2, fit of L(N, D)',
      confirmed: 'paper',
      paramsCount: 'non-embedding',
    },
  ],
  logLosses([a = 0, b = 0, alphaN = 0, alphaD = 0]: Theta, { count, logParams, logData }, losses, jacobian) {
    const [ja, jb, jN, jD] = jacobian ?? [];
    for (let i = 0; i < count; i++) {
      const n = logParams[i] as number;
      const d = logData[i] as number;
      const qx = (a - alphaN * n) / alphaD;
      const qy = b / alphaD - d;
      const most = Math.max(qx, qy);
      const x = Math.exp(qx - most);
      const y = Math.exp(qy - most);
      const total = x + y;
      const sum = most + Math.log(total);
      losses[i] = alphaD * sum;
      if (!ja || !jb || !jN || !jD) continue;
      ja[i] = x / total;
      jb[i] = y / total;
      jN[i] = (-n * x) / total;
      jD[i] = sum - (qx * x + (b / alphaD) * y) / total;
    }
  },
  starts: (points, logLoss) =>
    projectedStarts(points, logLoss, [exponents, exponents], ([alphaN = 0, alphaD = 0]) => ({
      power: 1 / alphaD,
      noFloor: true,
      terms: [powers(points.logParams, alphaN / alphaD), powers(points.logData, 1)],
      thetaOf: ([, a, b]) => [a * alphaD, b * alphaD, alphaN, alphaD],
    })),
  optimum: (theta, flops) => jointOptimum(asJoint(theta), flops),
  exponents([, , alphaN = 0, alphaD = 0]: Theta) {
    return { params: alphaD / (alphaN + alphaD), data: alphaN / (alphaN + alphaD) };
  },
};

const exponents = [0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3, 0.5] as const;

function asJoint([a = 0, b = 0, alphaN = 0, alphaD = 0]: Theta): readonly number[] {
  return [a, b, Number.NEGATIVE_INFINITY, alphaN, alphaD, Math.log(alphaD)];
}

/** Kaplan et al. (2020), table 6: N = 1.3e9·C^.73 with C in petaflop/s-days, as (k_N, a) for C in FLOPs. */
export const kaplanAllocation = { coefficient: 1.3e9 / petaflopDay ** 0.73, exponent: 0.73 } as const;
