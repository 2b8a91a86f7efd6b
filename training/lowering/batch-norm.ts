import type { TrainingNodeOf } from '../training-graph.ts';
import type { PlainGraph } from './plain-graph.ts';

// Channel-major: sums are over rows of `[c, m]`. Statistics come from Σx and Σx² in one pass each
// (a row's product with itself is its Σx²): at the means of a few deviations that networks show, the
// cancellation in E[x²] − E[x]² costs about a digit of float32's seven, and ε bounds the rest.

/**
 * Batch statistics, then y = a · x + b by a 1×1 grouped convolution, the one operator of
 * onnxruntime that scales, shifts and rectifies in a single pass.
 * @param rectified tensor to bind instead of y when only a ReLU reads y.
 */
export function lowerBatchNorm(
  node: TrainingNodeOf<'batch-norm-training'>,
  plain: PlainGraph,
  rectified?: string,
): void {
  const [x, scale, shift] = node.inputs as [string, string, string];
  const [y, mean, inverseDeviation, variance] = node.outputs as [string, string, string, string];
  const [channels, count] = plain.extents(x) as [number, number];
  const column = [channels, 1];

  const means = plain.op('ReduceMean', [plain.value(x)], { axes: [1], keepdims: 1 });
  const sumOfSquares = dotRows(plain, plain.value(x), plain.value(x), channels, count);
  const squares = plain.op('Mul', [sumOfSquares, plain.scalar(1 / count)]);
  const difference = plain.op('Sub', [squares, plain.op('Mul', [means, means])]);
  const variances = plain.op('Max', [difference, plain.scalar(0)]);
  const deviation = plain.op('Sqrt', [plain.op('Add', [variances, plain.scalar(node.attributes.epsilon)])]);
  const inverse = plain.op('Reciprocal', [deviation]);
  const factor = plain.op('Mul', [plain.view(plain.value(scale), column), inverse]);
  const offset = plain.op('Sub', [plain.view(plain.value(shift), column), plain.op('Mul', [means, factor])]);

  plain.bind(mean, means);
  plain.bind(variance, variances);
  plain.bind(inverseDeviation, inverse);
  const scaled = affine(plain, plain.value(x), factor, offset, [channels, count], { relu: rectified !== undefined });
  plain.bind(rectified ?? y, scaled);
}

/** dx = a · dy + b · x + c with per-channel a, b, c: two passes. */
export function lowerBatchNormGradient(node: TrainingNodeOf<'batch-norm-gradient'>, plain: PlainGraph): void {
  const [dy, x] = node.inputs as [string, string];
  const [dx] = node.outputs as [string];
  const extents = plain.extents(x) as [number, number];
  const { a, b, c } = inputGradientCoefficients(node, plain);
  const ofX = affine(plain, plain.value(x), b, c, extents);
  plain.bind(dx, affine(plain, plain.value(dy), a, undefined, extents, { plus: ofX }));
}

/**
 * Binds dscale and dshift, and returns columns a, b, c with dx = a · dy + b · x + c:
 * a = scale ÷ deviation, b = −a · dscale ÷ (m · deviation), c = −a · dshift ÷ m − b · mean.
 */
function inputGradientCoefficients(
  node: TrainingNodeOf<'batch-norm-gradient'>,
  plain: PlainGraph,
): { a: string; b: string; c: string } {
  const [dy, x, scale, mean, inverseDeviation] = node.inputs as [string, string, string, string, string];
  const [, dScale, dShift] = node.outputs as [string, string, string];
  const [channels, count] = plain.extents(x) as [number, number];
  const inverse = plain.value(inverseDeviation);
  const sum = plain.op('ReduceSum', [plain.value(dy), plain.ints([1])], { keepdims: 1 });
  const product = dotRows(plain, plain.value(dy), plain.value(x), channels, count);
  const centred = plain.op('Sub', [product, plain.op('Mul', [plain.value(mean), sum])]);
  const scaleGradient = plain.op('Mul', [centred, inverse]);
  plain.bind(dScale, scaleGradient);
  plain.bind(dShift, sum);

  const a = plain.op('Mul', [plain.view(plain.value(scale), [channels, 1]), inverse]);
  const minusShare = plain.op('Mul', [a, plain.scalar(-1 / count)]);
  const b = plain.op('Mul', [minusShare, plain.op('Mul', [scaleGradient, inverse])]);
  const ofSum = plain.op('Mul', [minusShare, sum]);
  const c = plain.op('Sub', [ofSum, plain.op('Mul', [b, plain.value(mean)])]);
  return { a, b, c };
}

/**
 * Dot products of equal rows of two `[rows, count]` matrices, as `[rows, 1]`. Scaling by FusedMatMul's
 * `alpha` would leave onnxruntime's vector path and take eight times as long.
 */
function dotRows(plain: PlainGraph, a: string, b: string, rows: number, count: number): string {
  const [left, right] = [a, b].map((value) => plain.view(value, [rows, 1, count])) as [string, string];
  return plain.view(plain.matMul(left, right, { transB: 1 }), [rows, 1]);
}

/** factor · x + offset (+ plus), optionally rectified, in one pass over `[channels, count]`. */
function affine(
  plain: PlainGraph,
  x: string,
  factor: string,
  offset: string | undefined,
  [channels, count]: readonly [number, number],
  { relu = false, plus }: { relu?: boolean; plus?: string } = {},
): string {
  const row = [1, channels, count];
  const operands = [plain.view(x, row), plain.view(factor, [channels, 1, 1])];
  if (offset !== undefined || plus !== undefined)
    operands.push(offset === undefined ? '' : plain.view(offset, [channels]));
  if (plus !== undefined) operands.push(plain.view(plus, row));
  const attributes = { kernel_shape: [1], group: channels };
  const activated = relu ? { ...attributes, activation: { string: 'Relu' } } : attributes;
  return plain.view(plain.op('FusedConv', operands, activated, 'com.microsoft'), [channels, count]);
}
