import { nonNegativeLeastSquares } from '../core/least-squares.ts';
import { transformerParams, type TransformerShape } from './transformer-shape.ts';

/** One training step of a transformer on one device of several that split the batch. */
export interface TrainingStep {
  readonly shape: TransformerShape;
  /** Tokens that one device processes in a step. */
  readonly tokens: number;
  /** Activations are recomputed in the backward pass: four thirds of the work. */
  readonly recomputes?: boolean;
  /** Parts the batch is processed in, each of which reads the weights again; 1 by default. */
  readonly microBatches?: number;
}

/** What a step does, in quantities that take time. */
export interface StepWork {
  /** Elements that layers read and write, weights and optimizer included. */
  readonly elements: number;
  /** FLOPs of attention scores, the causal half. */
  readonly attentionFlops: number;
  /** FLOPs of products with weights: 6·N·T. */
  readonly matrixFlops: number;
}

/**
 * Memory copies and FLOPs of a step, by simple accounting from hyperparameters. After Inbar & Sernau (2024), who show that a
 * count of copies predicts the time where FLOPs do not; their count was not published, this one is ours:
 *
 *   W = L·(4d² + m·d·f) + V·d
 *   Act = T·L·[(d + 3d) + (d + d) + (3d + d) + feed-forward + 8d] + T·(d + 2V)
 *   elements = 3·(W·micro-batches + Act) + 12·N;  attention = 6·L·d·s·T;  matrices = 6·N·T
 *
 * with (d + 2f) + (2f + f) + (f + d) for a gated feed-forward block (m = 3) and (d + f) + (f + f) + (f + d) otherwise (m = 2). What is
 * recomputed multiplies all but the optimizer's 12·N by 4/3.
 */
export function stepWork({ shape, tokens, recomputes = false, microBatches = 1 }: TrainingStep): StepWork {
  const { layers, width: d, feedForward: f, vocabulary, context, gated } = shape;
  const params = transformerParams(shape).total;
  const again = recomputes ? 4 / 3 : 1;
  const weights = layers * (4 * d * d + (gated ? 3 : 2) * d * f) + vocabulary * d;
  const feedForward = gated ? d + 2 * f + 3 * f + f + d : d + f + 2 * f + f + d;
  const activations = tokens * layers * (4 * d + 2 * d + 4 * d + feedForward + 8 * d) + tokens * (d + 2 * vocabulary);
  return {
    elements: again * 3 * (weights * microBatches + activations) + 12 * params,
    attentionFlops: again * 6 * layers * d * context * tokens,
    matrixFlops: again * 6 * params * tokens,
  };
}

/** Rates of a device in a training; null where the fit found that a kind of work takes no time of its own. */
export interface StepTimeModel {
  readonly elementsPerS: number | null;
  readonly attentionFlopsPerS: number | null;
  readonly matrixFlopsPerS: number | null;
}

const kinds = ['elements', 'attentionFlops', 'matrixFlops'] as const satisfies readonly (keyof StepWork)[];

/** Seconds of a step: elements ÷ k₁ + attention ÷ k₂ + matrices ÷ k₃. */
export function stepTimeS(model: StepTimeModel, step: TrainingStep): number {
  const work = stepWork(step);
  return kinds.reduce((sum, kind) => sum + work[kind] / (model[`${kind}PerS`] ?? Number.POSITIVE_INFINITY), 0);
}

/** A step with the time it took, seconds. */
export interface TimedStep extends TrainingStep {
  readonly seconds: number;
}

/**
 * Rates from timed steps by non-negative least squares on relative errors, columns scaled (they span fifteen powers of ten).
 * @param using the kinds of work it may count; all by default.
 */
