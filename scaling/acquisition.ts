import type { GridPoint } from './candidates.ts';
import type { Multipliers } from './multipliers.ts';
import { efficientNetXGpuCoefficients } from './rules.ts';

/** Standard deviations of optimism about accuracy (UCB, Srinivas et al. 2010). */
const optimism = 1;
/** What a proposal rejected by its measurement costs, in logits of accuracy: little, a measurement takes seconds. */
const rejectionCost = 0.03;
/** Scored networks besides the base below which proposals spread instead of trusting the accuracy model. */
export const minScored = 4;

/**
 * Worth of training a network for a target: an upper bound on accuracy, in logits, less the risk of
 * missing the target.
 */
export function acquisition({ accuracy, latencyMs, latencyLogSd }: GridPoint, targetMs: number): number {
  const bound = accuracy === null ? 0 : accuracy.logit + optimism * accuracy.logitSd;
  const chance = latencyLogSd === 0 ? 1 : normalCdf(Math.log(targetMs / latencyMs) / latencyLogSd);
  return bound + rejectionCost * Math.log(chance);
}

/**
 * Standard normal distribution function by the logistic approximation of Bowling et al. (2009), error
 * below 1.5e-4.
 */
function normalCdf(z: number): number {
  return 1 / (1 + Math.exp(-(0.07056 * z ** 3 + 1.5976 * z)));
}

/**
 * Where to look before anything is known of accuracy: balanced as EfficientNet-X on a GPU, then towards
 * each corner.
 */
export const directions: readonly Multipliers[] = [
  efficientNetXGpuCoefficients,
  { depth: 1.6, width: 1.1, resolution: 1.02 },
  { depth: 1.05, width: 1.38, resolution: 1.02 },
  { depth: 1.1, width: 1.08, resolution: 1.25 },
];

/** Logarithms in units of cost: doubling multiply-adds along any axis is one step. */
function logCost({ depth, width, resolution }: Multipliers): readonly [number, number, number] {
  return [Math.log(depth), 2 * Math.log(width), 2 * Math.log(resolution)];
}

/** Cosine between two scalings' directions, −1 … 1; 0 when one of them is the base. */
export function alignment(a: Multipliers, b: Multipliers): number {
  const [x, y] = [logCost(a), logCost(b)];
  const inner = x.reduce((sum, value, index) => sum + value * (y[index] ?? 0), 0);
  const norm = Math.hypot(...x) * Math.hypot(...y);
  return norm === 0 ? 0 : inner / norm;
}

/** Euclidean distance of two networks in those units. */
export function distance(a: { readonly realised: Multipliers }, b: { readonly realised: Multipliers }): number {
  const [x, y] = [logCost(a.realised), logCost(b.realised)];
  return Math.hypot(...x.map((value, index) => value - (y[index] ?? 0)));
}
