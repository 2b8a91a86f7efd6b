import type { TrainingNodeOf } from '../training-graph.ts';
import type { PlainGraph } from './graph.ts';

// The classifier and its loss: `[n, features]` throughout.

/** y = x · w + b */
export function lowerDense(node: TrainingNodeOf<'dense'>, plain: PlainGraph): void {
  const [x, weight, bias] = node.inputs as [string, string, string];
  const matrix = plain.view(plain.value(weight), plain.shape(weight));
  plain.bind(node.outputs[0] as string, plain.op('Gemm', [plain.value(x), matrix, plain.value(bias)]));
}

/** dx = dy · wᵀ */
export function lowerDenseInputGradient(node: TrainingNodeOf<'dense-input-gradient'>, plain: PlainGraph): void {
  const [dy, weight] = node.inputs as [string, string];
  const matrix = plain.view(plain.value(weight), plain.shape(weight));
  plain.bind(node.outputs[0] as string, plain.op('Gemm', [plain.value(dy), matrix], { transB: 1 }));
}

/** dw = xᵀ · dy */
export function lowerDenseWeightGradient(node: TrainingNodeOf<'dense-weight-gradient'>, plain: PlainGraph): void {
  const [x, dy] = node.inputs as [string, string];
  plain.bind(node.outputs[0] as string, plain.op('Gemm', [plain.value(x), plain.value(dy)], { transA: 1 }));
}

/** Sum over one axis of the gradient: of `[n, out]` for a dense layer, of `[o, m]` for a convolution. */
export function lowerBiasGradient(
  node: TrainingNodeOf<'dense-bias-gradient' | 'conv-bias-gradient'>,
  plain: PlainGraph,
): void {
  const axis = node.op === 'dense-bias-gradient' ? 0 : 1;
  const sum = plain.op('ReduceSum', [plain.value(node.inputs[0] as string), plain.ints([axis])], { keepdims: 0 });
  plain.bind(node.outputs[0] as string, sum);
}

/**
 * Mean over the batch of −Σ t · log p with t = (1 − ε) · target + ε ÷ classes, how many rows are
 * right, and dlogits = (p − t) ÷ batch.
 * @see Szegedy et al. (2016), "Rethinking the Inception Architecture", section 7 (label smoothing).
 */
export function lowerSoftmaxCrossEntropy(node: TrainingNodeOf<'softmax-cross-entropy'>, plain: PlainGraph): void {
  const [logits, targets] = node.inputs as [string, string];
  const [loss, correct, dLogits] = node.outputs as [string, string, string];
  const [batch, classes] = plain.shape(logits) as [number, number];
  const { labelSmoothing } = node.attributes;
  const scaled = plain.op('Mul', [plain.value(targets), plain.scalar(1 - labelSmoothing)]);
  const smoothed = plain.op('Add', [scaled, plain.scalar(labelSmoothing / classes)]);

  const logProbabilities = plain.op('LogSoftmax', [plain.value(logits)], { axis: 1 });
  const products = plain.op('Mul', [smoothed, logProbabilities]);
  const total = plain.op('ReduceSum', [products, plain.ints([0, 1])], { keepdims: 0 });
  plain.bind(loss, plain.op('Mul', [total, plain.scalar(-1 / batch)]));

  const [best, wanted] = [logits, targets].map((tensor) =>
    plain.op('ArgMax', [plain.value(tensor)], { axis: 1, keepdims: 0 }),
  ) as [string, string];
  const right = plain.op('Cast', [plain.op('Equal', [best, wanted])], { to: 1 });
  plain.bind(correct, plain.op('ReduceSum', [right, plain.ints([0])], { keepdims: 0 }));

  const difference = plain.op('Sub', [plain.op('Exp', [logProbabilities]), smoothed]);
  plain.bind(dLogits, plain.op('Mul', [difference, plain.scalar(1 / batch)]));
}