export function fitStepTime(steps: readonly TimedStep[], using: readonly (keyof StepWork)[] = kinds): StepTimeModel {
  const rows = steps.map((step) => ({ work: stepWork(step), seconds: step.seconds }));
  const seconds = relativeRates(
    using.map((kind) => rows.map(({ work }) => work[kind])),
    steps.map((step) => step.seconds),
  );
  const rate = (kind: keyof StepWork): number | null => {
    const each = seconds[using.indexOf(kind)] ?? 0;
    return each > 0 ? 1 / each : null;
  };
  return {
    elementsPerS: rate('elements'),
    attentionFlopsPerS: rate('attentionFlops'),
    matrixFlopsPerS: rate('matrixFlops'),
  };
}

/**
 * Non-negative seconds of a unit of each kind of work that minimise Σ (predicted ÷ measured − 1)².
 * @param columns amounts of work, `[kinds][steps]`. @param seconds measured.
 */
export function relativeRates(columns: readonly (readonly number[])[], seconds: readonly number[]): readonly number[] {
  const relative = columns.map((column) => column.map((value, i) => value / (seconds[i] as number)));
  return nonNegativeLeastSquares(
    relative,
    seconds.map(() => 1),
  ).coefficients;
}

/** A step of a convolution network: counts of its forward pass on one example, and its parameters. */
export interface ConvolutionStep {
  /** Examples. */
  readonly batch: number;
  readonly params: number;
  /** Elements that convolutions write. */
  readonly activations: number;
  /** Multiply-adds. */
  readonly macs: number;
}

/**
 * Work of a step of a convolution network, kinds as in {@link stepWork}: the optimizer reads and writes every parameter once a step
 * whatever the batch, what layers write is copied, multiply-adds are computed. Each has a rate of its own ({@link relativeRates}), ours.
 */
export function convolutionWork({ batch, params, activations, macs }: ConvolutionStep): readonly number[] {
  return [params, batch * activations, batch * macs];
}

/** Predicts seconds of steps by rates fitted to timed ones. @throws {RangeError} without any. */
export function fitConvolutionTime(
  steps: readonly (ConvolutionStep & { readonly seconds: number })[],
): (step: ConvolutionStep) => number {
  if (steps.length === 0) throw new RangeError('expected at least one timed step, got none');
  const works = steps.map(convolutionWork);
  const columns = (works[0] ?? []).map((_, kind) => works.map((work) => work[kind] ?? 0));
  const rates = relativeRates(
    columns,
    steps.map(({ seconds }) => seconds),
  );
  return (step) => convolutionWork(step).reduce((sum, amount, kind) => sum + amount * (rates[kind] ?? 0), 0);
}

/** Mean of |predicted ÷ measured − 1|. */
export function meanRelativeError(predicted: readonly number[], measured: readonly number[]): number {
  return predicted.reduce((sum, value, i) => sum + Math.abs(value / (measured[i] as number) - 1), 0) / predicted.length;
}

/**
 * Rates of an A100 80 GB SXM in MosaicML's public table of MPT trainings (139 of them, bf16, 125 M to 70 B parameters,
 * fully sharded data parallelism), fitted by `bench/laws/step-time.ts`.
 */
export const a100StepTime = {
  elementsPerS: 4.11e11,
  attentionFlopsPerS: 8.98e13,
  matrixFlopsPerS: 2.69e14,
} as const satisfies StepTimeModel;

/** What those rates are scaled by. */
const a100 = { gigabytesPerS: 2039, peakTflops: 312 } as const;

/**
 * A prior for a device nobody measured: the A100's rates, copies in proportion to memory bandwidth and FLOPs to the peak. A
 * faster device reaches a smaller share of its peak, so take it for an optimistic one.
 */
export function stepTimePrior(device: { readonly gigabytesPerS: number; readonly peakTflops: number }): StepTimeModel {
  const bandwidth = device.gigabytesPerS / a100.gigabytesPerS;
  const peak = device.peakTflops / a100.peakTflops;
  return {
    elementsPerS: a100StepTime.elementsPerS * bandwidth,
    attentionFlopsPerS: a100StepTime.attentionFlopsPerS * peak,
    matrixFlopsPerS: a100StepTime.matrixFlopsPerS * peak,
  };
}
