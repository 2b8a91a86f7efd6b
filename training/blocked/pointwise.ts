import type { TrainingNodeOf } from '../training-graph.ts';
import { bindConvolved } from './convolved.ts';
import type { BlockedGraph } from './graph.ts';

/** y = w · x (+ b) at every pixel. */
export function lowerPointwise(node: TrainingNodeOf<'conv'>, graph: BlockedGraph): void {
  const [x, weight] = node.inputs as [string, string];
  const kernels = graph.view(graph.blocked(weight), [
    graph.channels(node.outputs[0] as string),
    graph.channels(x),
    1,
    1,
  ]);
  const image = graph.blocked(x);
  bindConvolved(node, graph, { kernels, convolve: (options) => graph.conv(image, kernels, options), fuses: true });
}

/** dx = wᵀ · dy */
export function lowerPointwiseInputGradient(node: TrainingNodeOf<'conv-input-gradient'>, graph: BlockedGraph): void {
  const [dy, weight] = node.inputs as [string, string];
  const [dx] = node.outputs as [string];
  const { value, factor } = graph.product(dy);
  const [out, inward] = [graph.channels(dy), graph.channels(dx)];
  const weights = graph.view(transposedWeights(graph, weight, [out, inward, 1], factor), [inward, out, 1, 1]);
  graph.bindDeferred(dx, (fusion) => graph.conv(value, weights, fusion));
}

/** dw = dy · xᵀ */
export function lowerPointwiseWeightGradient(node: TrainingNodeOf<'conv-weight-gradient'>, graph: BlockedGraph): void {
  const [x, dy] = node.inputs as [string, string];
  const { value, factor } = graph.product(dy);
  const [outBlocks, inBlocks] = [graph.blocks(dy), graph.blocks(x)];
  const products = pixelProducts(graph, graph.blocked(x), value, [x, dy]);
  const tiles = inOutTiles(graph, products, [inBlocks, outBlocks, 1]);
  graph.bindBlocked(node.outputs[0] as string, scaledTiles(graph, tiles, [inBlocks, outBlocks, 1], factor));
}

/**
 * Sums over all pixels of x · yᵀ, as `[x/B, y/B, Bx, By]`, by one convolution: every block of x is an
 * image of one pixel a row and B columns, y the kernel as high as that image. Examples stand as input
 * channels, whose sums are added up apart, which keeps the rounding of long sums down.
 * @param tensors which x and y are shaped like.
 */
export function pixelProducts(
  graph: BlockedGraph,
  x: string,
  y: string,
  [like, other]: readonly [string, string],
): string {
  const [batch, , height, width] = graph.shape(like) as [number, number, number, number];
  const { block } = graph;
  const [blocks, rows] = [graph.blocks(like), height * width];
  const examples = largestDivisor(batch, block - 1);
  const parts = batch / examples;
  // One block of y may be cut along the batch, which gives the threads more to share.
  if (graph.blocks(other) === 1 && parts > 1 && batch % block === 0) {
    const images = graph.view(x, [blocks, batch, rows, block]);
    const sums = graph.conv(images, graph.view(y, [parts * block, examples, rows, 1]), { group: parts });
    return graph.op('ReduceSum', [graph.view(sums, [blocks, parts, block ** 2]), graph.ints([1])], { keepdims: 0 });
  }
  const correlate = (images: string, count: number, kernels: string, out: number): string =>
    graph.conv(
      graph.view(images, [count, examples, parts * rows, block]),
      graph.view(kernels, [out, examples, parts * rows, 1]),
    );
  // onnxruntime shares images among threads: one block of x would leave all but one idle.
  if (blocks === 1 && graph.blocks(other) > 1) {
    const turned = graph.view(correlate(y, graph.blocks(other), x, block), [graph.blocks(other), block, block]);
    return graph.matMul(identity(graph), turned, { transB: 1 });
  }
  return correlate(x, blocks, y, graph.channels(other));
}

/** `[i/B, o/B, k, Bi, Bo]` → `[o/B, i/B, k, Bi, Bo]` */
export function inOutTiles(
  graph: BlockedGraph,
  tiles: string,
  [inBlocks, outBlocks, taps]: readonly [number, number, number],
): string {
  if (inBlocks === 1 || outBlocks === 1) return tiles;
  const chunks = graph.view(tiles, [inBlocks, outBlocks, taps * graph.block * graph.block]);
  return graph.op('Transpose', [chunks], { perm: [1, 0, 2] });
}

/** Weights `[o/B, …, Bo]` times a factor an output channel, where there is one. */
export function scaledTiles(
  graph: BlockedGraph,
  tiles: string,
  [inBlocks, outBlocks, taps]: readonly [number, number, number],
  factor: string | undefined,
): string {
  if (factor === undefined) return tiles;
  const { block } = graph;
  const rows = graph.view(tiles, [outBlocks, inBlocks * taps * block, block]);
  return graph.op('Mul', [rows, graph.view(factor, [outBlocks, 1, block])]);
}

/**
 * Weights `[o/B, i/B, k, Bi, Bo]` for the way back: `[i/B, o/B, k reversed, Bo, Bi]`, times a factor an
 * output channel. Small matrix products transpose the tiles: several times as fast as `Transpose`.
 */
export function transposedWeights(
  graph: BlockedGraph,
  weight: string,
  [out, inward, taps]: readonly [number, number, number],
  factor: string | undefined,
): string {
  const { block } = graph;
  const [outBlocks, inBlocks] = [out / block, inward / block];
  const diagonal =
    factor === undefined
      ? identity(graph)
      : graph.op('Mul', [graph.view(factor, [outBlocks, 1, 1, block, 1]), identity(graph)]);
  const tiles = graph.view(graph.blocked(weight), [outBlocks, inBlocks, taps, block, block]);
  let turned = graph.matMul(diagonal, tiles, { transB: 1 });
  if (taps > 1) turned = graph.op('Gather', [turned, reversed(graph, taps)], { axis: 2 });
  if (outBlocks === 1 || inBlocks === 1) return turned;
  return graph.op('Transpose', [turned], { perm: [1, 0, 2, 3, 4] });
}

/** `[B, B]` */
function identity(graph: BlockedGraph): string {
  const { block } = graph;
  return graph.floats('identity', [block, block], () =>
    Float32Array.from({ length: block ** 2 }, (_, index) => (index % (block + 1) === 0 ? 1 : 0)),
  );
}

/** Indices taps − 1 … 0. */
export function reversed(graph: BlockedGraph, taps: number): string {
  return graph.ints(Array.from({ length: taps }, (_, tap) => taps - 1 - tap));
}

/** The largest divisor of `n` that is at most `limit`. */
export function largestDivisor(n: number, limit: number): number {
  let divisor = Math.min(n, limit);
  while (n % divisor !== 0) divisor -= 1;
  return divisor;
}
