import type { TrainingNodeOf, TrainingOperator } from '../training-graph.ts';
import type { PlainGraph } from './graph.ts';

/** Lowers one kind of node. */
export type Lower<Op extends TrainingOperator> = (node: TrainingNodeOf<Op>, plain: PlainGraph) => void;

/** One standard operator on values as they lie. */
export function lowerUnary(
  opType: 'Relu' | 'Sigmoid',
  node: TrainingNodeOf<'relu' | 'sigmoid'>,
  plain: PlainGraph,
): void {
  plain.bind(node.outputs[0] as string, plain.op(opType, [plain.value(node.inputs[0] as string)]));
}

/** Two tensors of one shape; one that is constant over each plane is broadcast rather than spread out. */
function lowerPair(opType: 'Add' | 'Mul', a: string, b: string, y: string, plain: PlainGraph): void {
  const broadcast = plain.isPerPlane(a) !== plain.isPerPlane(b);
  const operands = broadcast ? [plain.planes(a), plain.planes(b)] : [plain.value(a), plain.value(b)];
  const result = plain.op(opType, operands);
  plain.bind(y, broadcast ? plain.view(result, plain.extents(y)) : result);
}

/** a + b */
export const lowerAdd: Lower<'add'> = (node, plain) =>
  lowerPair('Add', node.inputs[0] as string, node.inputs[1] as string, node.outputs[0] as string, plain);

/** min(max(x, 0), 6) */
export const lowerRelu6: Lower<'relu6'> = (node, plain) => {
  const clipped = plain.op('Clip', [plain.value(node.inputs[0] as string), plain.scalar(0), plain.scalar(6)]);
  plain.bind(node.outputs[0] as string, clipped);
};

/** dy · [y > 0] */
export const lowerReluGradient: Lower<'relu-gradient'> = (node, plain) => {
  const [dy, y] = node.inputs as [string, string];
  multiplyByGradient(dy, isPositive(plain, plain.value(y)), node.outputs[0] as string, plain);
};

/** dy · [0 < y < 6] */
export const lowerRelu6Gradient: Lower<'relu6-gradient'> = (node, plain) => {
  const [dy, y] = node.inputs as [string, string];
  multiplyByGradient(dy, isInside(plain, plain.value(y), 6), node.outputs[0] as string, plain);
};

/** The mask [value > 0] is HardSigmoid with a slope so steep that every float32 above 1e-30 gives 1. */
function isPositive(plain: PlainGraph, value: string): string {
  return plain.op('HardSigmoid', [value], { alpha: { float: 1e30 }, beta: { float: 0 } });
}

/** The mask [0 < value < high] of values in [0, high]; in float32 high − value is 0 at high alone. */
function isInside(plain: PlainGraph, value: string, high: number): string {
  return isPositive(plain, plain.op('Mul', [value, plain.op('Sub', [plain.scalar(high), value])]));
}

/** x · sigmoid(x), and the sigmoid for the way back. */
export const lowerSilu: Lower<'silu-training'> = (node, plain) => {
  const [x] = node.inputs as [string];
  const [y, gate] = node.outputs as [string, string];
  plain.bind(gate, plain.op('Sigmoid', [plain.value(x)]));
  plain.bind(y, plain.op('Mul', [plain.value(x), plain.value(gate)]));
};

/** dy · (g + (y − y · g)) */
export const lowerSiluGradient: Lower<'silu-gradient'> = (node, plain) => {
  const [dy, y, gate] = node.inputs as [string, string, string];
  const gated = plain.op('Mul', [plain.value(y), plain.value(gate)]);
  const rest = plain.op('Sub', [plain.value(y), gated]);
  multiplyByGradient(dy, plain.op('Add', [rest, plain.value(gate)]), node.outputs[0] as string, plain);
};

/** min(max(x ÷ 6 + ½, 0), 1) */
const hardSigmoid = (plain: PlainGraph, x: string): string =>
  plain.op('HardSigmoid', [x], { alpha: { float: 1 / 6 }, beta: { float: 0.5 } });

/** {@link hardSigmoid} */
export const lowerHardSigmoid: Lower<'hard-sigmoid'> = (node, plain) =>
  plain.bind(node.outputs[0] as string, hardSigmoid(plain, plain.value(node.inputs[0] as string)));

