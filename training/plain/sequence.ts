import { masked } from '../../models/lower-sequence.ts';
import type { TrainingNodeOf } from '../training-graph.ts';
import type { Lower } from './elementwise.ts';
import type { PlainGraph } from './graph.ts';

// Operators over sequences `[n, positions, width]`, which lie as they are.

/** Rows of the table by token. */
export const lowerEmbedding: Lower<'embedding'> = (node, plain) => {
  const [tokens, weight] = node.inputs as [string, string];
  const table = plain.view(plain.value(weight), plain.shape(weight));
  plain.bind(node.outputs[0] as string, plain.op('Gather', [table, plain.value(tokens)], { axis: 0 }));
};

/** One-hot tokens, transposed, by dy: a sum in one order, where adding rows one by one would depend on the threads. */
export const lowerEmbeddingGradient: Lower<'embedding-gradient'> = (node, plain) => {
  const [tokens, dy] = node.inputs as [string, string];
  const [dw] = node.outputs as [string];
  const [vocabulary, width] = plain.shape(dw) as [number, number];
  const rows = plain
    .shape(dy)
    .slice(0, -1)
    .reduce((product, extent) => product * extent, 1);
  const values = plain.floats('one-hot values', [2], () => new Float32Array([0, 1]));
  const flat = plain.view(plain.value(tokens), [rows]);
  const hot = plain.op('OneHot', [flat, plain.ints([vocabulary]), values], { axis: -1 });
  plain.bind(dw, plain.op('Gemm', [hot, plain.view(plain.value(dy), [rows, width])], { transA: 1 }));
};

export const lowerAddPositions: Lower<'add-positions'> = (node, plain) => {
  const [x, weight] = node.inputs as [string, string];
  const table = plain.view(plain.value(weight), plain.shape(weight));
  plain.bind(node.outputs[0] as string, plain.op('Add', [plain.value(x), table]));
};

export const lowerAddPositionsGradient: Lower<'add-positions-gradient'> = (node, plain) => {
  const dy = plain.value(node.inputs[0] as string);
  plain.bind(node.outputs[0] as string, plain.op('ReduceSum', [dy, plain.ints([0])], { keepdims: 0 }));
};

/** Means over the last axis. */
function meanOfRows(plain: PlainGraph, value: string): string {
  return plain.op('ReduceMean', [value], { axes: [-1], keepdims: 1 });
}

export const lowerLayerNorm: Lower<'layer-norm-training'> = (node, plain) => {
  const [x, scale, shift] = node.inputs as [string, string, string | undefined];
  const [y, normalised, inverseDeviation] = node.outputs as [string, string, string];
  const { epsilon, centred } = node.attributes;
  const value = plain.value(x);
  const moved = centred ? plain.op('Sub', [value, meanOfRows(plain, value)]) : value;
  const variance = plain.op('Add', [meanOfRows(plain, plain.op('Mul', [moved, moved])), plain.scalar(epsilon)]);
  const inverse = plain.op('Reciprocal', [plain.op('Sqrt', [variance])]);
  const unit = plain.op('Mul', [moved, inverse]);
  const scaled = plain.op('Mul', [unit, plain.value(scale)]);
  plain.bind(normalised, unit);
  plain.bind(inverseDeviation, inverse);
  plain.bind(y, shift === undefined ? scaled : plain.op('Add', [scaled, plain.value(shift)]));
};

export const lowerLayerNormGradient: Lower<'layer-norm-gradient'> = (node, plain) => {
  const [dy, scale, normalised, inverseDeviation] = node.inputs.map((input) => plain.value(input)) as [
    string,
    string,
    string,
    string,
  ];
  const [dx, dScale, dShift] = node.outputs as [string, string, string | undefined];
  const rows = plain.ints(
    plain
      .shape(dx)
      .slice(0, -1)
      .map((_, axis) => axis),
  );
  const sumOfRows = (value: string): string => plain.op('ReduceSum', [value, rows], { keepdims: 0 });
  plain.bind(dScale, sumOfRows(plain.op('Mul', [dy, normalised])));
  if (dShift !== undefined) plain.bind(dShift, sumOfRows(dy));
  const g = plain.op('Mul', [dy, scale]);
  const along = plain.op('Mul', [normalised, meanOfRows(plain, plain.op('Mul', [g, normalised]))]);
  const centred = node.attributes.centred ? plain.op('Sub', [g, meanOfRows(plain, g)]) : g;
  plain.bind(dx, plain.op('Mul', [inverseDeviation, plain.op('Sub', [centred, along])]));
};

