import type { TrainingNodeOf } from '../training-graph.ts';
import type { PlainGraph } from './graph.ts';

// Channel-major: sums are over rows of `[c, m]`, sums of products a row's product with another row. All is
// computed from the centred x: E[x²] − E[x]² and Σ dy · x − mean · Σ dy take one pass less, and lose twice
// as many digits as the mean is powers of ten above the deviation.

/** The ReLU that alone reads a batch norm. */
export type Rectifier = TrainingNodeOf<'relu' | 'relu6'>;

/**
 * Batch statistics, then y = scale ÷ deviation · centred x + shift by a 1×1 grouped convolution, the one
 * operator of onnxruntime that scales, shifts and rectifies in a single pass.
 * @param rectifier its output is bound instead of y.
 */
export function lowerBatchNorm(
  node: TrainingNodeOf<'batch-norm-training'>,
  plain: PlainGraph,
  rectifier?: Rectifier,
): void {
  const [x, scale, shift] = node.inputs as [string, string, string];
  const [y, mean, inverseDeviation, variance] = node.outputs as [string, string, string, string];
  const [channels, count] = plain.extents(x) as [number, number];

  plain.bind(mean, plain.op('ReduceMean', [plain.value(x)], { axes: [1], keepdims: 1 }));
  const xCentred = centred(plain, x, mean);
  const variances = plain.op('Mul', [dotRows(plain, xCentred, xCentred, channels, count), plain.scalar(1 / count)]);
  const deviation = plain.op('Sqrt', [plain.op('Add', [variances, plain.scalar(node.attributes.epsilon)])]);
  const inverse = plain.op('Reciprocal', [deviation]);
  const factor = plain.op('Mul', [plain.view(plain.value(scale), [channels, 1]), inverse]);
  plain.bind(variance, variances);
  plain.bind(inverseDeviation, inverse);
  const scaled = affine(plain, xCentred, factor, plain.value(shift), [channels, count], { rectifier: rectifier?.op });
  plain.bind(rectifier?.outputs[0] ?? y, scaled);
}

/** x − mean, made once for both directions. */
function centred(plain: PlainGraph, x: string, mean: string): string {
  return plain.once(`${x} − ${mean}`, () => plain.op('Sub', [plain.value(x), plain.value(mean)]));
}

/** dx = a · dy + b · centred x + c with per-channel a, b, c: two passes. */
export function lowerBatchNormGradient(node: TrainingNodeOf<'batch-norm-gradient'>, plain: PlainGraph): void {
  const [dy, x, , mean] = node.inputs as [string, string, string, string];
  const [dx] = node.outputs as [string];
  const extents = plain.extents(x) as [number, number];
  const { a, b, c } = inputGradientCoefficients(node, plain);
  const ofX = affine(plain, centred(plain, x, mean), b, c, extents);
  plain.bind(dx, affine(plain, plain.value(dy), a, undefined, extents, { plus: ofX }));
}

/**
 * Binds dscale and dshift, and returns columns a, b, c with dx = a · dy + b · centred x + c:
 * a = scale ÷ deviation, b = −a · dscale ÷ (m · deviation), c = −a · dshift ÷ m.
 */
function inputGradientCoefficients(
  node: TrainingNodeOf<'batch-norm-gradient'>,
  plain: PlainGraph,
): { a: string; b: string; c: string } {
  const [dy, x, scale, mean, inverseDeviation] = node.inputs as [string, string, string, string, string];
  const [, dScale, dShift] = node.outputs as [string, string, string];
  const [channels, count] = plain.extents(x) as [number, number];
  const inverse = plain.value(inverseDeviation);
  const shiftGradient = plain.op('ReduceSum', [plain.value(dy), plain.ints([1])], { keepdims: 1 });
  const product = dotRows(plain, plain.value(dy), centred(plain, x, mean), channels, count);
  const scaleGradient = plain.op('Mul', [product, inverse]);
  plain.bind(dScale, scaleGradient);
  plain.bind(dShift, shiftGradient);

  const a = plain.op('Mul', [plain.view(plain.value(scale), [channels, 1]), inverse]);
  const minusShare = plain.op('Mul', [a, plain.scalar(-1 / count)]);
  const b = plain.op('Mul', [minusShare, plain.op('Mul', [scaleGradient, inverse])]);
  return { a, b, c: plain.op('Mul', [minusShare, shiftGradient]) };
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
  { rectifier, plus }: { rectifier?: Rectifier['op'] | undefined; plus?: string } = {},
): string {
  const row = [1, channels, count];
  const operands = [plain.view(x, row), plain.view(factor, [channels, 1, 1])];
  if (offset !== undefined || plus !== undefined)
    operands.push(offset === undefined ? '' : plain.view(offset, [channels]));
  if (plus !== undefined) operands.push(plain.view(plus, row));
  const activations = {
    relu: { activation: { string: 'Relu' } },
    relu6: { activation: { string: 'Clip' }, activation_params: { floats: [0, 6] } },
  };
  const attributes = { kernel_shape: [1], group: channels, ...(rectifier && activations[rectifier]) };
  return plain.view(plain.op('FusedConv', operands, attributes, 'com.microsoft'), [channels, count]);
}
