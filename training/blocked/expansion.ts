import type { TrainingGraph, TrainingNode, TrainingNodeOf } from '../training-graph.ts';
import { bindNormalisation, channelMeans, normalisingFactor } from './batch-norm.ts';
import type { BlockedGraph, Fusion } from './graph.ts';
import type { ConvKind } from './kinds.ts';
import { inOutTiles, pixelProducts, transposedWeights } from './pointwise.ts';

/**
 * A 1×1 convolution h = W x that only a batch norm reads, with the nodes of its way back. Everything the
 * norm needs of h follows from the smaller x: with s the mean and C the covariance of x over batch and
 * space, h has the means W s and the variances diag(W C Wᵀ). So h is never computed, nor is its
 * gradient: the norm is folded into the weights, forward and backward.
 *
 * With x̃ = x − s, m values a channel, f = scale ÷ deviation, σ the mean of dy, R the sum of dy · x̃ᵀ and
 * q = dscale ÷ deviation: y = f W x̃ + shift, dshift = m σ, dscale = diag(R Wᵀ) ÷ deviation,
 * dW = f (R − q W C), dx = (f W)ᵀ dy − Wᵀ (f q ÷ m) W x̃ − Wᵀ f σ. These are the sums of a batch norm's
 * gradient (Ioffe & Szegedy 2015, section 3) with h replaced by W x.
 */
export interface Expansion {
  readonly conv: TrainingNodeOf<'conv'>;
  readonly norm: TrainingNodeOf<'batch-norm-training'>;
  /** Absent in a graph that only runs forward. */
  readonly normGradient?: TrainingNodeOf<'batch-norm-gradient'>;
  /** Absent where x has no gradient. */
  readonly inputGradient?: TrainingNodeOf<'conv-input-gradient'>;
  readonly weightGradient?: TrainingNodeOf<'conv-weight-gradient'>;
}

/**
 * Work on x grows with the square of its channels and saves passes over h: on a CPU with AVX-512 it
 * pays where h is this many times as wide.
 */
const worthwhileExpansion = 2;

/** Input channels whose multiply-adds take about as long as to write their result. */
const channelsOfAPass = 64;

/** All expansions of a graph, by the names of their nodes. */
export function expansions(
  graph: TrainingGraph,
  kinds: ReadonlyMap<string, ConvKind>,
  channels: (tensor: string) => number,
): ReadonlyMap<string, Expansion> {
  const readers = (tensor: string): TrainingNode[] => graph.nodes.filter(({ inputs }) => inputs.includes(tensor));
  const found = graph.nodes.flatMap((conv): [string, Expansion][] => {
    if (conv.op !== 'conv' || kinds.get(conv.inputs[1] as string) !== 'pointwise' || conv.inputs.length > 2) return [];
    const [[x], [h]] = [conv.inputs as [string], conv.outputs as [string]];
    if (channels(h) < worthwhileExpansion * channels(x)) return [];
    const [norm, normGradient, ...others] = readers(h);
    if (norm?.op !== 'batch-norm-training' || others.length > 0) return [];
    if (!normGradient) return named({ conv, norm });
    if (normGradient.op !== 'batch-norm-gradient') return [];
    const ofH = readers(normGradient.outputs[0] as string);
    const inputGradient = ofH.find((node) => node.op === 'conv-input-gradient');
    const weightGradient = ofH.find((node) => node.op === 'conv-weight-gradient');
    return named({
      conv,
      norm,
      normGradient,
      ...(inputGradient && { inputGradient }),
      ...(weightGradient && { weightGradient }),
    });
  });
  return new Map(found);
}

const named = (expansion: Expansion): [string, Expansion][] =>
  Object.values(expansion).map((node: TrainingNode) => [node.name, expansion]);

/** Lowers one node of an expansion: the norm and its gradient stand for all. */
export function lowerExpansion(node: TrainingNode, expansion: Expansion, graph: BlockedGraph): void {
  if (node === expansion.norm) lowerForward(expansion, graph);
  else if (node.op === 'batch-norm-gradient') lowerBackward(expansion, node, graph);
}

/** Values that both directions use, each made once. */
function shared({ conv }: Expansion, graph: BlockedGraph) {
  const [x, weight] = conv.inputs as [string, string];
  const [h] = conv.outputs as [string];
  const [batch, , height, width] = graph.shape(x) as [number, number, number, number];
  const { block } = graph;
  const [inward, out] = [graph.channels(x), graph.channels(h)];
  /** `[o/B, i, Bo]` */
  const weights = graph.view(graph.blocked(weight), [out / block, inward, block]);
  /** `[i]` */
  const means = graph.once(`means of ${x}`, () => channelMeans(graph, graph.blocked(x), x));
  const centred = graph.once(`${x} centred`, () => graph.less(x, means));
  /** W C, `[o/B, i, Bo]` */
  const spread = graph.once(`${weight} · covariance`, () => {
    const covariance = graph.once(`covariance of ${x}`, () => {
      const blocks = inward / block;
      const tiles = graph.view(pixelProducts(graph, centred, centred, [x, x]), [blocks, blocks, block, block]);
      const sums = blocks === 1 ? tiles : graph.op('Transpose', [tiles], { perm: [0, 2, 1, 3] });
      return graph.op('Mul', [graph.view(sums, [inward, inward]), graph.scalar(1 / (batch * height * width))]);
    });
    return graph.matMul(covariance, weights);
  });
  return { x, h, weight, count: batch * height * width, inward, out, weights, means, centred, spread };
}