/** Φ(x) = ½ (1 + erf(x ÷ √2)) */
function normalShare(plain: PlainGraph, x: string): string {
  const erf = plain.op('Erf', [plain.op('Mul', [x, plain.scalar(Math.SQRT1_2)])]);
  return plain.op('Mul', [plain.op('Add', [erf, plain.scalar(1)]), plain.scalar(0.5)]);
}

export const lowerGelu: Lower<'gelu'> = (node, plain) => {
  const x = plain.value(node.inputs[0] as string);
  plain.bind(node.outputs[0] as string, plain.op('Mul', [x, normalShare(plain, x)]));
};

/** dy · (Φ(x) + x · e^(−x² ÷ 2) ÷ √(2π)); Φ is computed again, which costs less than keeping it would take memory. */
export const lowerGeluGradient: Lower<'gelu-gradient'> = (node, plain) => {
  const [dy, input] = node.inputs as [string, string];
  const x = plain.value(input);
  const density = plain.op('Exp', [plain.op('Mul', [plain.op('Mul', [x, x]), plain.scalar(-0.5)])]);
  const rise = plain.op('Mul', [plain.op('Mul', [x, density]), plain.scalar(1 / Math.sqrt(2 * Math.PI))]);
  const slope = plain.op('Add', [normalShare(plain, x), rise]);
  plain.bind(node.outputs[0] as string, plain.op('Mul', [plain.value(dy), slope]));
};

export const lowerMultiply: Lower<'multiply'> = (node, plain) => {
  const factors = node.inputs.map((input) => plain.value(input));
  plain.bind(node.outputs[0] as string, plain.op('Mul', factors));
};

/** `[n, positions, width]` as `[n, heads, positions, width ÷ heads]`. */
function toHeads(plain: PlainGraph, tensor: string, heads: number): string {
  const [batch, positions, width] = plain.shape(tensor) as [number, number, number];
  return plain.once(`heads ${tensor}`, () =>
    plain.op('Transpose', [plain.view(plain.value(tensor), [batch, positions, heads, width / heads])], {
      perm: [0, 2, 1, 3],
    }),
  );
}

/** Binds `[n, heads, positions, width ÷ heads]` to a tensor `[n, positions, width]`. */
function bindHeads(plain: PlainGraph, tensor: string, value: string): void {
  plain.bind(tensor, plain.view(plain.op('Transpose', [value], { perm: [0, 2, 1, 3] }), plain.shape(tensor)));
}

/** Added to scores: 0 where a position may look, {@link masked} after it. */
function causalMask(plain: PlainGraph, positions: number): string {
  return plain.floats(`causal mask ${positions}`, [positions, positions], () =>
    Float32Array.from({ length: positions ** 2 }, (_, index) =>
      index % positions > Math.floor(index / positions) ? masked : 0,
    ),
  );
}

function scoreScale(plain: PlainGraph, q: string, heads: number): string {
  return plain.scalar(Math.sqrt(heads / (plain.shape(q)[2] as number)));
}

export const lowerAttention: Lower<'causal-attention-training'> = (node, plain) => {
  const [q, k, v] = node.inputs as [string, string, string];
  const [y, shares] = node.outputs as [string, string];
  const { heads } = node.attributes;
  const products = plain.matMul(toHeads(plain, q, heads), toHeads(plain, k, heads), { transB: 1 });
  const scores = plain.op('Mul', [products, scoreScale(plain, q, heads)]);
  const seen = plain.op('Add', [scores, causalMask(plain, plain.shape(q)[1] as number)]);
  const share = plain.op('Softmax', [seen], { axis: -1 });
  plain.bind(shares, share);
  bindHeads(plain, y, plain.matMul(share, toHeads(plain, v, heads)));
};

export function lowerAttentionGradient(node: TrainingNodeOf<'causal-attention-gradient'>, plain: PlainGraph): void {
  const [dy, q, k, v, shares] = node.inputs as [string, string, string, string, string];
  const [dq, dk, dv] = node.outputs as [string, string, string];
  const { heads } = node.attributes;
  const gradient = toHeads(plain, dy, heads);
  const share = plain.value(shares);
  bindHeads(plain, dv, plain.matMul(share, gradient, { transA: 1 }));
  const weighted = plain.op('Mul', [share, plain.matMul(gradient, toHeads(plain, v, heads), { transB: 1 })]);
  const total = plain.op('ReduceSum', [weighted, plain.ints([-1])], { keepdims: 1 });
  const dScores = plain.op('Mul', [
    plain.op('Sub', [weighted, plain.op('Mul', [share, total])]),
    scoreScale(plain, q, heads),
  ]);
  bindHeads(plain, dq, plain.matMul(dScores, toHeads(plain, k, heads)));
  bindHeads(plain, dk, plain.matMul(dScores, toHeads(plain, q, heads), { transA: 1 }));
}
