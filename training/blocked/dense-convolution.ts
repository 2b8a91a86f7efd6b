import { type ConvGeometry, convGeometry, type TrainingNodeOf } from '../training-graph.ts';
import { bindConvolved } from './convolved.ts';
import { blockedDomain } from './block-size.ts';
import type { BlockedGraph, ConvOptions } from './graph.ts';
import { padded } from './layout.ts';
import { inOutTiles, largestDivisor, scaledTiles, transposedWeights } from './pointwise.ts';
import { axisPhases, type Phases } from './phases.ts';

// Windows over all channels. Two things slow onnxruntime's kernel down: padding columns, whose outputs
// it makes one by one, and rows too short for the six outputs it makes at a time when a window's
// weights do not stay in the first-level cache. Where that counts, examples are laid side by side.

/** y: the window over all channels. */
export function lowerDenseConv(node: TrainingNodeOf<'conv'>, graph: BlockedGraph): void {
  const [x, weight] = node.inputs as [string, string];
  const [y] = node.outputs as [string];
  const g = convGeometry(graph.shape(x), graph.shape(weight), graph.shape(y), node.attributes);
  const [inward, out] = [graph.channels(x), graph.channels(y)];
  const kernels = graph.view(graph.blocked(weight), [out, inward, g.kernelHeight, g.kernelWidth]);
  const window = {
    batch: g.batch,
    height: g.height,
    width: g.width,
    inward,
    used: g.inChannels,
    out,
    kernel: [g.kernelHeight, g.kernelWidth],
    stride: g.stride,
    pads: g.pads,
    outExtents: [g.outHeight, g.outWidth],
  } as const;
  const value = graph.blocked(x);
  bindConvolved(node, graph, { kernels, convolve: ({ bias }) => windowed(graph, value, kernels, window, { bias }) });
}

/** y of the image as it is fed. */
export function lowerImageConv(node: TrainingNodeOf<'conv'>, graph: BlockedGraph): void {
  const [x, weight] = node.inputs as [string, string];
  const [y] = node.outputs as [string];
  const g = convGeometry(graph.shape(x), graph.shape(weight), graph.shape(y), node.attributes);
  const kernels = graph.view(graph.blocked(weight), [graph.channels(y), g.inChannels, g.kernelHeight, g.kernelWidth]);
  const size = g.outHeight * g.outWidth * graph.block;
  const strides = [g.stride, g.stride];
  bindConvolved(node, graph, {
    kernels,
    convolve: ({ bias }) => {
      const convolved = graph.conv(x, kernels, { bias, strides, pads: g.pads });
      return swapped(graph, convolved, [g.batch, graph.blocks(y), size]);
    },
    asFed: true,
  });
}

/**
 * dx: a window over dy. With a stride s, the pixels of dx fall into s² phases that hear of different
 * weights; all phases are made at once, as output channels, and then laid between each other.
 */
export function lowerDenseInputGradient(node: TrainingNodeOf<'conv-input-gradient'>, graph: BlockedGraph): void {
  const [dy, weight] = node.inputs as [string, string];
  const [dx] = node.outputs as [string];
  const g = convGeometry(graph.shape(dx), graph.shape(weight), graph.shape(dy), node.attributes);
  const { value, factor } = graph.product(dy);
  const [out, inward, { block }] = [graph.channels(dy), graph.channels(dx), graph];
  const phases = inputGradientPhases(g);
  const [rows, columns] = phases;
  const count = g.stride ** 2;
  const turned = transposedWeights(graph, weight, [out, inward, g.kernelHeight * g.kernelWidth], factor);
  const kernels = phaseWeights(graph, turned, [inward, out], g, phases);
  const window = {
    batch: g.batch,
    height: g.outHeight,
    width: g.outWidth,
    inward: out,
    used: g.outChannels,
    out: count * inward,
    kernel: [rows.window, columns.window],
    stride: 1,
    pads: [rows.before, columns.before, rows.after, columns.after],
    outExtents: [rows.count, columns.count],
  } as const;
  const convolved = windowed(graph, value, kernels, window, {});
  graph.bindBlocked(dx, count === 1 ? convolved : interleaved(graph, convolved, inward / block, g, phases));
}

/** Phases of rows and of columns. */
export function inputGradientPhases(g: ConvGeometry): readonly [Phases, Phases] {
  const { stride } = g;
  return [
    axisPhases({ stride, kernel: g.kernelHeight, before: g.pads[0], extent: g.height, outExtent: g.outHeight }),
    axisPhases({ stride, kernel: g.kernelWidth, before: g.pads[1], extent: g.width, outExtent: g.outWidth }),
  ];
}

/**
 * Weights `[i/B, o/B, k, Bo, Bi]` as kernels `[phase, i/B, o/B, window, Bo, Bi]`; a phase has 0 where the
 * window is larger than what it hears of.
 */