/** `[o/B, i, Bo]` times one value an output channel. */
function timesOutputs(graph: BlockedGraph, weights: string, values: string): string {
  return graph.op('Mul', [weights, graph.view(values, [-1, 1, graph.block])]);
}

/** Sum over inputs of `[o/B, i, Bo]`, a vector of `out`. */
function sumOverInputs(graph: BlockedGraph, products: string, out: number): string {
  return graph.view(graph.op('ReduceSum', [products, graph.ints([1])], { keepdims: 0 }), [1, out, 1, 1]);
}

function lowerForward(expansion: Expansion, graph: BlockedGraph): void {
  const { inward, out, weights, means, centred, spread } = shared(expansion, graph);
  const { norm } = expansion;
  const variances = graph.op('Max', [sumOverInputs(graph, graph.op('Mul', [weights, spread]), out), graph.scalar(0)]);
  const ofMeans = graph.matMul(graph.view(means, [1, inward]), weights);
  graph.bindBlocked(norm.outputs[1] as string, ofMeans);
  const factor = bindNormalisation(norm, variances, graph);
  const folded = graph.view(timesOutputs(graph, weights, factor), [out, inward, 1, 1]);
  const shift = graph.blocked(norm.inputs[2] as string);
  const make = (fusion: Fusion): string => graph.conv(centred, folded, { ...fusion, bias: shift });
  graph.bindDeferred(norm.outputs[0] as string, make, { isCheap: inward <= channelsOfAPass });
}

function lowerBackward(
  expansion: Expansion,
  normGradient: TrainingNodeOf<'batch-norm-gradient'>,
  graph: BlockedGraph,
): void {
  const { inputGradient, weightGradient } = expansion;
  const { x, h, weight, count, inward, out, weights, centred, spread } = shared(expansion, graph);
  const [dy, , scale, , inverseDeviation] = normGradient.inputs as [string, string, string, string, string];
  const [, dScale, dShift] = normGradient.outputs as [string, string, string];
  const { block } = graph;
  const [gradient, inverse] = [graph.blocked(dy), graph.blocked(inverseDeviation)];
  const times = (a: string, b: string | number): string =>
    graph.op('Mul', [a, typeof b === 'number' ? graph.scalar(b) : b]);

  const averages = channelMeans(graph, gradient, h);
  const tiles = inOutTiles(graph, pixelProducts(graph, centred, gradient, [x, h]), [inward / block, out / block, 1]);
  const products = graph.view(tiles, [out / block, inward, block]);
  const projection = times(sumOverInputs(graph, times(weights, products), out), inverse);
  const share = times(projection, inverse);
  graph.bindBlocked(dShift, times(averages, count));
  graph.bindBlocked(dScale, projection);

  const factor = normalisingFactor(graph, scale, inverseDeviation);
  if (weightGradient) {
    const difference = graph.op('Sub', [products, timesOutputs(graph, spread, share)]);
    graph.bindBlocked(weightGradient.outputs[0] as string, timesOutputs(graph, difference, factor));
  }
  if (!inputGradient) return;
  const perBlock = graph.matMul(timesOutputs(graph, weights, times(times(factor, share), -1 / count)), weights, {
    transB: 1,
  });
  const square = graph.op('ReduceSum', [perBlock, graph.ints([0])], { keepdims: 0 });
  // Symmetric: its rows are its columns.
  const columns = graph.view(square, [inward, inward / block, block]);
  const kernel = graph.view(graph.op('Transpose', [columns], { perm: [1, 0, 2] }), [inward, inward, 1, 1]);
  const constants = timesOutputs(graph, weights, times(times(factor, averages), -1));
  const bias = graph.op('ReduceSum', [constants, graph.ints([0, 2])], { keepdims: 0 });
  const back = graph.view(transposedWeights(graph, weight, [out, inward, 1], factor), [inward, out, 1, 1]);
  graph.bindDeferred(inputGradient.outputs[0] as string, ({ plus, activation }) => {
    const ofDy = graph.conv(gradient, back, { plus });
    return graph.conv(centred, kernel, { bias, plus: ofDy, activation });
  });
}