/** dy · [0 < y < 1] ÷ 6 */
export const lowerHardSigmoidGradient: Lower<'hard-sigmoid-gradient'> = (node, plain) => {
  const [dy, y] = node.inputs as [string, string];
  const slope = plain.op('Mul', [isInside(plain, plain.value(y), 1), plain.scalar(1 / 6)]);
  multiplyByGradient(dy, slope, node.outputs[0] as string, plain);
};

/** x · hard-sigmoid(x) */
export const lowerHardSwish: Lower<'hard-swish'> = (node, plain) => {
  const x = plain.value(node.inputs[0] as string);
  plain.bind(node.outputs[0] as string, plain.op('Mul', [x, hardSigmoid(plain, x)]));
};

/** dy · (g + [0 < g < 1] · x ÷ 6); g is computed again, which costs less than keeping it would take memory. */
export const lowerHardSwishGradient: Lower<'hard-swish-gradient'> = (node, plain) => {
  const [dy, x] = node.inputs as [string, string];
  const gate = hardSigmoid(plain, plain.value(x));
  const rise = plain.op('Mul', [plain.op('Mul', [plain.value(x), plain.scalar(1 / 6)]), isInside(plain, gate, 1)]);
  multiplyByGradient(dy, plain.op('Add', [gate, rise]), node.outputs[0] as string, plain);
};

/** dy · (y − y²) */
export const lowerSigmoidGradient: Lower<'sigmoid-gradient'> = (node, plain) => {
  const [dy, y] = node.inputs as [string, string];
  const slope = plain.op('Sub', [plain.value(y), plain.op('Mul', [plain.value(y), plain.value(y)])]);
  multiplyByGradient(dy, slope, node.outputs[0] as string, plain);
};

function multiplyByGradient(dy: string, factor: string, dx: string, plain: PlainGraph): void {
  if (!plain.isPerPlane(dy)) return plain.bind(dx, plain.op('Mul', [factor, plain.value(dy)]));
  const [batch, channels, height, width] = plain.shape(dx) as [number, number, number, number];
  const planes = plain.view(factor, [channels, batch, height * width]);
  plain.bind(dx, plain.view(plain.op('Mul', [planes, plain.planes(dy)]), plain.extents(dx)));
}

/** The mask is fed channel-first; a mask per example is broadcast. */
export const lowerDrop: Lower<'drop-training'> = (node, plain) => {
  const [x, mask] = node.inputs as [string, string];
  const [y] = node.outputs as [string];
  const shape = plain.shape(x);
  const sameShape = plain.shape(mask).every((extent, axis) => extent === shape[axis]);
  if (sameShape || shape.length !== 4) return plain.bind(y, plain.op('Mul', [plain.value(x), plain.value(mask)]));
  const perExample = plain.view(plain.value(mask), [1, shape[0] as number, 1]);
  const [batch, channels, height, width] = shape as [number, number, number, number];
  const planes = plain.view(plain.value(x), [channels, batch, height * width]);
  plain.bind(y, plain.view(plain.op('Mul', [planes, perExample]), plain.extents(y)));
};

/** `[c, n, h·w]` by `[c, n, 1]` */
export const lowerGate: Lower<'gate'> = (node, plain) => {
  const [x, s] = node.inputs as [string, string];
  const [y] = node.outputs as [string];
  plain.bind(y, plain.view(plain.op('Mul', [plain.planes(x), plain.planes(s)]), plain.extents(y)));
};

/** dy · s, and Σ dy · x over each plane. */
export const lowerGateGradient: Lower<'gate-gradient'> = (node, plain) => {
  const [dy, x, s] = node.inputs as [string, string, string];
  const [dx, ds] = node.outputs as [string, string];
  const scaled = plain.op('Mul', [plain.planes(dy), plain.planes(s)]);
  if (plain.isPerPlane(dy)) plain.bindPerPlane(dx, scaled);
  else plain.bind(dx, plain.view(scaled, plain.extents(dx)));
  const product = plain.op('Mul', [plain.planes(dy), plain.planes(x)]);
  plain.bind(ds, plain.op('ReduceSum', [product, plain.ints([2])], { keepdims: 0 }));
};

/** `[c, n]` ↔ `[n, c]` */
export const lowerFlatten: Lower<'flatten' | 'flatten-gradient'> = (node, plain) => {
  const value = plain.op('Transpose', [plain.value(node.inputs[0] as string)], { perm: [1, 0] });
  plain.bind(node.outputs[0] as string, value);
};