function phaseWeights(
  graph: BlockedGraph,
  weights: string,
  [inward, out]: readonly [number, number],
  g: ConvGeometry,
  [rows, columns]: readonly [Phases, Phases],
): string {
  const { block } = graph;
  const tile = block * block;
  const taps = g.kernelHeight * g.kernelWidth;
  const tiles = (inward / block) * (out / block);
  const order = rows.taps.flatMap((ofRow) =>
    columns.taps.flatMap((ofColumn) =>
      ofRow.flatMap((i) => ofColumn.map((j) => (i === undefined || j === undefined ? taps : i * g.kernelWidth + j))),
    ),
  );
  const extents = [g.stride ** 2 * inward, out, rows.window, columns.window];
  if (order.length === taps && order.every((tap, index) => tap === index)) return graph.view(weights, extents);
  let source = graph.view(weights, [tiles, taps, tile]);
  if (order.includes(taps)) source = graph.op('Pad', [source, graph.ints([0, 0, 0, 0, 1, 0])]);
  const gathered = graph.op('Gather', [source, graph.ints(order)], { axis: 1 });
  if (g.stride === 1) return graph.view(gathered, extents);
  const window = rows.window * columns.window;
  const split = graph.view(gathered, [inward / block, out / block, g.stride ** 2, window * tile]);
  return graph.view(graph.op('Transpose', [split], { perm: [2, 0, 1, 3] }), extents);
}

/** Phases `[s, s, i/B, n, h ÷ s, w ÷ s, B]` laid between each other. */
function interleaved(
  graph: BlockedGraph,
  value: string,
  blocks: number,
  g: ConvGeometry,
  [rows, columns]: readonly [Phases, Phases],
): string {
  const { stride, batch } = g;
  const split = graph.view(value, [stride, stride, blocks * batch, rows.count, columns.count, graph.block]);
  const pixels = graph.op('Transpose', [split], { perm: [2, 3, 0, 4, 1, 5] });
  const [height, width] = [rows.count * stride, columns.count * stride];
  if (height === g.height && width === g.width) return pixels;
  const image = graph.view(pixels, [blocks * batch, height, width * graph.block]);
  const ends = graph.ints([g.height, g.width * graph.block]);
  return graph.op('Slice', [image, graph.ints([0, 0]), ends, graph.ints([1, 2])]);
}

/**
 * dw of a blocked x: columns of its image are pixels times B. Where half of the last block is padding, x is
 * cut into half blocks, of which the last is left out: no work is done on it.
 */
export function lowerDenseWeightGradient(node: TrainingNodeOf<'conv-weight-gradient'>, graph: BlockedGraph): void {
  const [x, dy] = node.inputs as [string, string];
  const [dw] = node.outputs as [string];
  const g = convGeometry(graph.shape(x), graph.shape(dw), graph.shape(dy), node.attributes);
  const counts = [graph.blocks(x), graph.blocks(dy), g.kernelHeight * g.kernelWidth] as const;
  const half = graph.block / 2;
  const isHalfEmpty = graph.channels(x) - g.inChannels >= half;
  const { tiles, factor } = isHalfEmpty
    ? correlated(graph, halfBlocks(graph, x), 2 * graph.blocks(x) - 1, half, dy, g)
    : correlated(graph, graph.blocked(x), graph.blocks(x), graph.block, dy, g);
  const whole = isHalfEmpty ? joinedHalves(graph, tiles, counts) : inOutTiles(graph, tiles, counts);
  graph.bindBlocked(dw, scaledTiles(graph, whole, counts, factor));
}

/** `[c/B, m, B]` → `[c/H, m, H]` with H = B ÷ 2, less the last, which is padding. */
function halfBlocks(graph: BlockedGraph, x: string): string {
  const [blocks, half] = [graph.blocks(x), graph.block / 2];
  const [batch, , height, width] = graph.shape(x) as [number, number, number, number];
  const size = batch * height * width;
  const halves = graph.view(swapped(graph, graph.blocked(x), [size, 2, half], blocks), [2 * blocks, size * half]);
  return graph.op('Slice', [halves, graph.ints([0]), graph.ints([2 * blocks - 1]), graph.ints([0])]);
}

/** `[i/H less one, o/B, k, H, Bo]` → `[o/B, i/B, k, Bi, Bo]` */
function joinedHalves(
  graph: BlockedGraph,
  tiles: string,
  [inBlocks, outBlocks, taps]: readonly [number, number, number],
): string {
  const size = (graph.block * graph.block) / 2;
  const rows = graph.view(tiles, [2 * inBlocks - 1, outBlocks * taps * size]);
  const all = graph.op('Pad', [rows, graph.ints([0, 0, 1, 0])]);
  const halves = graph.view(all, [inBlocks, 2, outBlocks, taps, size]);
  return graph.op('Transpose', [halves], { perm: [2, 0, 3, 1, 4] });
}

