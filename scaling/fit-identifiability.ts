import { extent } from '../core/extent.ts';
import { symmetricEigen } from '../core/linear-algebra.ts';
import { gramOf } from './fit.ts';
import { chinchilla } from './laws/chinchilla.ts';
import type { Columns, LossLaw, Point, Theta } from './laws/law.ts';

/** Exponent at which designs are judged before anything is known: about that of every published fit. */
const nominalExponent = 0.35;
/** Data per parameter at which they are judged, about that of language models. */
const usualRatio = 20;
/** Below this V, model size and data vary together so much that their terms cannot be told apart. */
const leastSpread = 0.002;

/** What a set of (N, D) can tell, before a loss is known. */
export interface DesignCheck {
  /**
   * V: population variance of k^−β over the runs, k = D ÷ N in the {@link usualUnit}. 0 when all runs share one ratio: the terms in N and
   * D are then collinear.
   */
  readonly ratioSpread: number;
  readonly sizes: number;
  readonly dataAmounts: number;
  /** Largest ÷ smallest training FLOPs. */
  readonly flopsRange: number;
  /** Why the laws cannot be identified from these runs; empty when they can. */
  readonly problems: readonly string[];
}

/**
 * Whether runs of these sizes and amounts of data can tell a law's terms apart. With D = k·N for every run, A and B are
 * collinear: B ÷ D^β is B·k^−β ÷ N^β. Two far-apart ratios beat many near ones.
 */
export function checkDesign(points: readonly Point[], parameters = chinchilla.parameters.length): DesignCheck {
  const unit = usualUnit(points);
  const weights = points.map(({ params, data }) => ((unit * data) / params) ** -nominalExponent);
  const mean = weights.reduce((sum, value) => sum + value, 0) / weights.length;
  const variance = weights.reduce((sum, value) => sum + (value - mean) ** 2, 0) / weights.length;
  // Runs of one ratio differ by rounding alone.
  const ratioSpread = variance < 1e-24 * mean ** 2 ? 0 : variance;
  const sizes = new Set(points.map(({ params }) => params)).size;
  const dataAmounts = new Set(points.map(({ data }) => data)).size;
  const flops = points.map(({ params, data }) => params * data);
  const problems = [
    ...(points.length <= parameters
      ? [`expected more than ${parameters} runs for as many parameters, got ${points.length}`]
      : []),
    ...(sizes < 3 ? [`expected at least 3 model sizes, got ${sizes}`] : []),
    ...(dataAmounts < 3 ? [`expected at least 3 amounts of data, got ${dataAmounts}`] : []),
    ...(ratioSpread < leastSpread
      ? [
          `expected data per parameter to vary (V of at least ${leastSpread}), got V ${ratioSpread.toPrecision(2)}: the terms of size and data are collinear; add runs with far more, or far less, data per parameter`,
        ]
      : []),
  ];
  const [least, most] = extent(flops);
  return { ratioSpread, sizes, dataAmounts, flopsRange: most / least, problems };
}

/**
 * Parameters that count as one of N where the geometric mean of D ÷ N is to be the usual 20. A unit changes A and nothing else, and
 * examples of a convolution network are no tokens: without one a design would be judged by what they are.
 */
export function usualUnit(points: readonly Point[]): number {
  const logRatio = points.reduce((sum, { params, data }) => sum + Math.log(params / data), 0);
  return usualRatio * Math.exp(logRatio / points.length);
}

/** What a fit's curvature says of its parameters. */
export interface Curvature {
  /** Largest ÷ smallest eigenvalue of Jᵀ·J, J = ∂ ln L ÷ ∂ theta with columns of length 1. Some thousands are usual: coefficients and exponents go together. */
  readonly condition: number;
  /** Standard error of each of `theta`, from the curvature and the spread of the residuals. */
  readonly standardErrors: readonly number[];
  /** Parameters that the flattest direction moves, most first. */
  readonly weakest: readonly string[];
}

/** From this condition on a direction counts as not determined; the public sets of runs have 10³ to 10⁶. */
export const worstCondition = 1e8;

/**
 * Curvature of the sum of squares at a fit.
 * @param spread standard deviation of the residuals, robust.
 */
export function curvatureAt(law: LossLaw, theta: Theta, points: Columns, spread: number): Curvature {
  const gram = gramOf(law, theta, points);
  const scale = gram.map((row, k) => Math.sqrt(row[k] ?? 0) || 1);
  const scaled = gram.map((row, k) => row.map((value, j) => value / ((scale[k] ?? 1) * (scale[j] ?? 1))));
  const { values, vectors } = symmetricEigen(scaled);
  const positive = values.map((value) => Math.max(value, 1e-17));
  const flat = vectors.at(-1) ?? [];
  return {
    condition: (positive[0] ?? 1) / (positive.at(-1) ?? 1),
    standardErrors: scale.map((size, k) => {
      const variance = positive.reduce((sum, value, i) => sum + (vectors[i]?.[k] ?? 0) ** 2 / value, 0);
      return (spread * Math.sqrt(variance)) / size;
    }),
    weakest: law.parameters
      .map(({ name }, k) => ({ name, share: (flat[k] ?? 0) ** 2 }))
      .filter(({ share }) => share > 0.1)
      .toSorted((a, b) => b.share - a.share)
      .map(({ name }) => name),
  };
}
