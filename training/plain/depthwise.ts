import { type ConvGeometry, convGeometry, type TrainingNodeOf } from '../training-graph.ts';
import { type Banding, forwardBanding, inputGradientBanding, selection } from './banding.ts';
import type { PlainGraph } from './graph.ts';

// Depthwise convolution as batched matrix products, one batch a channel; see banding.ts.

/** y `[c, n · blocks, blockRows · ow]` = bands of x · matrices of w (+ b). */
export function lowerDepthwise(node: TrainingNodeOf<'conv'>, plain: PlainGraph): void {
  const [x, weight, bias] = node.inputs as [string, string, string | undefined];
  const [y] = node.outputs as [string];
  const g = convGeometry(plain.shape(x), plain.shape(weight), plain.shape(y), node.attributes);
  const banding = forwardBanding(g);
  const matrices = weightMatrices(plain, weight, g, banding, 'forward');
  const product = plain.view(plain.matMul(bands(plain, plain.value(x), g, banding), matrices), plain.extents(y));
  plain.bind(y, bias ? plain.op('Add', [product, plain.view(plain.value(bias), [g.outChannels, 1])]) : product);
}

/** dx: where one block covers the plane dy · (the forward matrices)ᵀ, else bands of dy · their own matrices. */
export function lowerDepthwiseInputGradient(node: TrainingNodeOf<'conv-input-gradient'>, plain: PlainGraph): void {
  const [dy, weight] = node.inputs as [string, string];
  const [dx] = node.outputs as [string];
  const g = convGeometry(plain.shape(dx), plain.shape(weight), plain.shape(dy), node.attributes);
  const banding = inputGradientBanding(g);
  const forward = forwardBanding(g);
  const source = bands(plain, plain.value(dy), g, banding);
  const product =
    banding.blocks === 1 && forward.blocks === 1
      ? plain.matMul(source, weightMatrices(plain, weight, g, forward, 'forward'), { transB: 1 })
      : plain.matMul(source, weightMatrices(plain, weight, g, banding, 'input-gradient'));
  plain.bind(dx, plain.view(product, plain.extents(dx)));
}

/** dw: gradient of the matrices, (blocks of dy)ᵀ · bands of x, gathered along their diagonals. */
export function lowerDepthwiseWeightGradient(node: TrainingNodeOf<'conv-weight-gradient'>, plain: PlainGraph): void {
  const [x, dy] = node.inputs as [string, string];
  const [dw] = node.outputs as [string];
  const g = convGeometry(plain.shape(x), plain.shape(dw), plain.shape(dy), node.attributes);
  const banding = forwardBanding(g);
  const { blocks, blockRows, bandRows, sourceWidth, resultWidth } = banding;
  const [bandSize, blockSize] = [bandRows * sourceWidth, blockRows * resultWidth];
  const blocksOfDy = plain.view(plain.value(dy), [g.inChannels, g.batch * blocks, blockSize]);
  // The narrower operand is the transposed one: onnxruntime packs it slowly.
  const product = plain.matMul(blocksOfDy, bands(plain, plain.value(x), g, banding), { transA: 1 });
  const rows = plain.view(product, [g.inChannels, blockSize * bandSize]);
  const key = `${selectionKey(g, banding, 'forward')} transposed`;
  const transposed = plain.floats(key, [g.kernelHeight * g.kernelWidth, blockSize * bandSize], () =>
    transposeRows(selection(g, banding, 'forward'), bandSize, blockSize),
  );
  plain.bind(dw, plain.matMul(rows, transposed, { transB: 1 }));
}

/** Source `[c, n·h·w]` as `[c, n · blocks, bandRows · w]`. */
function bands(plain: PlainGraph, source: string, g: ConvGeometry, banding: Banding): string {
  const { blocks, bandRows, sourceRows, sourceWidth, start, step } = banding;
  const extents = [g.inChannels, g.batch * blocks, bandRows * sourceWidth];
  if (blocks === 1) return plain.view(source, extents);
  return plain.once(`bands ${source} ${[blocks, bandRows, start, step].join()}`, () => {
    const above = Math.max(0, -start);
    const below = Math.max(0, start + (blocks - 1) * step + bandRows - sourceRows);
    let rows = plain.view(source, [g.inChannels * g.batch, sourceRows * sourceWidth]);
    if (above + below > 0) rows = plain.op('Pad', [rows, plain.ints([0, above * sourceWidth, 0, below * sourceWidth])]);
    const planes = plain.view(rows, [g.inChannels, g.batch, sourceRows + above + below, sourceWidth]);
    const indices = Array.from({ length: blocks * bandRows }, (_, index) => {
      const block = Math.floor(index / bandRows);
      return start + above + block * step + (index % bandRows);
    });
    return plain.view(plain.op('Gather', [planes, plain.ints(indices, [blocks, bandRows])], { axis: 2 }), extents);
  });
}

/** `[c, bandRows · sourceWidth, blockRows · resultWidth]` */
function weightMatrices(
  plain: PlainGraph,
  weight: string,
  g: ConvGeometry,
  banding: Banding,
  direction: 'forward' | 'input-gradient',
): string {
  const taps = g.kernelHeight * g.kernelWidth;
  const bandSize = banding.bandRows * banding.sourceWidth;
  const blockSize = banding.blockRows * banding.resultWidth;
  const key = selectionKey(g, banding, direction);
  return plain.once(`matrices ${weight} ${key}`, () => {
    const constant = plain.floats(key, [taps, bandSize * blockSize], () => selection(g, banding, direction));
    const product = plain.matMul(plain.view(plain.value(weight), [g.outChannels, taps]), constant);
    return plain.view(product, [g.outChannels, bandSize, blockSize]);
  });
}

function selectionKey(g: ConvGeometry, banding: Banding, direction: string): string {
  const kernel = [g.kernelHeight, g.kernelWidth, g.stride, g.dilation, ...g.pads];
  return `selection ${direction} ${kernel.join()} ${Object.values(banding).join()}`;
}

/** Each row of `matrix` holds a `rows` × `columns` matrix: transposes them all. */
function transposeRows(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const size = rows * columns;
  return matrix.map((_, index) => {
    const within = index % size;
    const source = (within % rows) * columns + Math.floor(within / rows);
    return matrix[index - within + source] as number;
  });
}