/** dw of the image as it is fed. */
export function lowerImageWeightGradient(node: TrainingNodeOf<'conv-weight-gradient'>, graph: BlockedGraph): void {
  const [x, dy] = node.inputs as [string, string];
  const [dw] = node.outputs as [string];
  const g = convGeometry(graph.shape(x), graph.shape(dw), graph.shape(dy), node.attributes);
  const planes = swapped(graph, x, [g.batch, g.inChannels, g.height * g.width]);
  const { tiles, factor } = correlated(graph, planes, g.inChannels, 1, dy, g);
  const [outBlocks, { block }] = [graph.blocks(dy), graph];
  const taps = g.kernelHeight * g.kernelWidth;
  let weights = swapped(graph, tiles, [g.inChannels, outBlocks, taps * block]);
  if (factor !== undefined) {
    const rows = graph.view(weights, [outBlocks, g.inChannels * taps, block]);
    weights = graph.op('Mul', [rows, graph.view(factor, [outBlocks, 1, block])]);
  }
  graph.bindBlocked(dw, weights);
}

/** A convolution over `[i/B, n, h, w, B]`; extents in pixels, channels padded. */
interface Window {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly inward: number;
  /** Of these, the channels that are not padding. */
  readonly used: number;
  readonly out: number;
  readonly kernel: readonly [number, number];
  readonly stride: number;
  readonly pads: readonly [number, number, number, number];
  readonly outExtents: readonly [number, number];
}

/** Bytes of weights that stay in a core's first-level cache beside the rest. */
const cachedWeightBytes = 40_000;
/** Blocks of output channels that onnxruntime makes together. */
const blocksTogether = 4;

/** y `[o/B, n, oh, ow, B]` */
function windowed(graph: BlockedGraph, x: string, weights: string, window: Window, options: ConvOptions): string {
  const { kernel, out, stride, width } = window;
  const { block } = graph;
  const weightBytes = 4 * kernel[0] * kernel[1] * block ** 2 * Math.min(blocksTogether, out / block);
  const isSlow = weightBytes > cachedWeightBytes || width < 6;
  const isWindow = kernel[0] * kernel[1] > 1;
  return (stride === 1 && isSlow && isWindow ? sideBySide : oneByOne)(graph, x, weights, window, options);
}

/** Every example by itself: `[n, c, h, w]`. */
function oneByOne(graph: BlockedGraph, x: string, weights: string, window: Window, options: ConvOptions): string {
  const { batch, height, width, inward, out, stride, pads, outExtents } = window;
  const { block } = graph;
  const examples = swapped(graph, x, [inward / block, batch, height * width * block]);
  const image = graph.view(examples, [batch, inward, height, width]);
  const convolved = ofUsed(graph, image, weights, window, { ...options, strides: [stride, stride], pads });
  return swapped(graph, convolved, [batch, out / block, outExtents[0] * outExtents[1] * block]);
}

/** All examples as one image `[1, c, h, w · n]` whose neighbours stand n columns apart; no padding but rows. */
function sideBySide(graph: BlockedGraph, x: string, weights: string, window: Window, options: ConvOptions): string {
  const { batch, height, width, inward, out, pads, outExtents } = window;
  const { block } = graph;
  const [top, left, bottom, right] = pads;
  const pixels = swapped(graph, x, [batch, height * width, block], inward / block);
  const wide = paddedColumns(graph, pixels, [(inward / block) * height, width, batch * block], [left, right]);
  const image = graph.view(wide, [1, inward, height, (left + width + right) * batch]);
  const placed = { ...options, dilations: [1, batch], pads: [top, 0, bottom, 0] };
  const convolved = ofUsed(graph, image, weights, window, placed);
  return swapped(graph, convolved, [outExtents[0] * outExtents[1], batch, block], out / block);
}

/**
 * A convolution of a blocked image. A last block that is at least half padding is done apart, as an image of
 * channels that are not in blocks: no work is done on padding.
 */
