import type { TrainingNodeOf } from '../training-graph.ts';
import type { PlainGraph } from './graph.ts';

// Dense layers and the loss: rows, whatever axes come before the last.

/** A tensor as a matrix: its last axis, and all others as rows. */
function asRows(plain: PlainGraph, tensor: string): string {
  const shape = plain.shape(tensor);
  return shape.length === 2
    ? plain.value(tensor)
    : plain.view(plain.value(tensor), [rowsOf(shape), shape.at(-1) as number]);
}

function rowsOf(shape: readonly number[]): number {
  return shape.slice(0, -1).reduce((product, extent) => product * extent, 1);
}

/** A stored matrix, which comes as a vector. */
function matrixOf(plain: PlainGraph, weight: string): string {
  return plain.view(plain.value(weight), plain.shape(weight));
}

/** Binds a matrix to a tensor of which it is the rows. */
function bindRows(plain: PlainGraph, tensor: string, matrix: string): void {
  const shape = plain.shape(tensor);
  plain.bind(tensor, shape.length === 2 ? matrix : plain.view(matrix, shape));
}

/** y = x · w + b */
export function lowerDense(node: TrainingNodeOf<'dense'>, plain: PlainGraph): void {
  const [x, weight, bias] = node.inputs as [string, string, string | undefined];
  const operands = [asRows(plain, x), matrixOf(plain, weight), ...(bias === undefined ? [] : [plain.value(bias)])];
  bindRows(
    plain,
    node.outputs[0] as string,
    plain.op('Gemm', operands, { transB: Number(node.attributes.transposed ?? false) }),
  );
}

/** dx = dy · wᵀ */
export function lowerDenseInputGradient(node: TrainingNodeOf<'dense-input-gradient'>, plain: PlainGraph): void {
  const [dy, weight] = node.inputs as [string, string];
  const attributes = { transB: Number(!node.attributes.transposed) };
  bindRows(
    plain,
    node.outputs[0] as string,
    plain.op('Gemm', [asRows(plain, dy), matrixOf(plain, weight)], attributes),
  );
}

/** dw = xᵀ · dy */
export function lowerDenseWeightGradient(node: TrainingNodeOf<'dense-weight-gradient'>, plain: PlainGraph): void {
  const operands = node.inputs.map((input) => asRows(plain, input));
  if (node.attributes.transposed) operands.reverse();
  plain.bind(node.outputs[0] as string, plain.op('Gemm', operands, { transA: 1 }));
}

/** Sum over one axis of the gradient: of `[rows, out]` for a dense layer, of `[o, m]` for a convolution. */
export function lowerBiasGradient(
  node: TrainingNodeOf<'dense-bias-gradient' | 'conv-bias-gradient'>,
  plain: PlainGraph,
): void {
  const [dy] = node.inputs as [string];
  const isDense = node.op === 'dense-bias-gradient';
  const sum = plain.op('ReduceSum', [isDense ? asRows(plain, dy) : plain.value(dy), plain.ints([isDense ? 0 : 1])], {
    keepdims: 0,
  });
  plain.bind(node.outputs[0] as string, sum);
}

/**
 * Mean over the rows of −Σ t · log p with t = (1 − ε) · target + ε ÷ classes, how many rows are
 * right, and dlogits = (p − t) ÷ rows.
 * @see Szegedy et al. (2016), "Rethinking the Inception Architecture", section 7 (label smoothing).
 */
export function lowerSoftmaxCrossEntropy(node: TrainingNodeOf<'softmax-cross-entropy'>, plain: PlainGraph): void {
  const [logits, targets] = node.inputs as [string, string];
  const [loss, correct, dLogits] = node.outputs as [string, string, string];
  const rows = rowsOf(plain.shape(logits));
  const classes = plain.shape(logits).at(-1) as number;
  const [scores, wanted] = [asRows(plain, logits), asRows(plain, targets)];
  const { labelSmoothing } = node.attributes;
  const scaled = plain.op('Mul', [wanted, plain.scalar(1 - labelSmoothing)]);
  const smoothed = plain.op('Add', [scaled, plain.scalar(labelSmoothing / classes)]);

  const logProbabilities = plain.op('LogSoftmax', [scores], { axis: 1 });
  const products = plain.op('Mul', [smoothed, logProbabilities]);
  const total = plain.op('ReduceSum', [products, plain.ints([0, 1])], { keepdims: 0 });
  plain.bind(loss, plain.op('Mul', [total, plain.scalar(-1 / rows)]));

  const [best, likeliest] = [scores, wanted].map((matrix) =>
    plain.op('ArgMax', [matrix], { axis: 1, keepdims: 0 }),
  ) as [string, string];
  const right = plain.op('Cast', [plain.op('Equal', [best, likeliest])], { to: 1 });
  plain.bind(correct, plain.op('ReduceSum', [right, plain.ints([0])], { keepdims: 0 }));

  const difference = plain.op('Sub', [plain.op('Exp', [logProbabilities]), smoothed]);
  bindRows(plain, dLogits, plain.op('Mul', [difference, plain.scalar(1 / rows)]));
}
