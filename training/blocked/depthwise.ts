import { type ConvGeometry, convGeometry, type TrainingNodeOf } from '../training-graph.ts';
import { bindConvolved } from './convolved.ts';
import { correlationExtents } from './dense-convolution.ts';
import type { BlockedGraph } from './graph.ts';
import { padded } from './layout.ts';
import { reversed } from './pointwise.ts';

// The planes of all examples stand as channels of one example, `[1, c · n, h, w]`, with the weights
// repeated for every example: onnxruntime then works on one plane of B channels at a time.

/** y: every plane by its channel's kernel. */
export function lowerDepthwise(node: TrainingNodeOf<'conv'>, graph: BlockedGraph): void {
  const [x, weight] = node.inputs as [string, string];
  const g = convGeometry(graph.shape(x), graph.shape(weight), graph.shape(node.outputs[0] as string), node.attributes);
  const channels = graph.channels(x);
  const group = channels * g.batch;
  const value = graph.blocked(x);
  bindConvolved(node, graph, {
    kernels: graph.view(graph.blocked(weight), [channels, 1, g.kernelHeight, g.kernelWidth]),
    group: channels,
    convolve: ({ bias, ...fusion }) => {
      const image = graph.view(value, [1, group, g.height, g.width]);
      const kernels = repeatedKernels(graph, tapsOf(graph, weight, g), g);
      const biases = bias && repeated(graph, graph.view(bias, [graph.blocks(x), 1, 1, graph.block]), g.batch);
      const plus = fusion.plus && graph.view(fusion.plus, [1, group, g.outHeight, g.outWidth]);
      const options = { ...fusion, plus, bias: biases, group, strides: [g.stride, g.stride], pads: g.pads };
      return graph.conv(image, kernels, options);
    },
    fuses: true,
  });
}

/** Pads for the way back, where dx is a convolution of dy, spread by the stride, by the kernel turned about. */
export function inputGradientPads(g: ConvGeometry): readonly [number, number, number, number] {
  const [top, left] = [g.kernelHeight - 1 - g.pads[0], g.kernelWidth - 1 - g.pads[1]];
  const bottom = g.height + g.kernelHeight - 1 - g.outHeight * g.stride - top;
  const right = g.width + g.kernelWidth - 1 - g.outWidth * g.stride - left;
  return [top, left, bottom, right];
}

/** dx: see {@link inputGradientPads}; the geometry must ask for none below 0. */
export function lowerDepthwiseInputGradient(node: TrainingNodeOf<'conv-input-gradient'>, graph: BlockedGraph): void {
  const [dy, weight] = node.inputs as [string, string];
  const [dx] = node.outputs as [string];
  const g = convGeometry(graph.shape(dx), graph.shape(weight), graph.shape(dy), node.attributes);
  const planes = graph.channels(dx) * g.batch;
  const { value, factor } = graph.product(dy);
  const taps = g.kernelHeight * g.kernelWidth;
  let weights = tapsOf(graph, weight, g);
  if (taps > 1) weights = graph.op('Gather', [weights, reversed(graph, taps)], { axis: 2 });
  weights = scaledTaps(graph, weights, factor);
  const spread = spreadByStride(graph, value, planes, g);
  const image = graph.view(spread, [1, planes, g.outHeight * g.stride, g.outWidth * g.stride]);
  const options = { group: planes, pads: inputGradientPads(g) };
  graph.bindBlocked(dx, graph.conv(image, repeatedKernels(graph, weights, g), options));
}

/** dw: every plane of x with the plane of dy as its kernel, dilated by the stride; then the sum over examples. */
export function lowerDepthwiseWeightGradient(node: TrainingNodeOf<'conv-weight-gradient'>, graph: BlockedGraph): void {
  const [x, dy] = node.inputs as [string, string];
  const [dw] = node.outputs as [string];
  const g = convGeometry(graph.shape(x), graph.shape(dw), graph.shape(dy), node.attributes);
  const planes = graph.channels(x) * g.batch;
  const { value, factor } = graph.product(dy);
  const image = graph.view(graph.blocked(x), [1, planes, g.height, g.width]);
  const kernels = graph.view(value, [planes, 1, g.outHeight, g.outWidth]);
  const dilations = [g.stride, g.stride];
  const perExample = graph.conv(image, kernels, { group: planes, dilations, pads: g.pads });
  const [rows, columns] = correlationExtents(g);
  const taps = g.kernelHeight * g.kernelWidth;
  const [blocks, { block }] = [graph.blocks(x), graph];
  const ofAll = (extents: readonly number[]): string =>
    graph.op('ReduceSum', [graph.view(perExample, [blocks, g.batch, ...extents, block]), graph.ints([1])]);
  if (rows === g.kernelHeight && columns === g.kernelWidth)
    return graph.bindBlocked(dw, scaledTaps(graph, ofAll([taps]), factor));
  const ends = graph.ints([g.kernelHeight, g.kernelWidth]);
  const inside = graph.op('Slice', [ofAll([rows, columns]), graph.ints([0, 0]), ends, graph.ints([2, 3])]);
  graph.bindBlocked(dw, scaledTaps(graph, graph.view(inside, [blocks, 1, taps, block]), factor));
}

/** Weights as `[c/B, 1, k, B]`. */
function tapsOf(graph: BlockedGraph, weight: string, g: ConvGeometry): string {
  const taps = g.kernelHeight * g.kernelWidth;
  return graph.view(graph.blocked(weight), [padded(g.inChannels, graph.block) / graph.block, 1, taps, graph.block]);
}

/** `[c/B, 1, k, B]` times a factor a channel, where there is one. */
function scaledTaps(graph: BlockedGraph, taps: string, factor: string | undefined): string {
  if (factor === undefined) return taps;
  return graph.op('Mul', [taps, graph.view(factor, [-1, 1, 1, graph.block])]);
}

/** `[c/B, 1, k, B]` → `[c/B, n, k, B]` */
function repeated(graph: BlockedGraph, taps: string, batch: number): string {
  return graph.op('Expand', [taps, graph.ints([1, batch, 1, 1])]);
}

/** `[c/B, 1, k, B]` → `[c/B, n, k, B]` as `[c · n, 1, kh, kw]`. */
function repeatedKernels(graph: BlockedGraph, taps: string, g: ConvGeometry): string {
  const count = padded(g.inChannels, graph.block) * g.batch;
  return graph.view(repeated(graph, taps, g.batch), [count, 1, g.kernelHeight, g.kernelWidth]);
}

/** Zeros after every row and column of `[planes, oh, ow]`, so that the stride's neighbours stand that far apart. */
function spreadByStride(graph: BlockedGraph, value: string, planes: number, g: ConvGeometry): string {
  if (g.stride === 1) return value;
  const { block } = graph;
  const pixels = graph.view(value, [(planes / block) * g.outHeight, 1, g.outWidth, block]);
  const gap = g.stride - 1;
  return graph.op('Pad', [pixels, graph.ints([0, 0, 0, 0, 0, gap, 0, gap * block])]);
}