function ofUsed(
  graph: BlockedGraph,
  image: string,
  weights: string,
  { inward, used, out, kernel }: Window,
  options: ConvOptions,
): string {
  const { block } = graph;
  if (inward - used < block / 2) return graph.conv(image, weights, options);
  const whole = inward - block;
  const rest = used - whole;
  const [inBlocks, outBlocks, taps] = [inward / block, out / block, kernel[0] * kernel[1]];
  const cut = (value: string, axes: readonly number[], from: readonly number[], to: readonly number[]): string =>
    graph.op('Slice', [value, graph.ints(from), graph.ints(to), graph.ints(axes)]);

  const tiles = graph.view(weights, [outBlocks, inBlocks, taps, block, block]);
  const last = cut(tiles, [1, 3], [inBlocks - 1, 0], [inBlocks, rest]);
  const ofRest = swapped(graph, last, [taps, rest, block], outBlocks);
  const plain = graph.op('ReorderOutput', [cut(image, [1], [whole], [inward])], { channels: rest }, blockedDomain);
  const kernels = graph.view(ofRest, [out, rest, ...kernel]);
  if (whole === 0) return graph.conv(plain, kernels, options);

  const { bias, activation, plus, ...placed } = options;
  const ofWhole = graph.view(cut(tiles, [1], [0], [inBlocks - 1]), [out, whole, ...kernel]);
  const sum = graph.conv(cut(image, [1], [0], [whole]), ofWhole, { ...placed, plus });
  return graph.conv(plain, kernels, { ...placed, bias, activation, plus: sum });
}

/** `[…, first, second, size]` → `[…, second, first, size]` */
function swapped(
  graph: BlockedGraph,
  value: string,
  [first, second, size]: readonly [number, number, number],
  count = 1,
): string {
  if (first === 1 || second === 1) return value;
  return graph.op('Transpose', [graph.view(value, [count, first, second, size])], { perm: [0, 2, 1, 3] });
}

/** `[rows, columns, size]` with columns of zeros on both sides. */
function paddedColumns(
  graph: BlockedGraph,
  value: string,
  [rows, columns, size]: readonly [number, number, number],
  [left, right]: readonly [number, number],
): string {
  if (left + right === 0) return value;
  return graph.op('Pad', [graph.view(value, [rows, columns * size]), graph.ints([0, left * size, 0, right * size])]);
}

/**
 * x `[count, n, h, w · inner]` correlated with dy, as `[count, o/B, kh, kw · inner, B]`. One convolution
 * whose input channels are a part of the batch and whose groups are the parts: dy is the kernel,
 * dilated by the stride.
 */
function correlated(
  graph: BlockedGraph,
  x: string,
  count: number,
  inner: number,
  dy: string,
  g: ConvGeometry,
): { readonly tiles: string; readonly factor: string | undefined } {
  const { block } = graph;
  const { value, factor } = graph.product(dy);
  // The kernels take fewer than B channels of an image, or whole blocks of them in groups.
  const batch = g.batch < block ? g.batch : padded(g.batch, block);
  const examples = largestDivisor(batch, block - 1);
  const parts = batch / examples;
  const out = graph.channels(dy);
  const size = g.outHeight * g.outWidth * block;
  const whole = withExamples(graph, value, [out / block, g.batch, size], batch);
  const kernels = graph.view(swapped(graph, whole, [out / block, parts, examples * size]), [
    parts * out,
    examples,
    g.outHeight,
    g.outWidth,
  ]);
  const [top, left, bottom, right] = g.pads;
  const wide = paddedColumns(graph, x, [count * g.batch * g.height, g.width, inner], [left, right]);
  const width = (left + g.width + right) * inner;
  const images = withExamples(graph, wide, [count, g.batch, g.height * width], batch);
  const sums = graph.conv(graph.view(images, [count, batch, g.height, width]), kernels, {
    group: parts,
    dilations: [g.stride, g.stride * inner],
    pads: [top, 0, bottom, 0],
  });
  const [rows, columns] = correlationExtents(g);
  const extents = [count, parts, out / block, rows, columns * inner * block];
  const total = graph.op('ReduceSum', [graph.view(sums, extents), graph.ints([1])], { keepdims: 0 });
  if (rows === g.kernelHeight && columns === g.kernelWidth) return { tiles: total, factor };
  const ends = graph.ints([g.kernelHeight, g.kernelWidth * inner * block]);
  return { tiles: graph.op('Slice', [total, graph.ints([0, 0]), ends, graph.ints([2, 3])]), factor };
}

/** Rows and columns that correlating x with dy gives: the kernel's, and those the stride stepped past. */
export function correlationExtents(g: ConvGeometry): readonly [number, number] {
  return [
    g.height + g.pads[0] + g.pads[2] - (g.outHeight - 1) * g.stride,
    g.width + g.pads[1] + g.pads[3] - (g.outWidth - 1) * g.stride,
  ];
}

/** `[count, n, size]` with examples of zeros up to `batch`. */
function withExamples(
  graph: BlockedGraph,
  value: string,
  [count, examples, size]: readonly [number, number, number],
  batch: number,
): string {
  if (examples === batch) return value;
  return graph.op('Pad', [graph.view(value, [count, examples, size]), graph.ints([0, 0, 0, 0, batch - examples, 0])]);
}
