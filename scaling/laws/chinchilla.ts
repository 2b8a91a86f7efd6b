import type { AllocationTuple, LossLaw, Theta } from './law.ts';
import { projectedStarts } from './projected-starts.ts';

/** Approach 3 of Hoffmann et al. (2022): L(N, D) = E + A ÷ N^α + B ÷ D^β, theta = (ln A, ln B, ln E, α, β). */
export const chinchilla: LossLaw = {
  name: 'chinchilla',
  formula: 'L = E + A/N^α + B/D^β',
  source: 'Hoffmann et al. (2022), Training Compute-Optimal Large Language Models, approach 3, eq. 2–4',
  confirmed: 'paper',
  parameters: [
    { name: 'A', transform: 'exp' },
    { name: 'B', transform: 'exp' },
    { name: 'E', transform: 'exp' },
    { name: 'alpha', transform: 'identity' },
    { name: 'beta', transform: 'identity' },
  ],
  repeats: false,
  constants: [
    {
      name: 'chinchilla',
      // Unrounded, from the TeX of the paper. The rounded 1.69, 406.4, 410.7, .34, .28 miss its own Table A3 by 18–30 % in N.
      values: {
        A: Math.exp(6.0073404),
        B: Math.exp(6.0179186),
        E: Math.exp(0.5267228),
        alpha: 0.33917084,
        beta: 0.2849083,
      },
      source: 'Hoffmann et al. (2022), unrounded in the TeX source',
      confirmed: 'paper',
      paramsCount: 'total',
      fittedFlops: [1e18, 3e21],
    },
    {
      name: 'chinchilla-epoch',
      // They minimise the absolute error of ln L on 240 points. Printed as .3478 and .3659; the further digits, recomputed from
      // the points, are what the replication's own table of optima needs. Huber's loss gives A 477.84, B 2143.86 instead.
      values: { A: 482.01, B: 2085.43, E: 1.8169, alpha: 0.34781219, beta: 0.36585316 },
      source: 'Besiroglu et al. (2024), Chinchilla Scaling: A replication attempt',
      confirmed: 'paper',
      paramsCount: 'total',
      fittedFlops: [1e18, 3e21],
    },
  ],
  logLosses(theta, { count, logParams, logData }, losses, jacobian) {
    const [a = 0, b = 0, e = 0, alpha = 0, beta = 0] = theta;
    const floor = Math.exp(e);
    if (!jacobian) {
      for (let i = 0; i < count; i++)
        losses[i] = Math.log(
          floor + Math.exp(a - alpha * (logParams[i] as number)) + Math.exp(b - beta * (logData[i] as number)),
        );
      return;
    }
    const [ja, jb, je, jAlpha, jBeta] = jacobian as readonly [
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    for (let i = 0; i < count; i++) {
      const n = logParams[i] as number;
      const d = logData[i] as number;
      const x = Math.exp(a - alpha * n);
      const y = Math.exp(b - beta * d);
      const total = floor + x + y;
      const share = 1 / total;
      losses[i] = Math.log(total);
      ja[i] = x * share;
      jb[i] = y * share;
      je[i] = floor * share;
      jAlpha[i] = -n * x * share;
      jBeta[i] = -d * y * share;
    }
  },
  starts: (points, logLoss) =>
    projectedStarts(points, logLoss, [exponentGrid, exponentGrid], ([alpha = 0, beta = 0]) => ({
      terms: [powers(points.logParams, alpha), powers(points.logData, beta)],
      thetaOf: ([e, a, b]) => [a, b, e, alpha, beta],
    })),
  optimum: (theta, flops) => chinchillaOptimum(theta, flops),
  exponents([, , , alpha, beta]: Theta) {
    return exponentsOf(alpha as number, beta as number);
  },
};

/** Exponents that starts are tried at: from slower than any law in print to faster, closer where laws in print lie. */
export const exponentGrid: readonly number[] = [
  0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.85, 1, 1.25, 1.5, 2,
];

/** x^−exponent of every ln x. */
export function powers(logs: Float64Array, exponent: number): Float64Array {
  return logs.map((log) => Math.exp(-exponent * log));
}

/** a = β ÷ (α + β), b = α ÷ (α + β). */
export function exponentsOf(alpha: number, beta: number): { readonly params: number; readonly data: number } {
  return { params: beta / (alpha + beta), data: alpha / (alpha + beta) };
}

/**
 * Closed form of the optimum (Hoffmann et al. 2022, eq. 4): N = G·(C ÷ 6)^a, D = (C ÷ 6)^b ÷ G, G = (αA ÷ βB)^(1 ÷ (α + β)).
 * @param theta (ln A, ln B, ln E, α, β).
 */
export function chinchillaOptimum(theta: Theta, flops: number): AllocationTuple {
  const [a = 0, b = 0, , alpha = 0, beta = 0] = theta;
  const logG = (Math.log(alpha / beta) + a - b) / (alpha + beta);
  const size = Math.log(flops / 6);
  const exponents = exponentsOf(alpha, beta);
  return { params: Math.exp(logG + exponents.params * size), data: Math.exp(exponents.data * size - logG) };
}

/**
 * The 4,500 starts of Hoffmann et al. (2022), section D.3: α, β ∈ {0, .5, …, 2}, ln E ∈ {−1, −.5, …, 1}, ln A, ln B ∈
 * {0, 5, …, 25}. Kept for comparison: {@link LossLaw.starts} reaches the same optimum from a dozen.
 */
export function referenceStarts(): readonly (readonly number[])[] {
  const exponents = [0, 0.5, 1, 1.5, 2];
  const logs = [0, 5, 10, 15, 20, 25];
  const floors = [-1, -0.5, 0, 0.5, 1];
  return logs.flatMap((a) =>
    logs.flatMap((b) =>
      floors.flatMap((e) => exponents.flatMap((alpha) => exponents.map((beta) => [a, b, e, alpha, beta]))),
    ),
  );
}
