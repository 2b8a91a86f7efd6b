import type { TrainingNodeOf } from '../training-graph.ts';
import type { BlockedGraph } from './graph.ts';

// A norm works on x less a constant a channel that is near its mean: E[x²] − E[x]² of values far from 0
// would lose twice as many digits as the mean is powers of ten above the deviation.

/** x less a constant a channel, and the constant: that of the convolution that made it, or else its mean. */
function shifted(x: string, graph: BlockedGraph): { readonly value: string; readonly constant: string } {
  const { value, factor, offset, per } = graph.affine(x) ?? {};
  if (value !== undefined && factor === undefined && offset !== undefined && per === 'channel')
    return { value, constant: offset };
  const given = graph.blocked(x);
  const constant = graph.once(`constant of ${x}`, () => channelMeans(graph, given, x));
  return { value: graph.once(`${x} less its constant`, () => graph.less(x, constant)), constant };
}

/** Batch statistics; y = factor · x + offset is left to whoever reads it. */
export function lowerBatchNorm(node: TrainingNodeOf<'batch-norm-training'>, graph: BlockedGraph): void {
  const [x] = node.inputs as [string];
  const [y] = node.outputs as [string];
  const { value, constant } = shifted(x, graph);
  const rest = graph.once(`rest of the mean of ${x}`, () => channelMeans(graph, value, x));
  const [batch, , height, width] = graph.shape(x) as [number, number, number, number];
  const perValue = graph.scalar(1 / (batch * height * width));
  const squares = graph.op('Mul', [channelProducts(graph, value, value, x), perValue]);
  const variances = graph.op('Max', [graph.op('Sub', [squares, graph.op('Mul', [rest, rest])]), graph.scalar(0)]);
  graph.bindBlocked(node.outputs[1] as string, graph.op('Add', [rest, constant]));
  const factor = bindNormalisation(node, variances, graph);
  const offset = graph.op('Sub', [graph.blocked(node.inputs[2] as string), graph.op('Mul', [rest, factor])]);
  graph.bindAffine(y, { value, factor, offset, per: 'channel' });
}

/** Binds variance and inverse deviation and returns what normalises: scale ÷ deviation. */
export function bindNormalisation(
  node: TrainingNodeOf<'batch-norm-training'>,
  variances: string,
  graph: BlockedGraph,
): string {
  const [, , inverseDeviation, variance] = node.outputs as [string, string, string, string];
  const raised = graph.op('Add', [variances, graph.scalar(node.attributes.epsilon)]);
  graph.bindBlocked(variance, variances);
  graph.bindBlocked(inverseDeviation, graph.op('Pow', [raised, graph.scalar(-0.5)]));
  return normalisingFactor(graph, node.inputs[1] as string, inverseDeviation);
}

/** scale ÷ deviation, for both directions. */
export function normalisingFactor(graph: BlockedGraph, scale: string, inverseDeviation: string): string {
  const factor = () => graph.op('Mul', [graph.blocked(scale), graph.blocked(inverseDeviation)]);
  return graph.once(`${scale} · ${inverseDeviation}`, factor);
}

/**
 * dx = a · (dy + b · x + c) with a = scale ÷ deviation, b = −dscale ÷ (m · deviation) and
 * c = −dshift ÷ m − b · mean, of x less its constant; the factor a is left to whoever reads dx.
 */
export function lowerBatchNormGradient(node: TrainingNodeOf<'batch-norm-gradient'>, graph: BlockedGraph): void {
  const [dy, x, scale, , inverseDeviation] = node.inputs as [string, string, string, string, string];
  const [dx, dScale, dShift] = node.outputs as [string, string, string];
  const [batch, , height, width] = graph.shape(x) as [number, number, number, number];
  const count = batch * height * width;
  const { value } = shifted(x, graph);
  const means = graph.once(`rest of the mean of ${x}`, () => channelMeans(graph, value, x));
  const [gradient, inverse] = [graph.blocked(dy), graph.blocked(inverseDeviation)];
  const averages = channelMeans(graph, gradient, x);
  const sums = graph.op('Mul', [averages, graph.scalar(count)]);
  const products = channelProducts(graph, gradient, value, x);
  const projection = graph.op('Mul', [graph.op('Sub', [products, graph.op('Mul', [means, sums])]), inverse]);
  graph.bindBlocked(dScale, projection);
  graph.bindBlocked(dShift, sums);

  const a = normalisingFactor(graph, scale, inverseDeviation);
  const b = graph.op('Mul', [graph.op('Mul', [projection, inverse]), graph.scalar(-1 / count)]);
  const c = graph.op('Neg', [graph.op('Add', [averages, graph.op('Mul', [b, means])])]);
  const options = { bias: c, plus: gradient, group: graph.channels(x) };
  const ofBoth = graph.conv(value, graph.view(b, [-1, 1, 1, 1]), options);
  graph.bindAffine(dx, { value: ofBoth, factor: a, per: 'channel' });
}

/** Sum over batch and space. */
export function lowerConvBiasGradient(node: TrainingNodeOf<'conv-bias-gradient'>, graph: BlockedGraph): void {
  const [dy] = node.inputs as [string];
  const [batch, , height, width] = graph.shape(dy) as [number, number, number, number];
  const means = channelMeans(graph, graph.blocked(dy), dy);
  const sums = graph.op('Mul', [means, graph.scalar(batch * height * width)]);
  graph.bindBlocked(node.outputs[0] as string, sums);
}

/**
 * Values a channel that are added up in one go. Longer sums go over each plane and then over planes, which keeps
 * their rounding down and gives threads more to share, for three more nodes.
 */
const shortSum = 4096;

/** Means of each channel over batch and space, as a vector. */
export function channelMeans(graph: BlockedGraph, value: string, tensor: string): string {
  const [planes, channels, batch, size] = planeExtents(graph, tensor);
  if (batch * size <= shortSum) return graph.mean(graph.view(value, [1, channels, batch, size]));
  const perPlane = graph.mean(graph.view(value, [1, planes, 1, size]));
  return graph.mean(graph.view(perPlane, [1, channels, 1, batch]));
}

/** Sums of a · b of each channel over batch and space, as a vector: a as an image and b as a kernel of its size. */
function channelProducts(graph: BlockedGraph, a: string, b: string, tensor: string): string {
  const [planes, channels, batch, size] = planeExtents(graph, tensor);
  const sums = (count: number, rows: number): string => {
    const kernels = graph.view(b, [count, 1, rows, size]);
    return graph.conv(graph.view(a, [1, count, rows, size]), kernels, { group: count });
  };
  if (batch * size <= shortSum) return sums(channels, batch);
  const means = graph.mean(graph.view(sums(planes, 1), [1, channels, 1, batch]));
  return graph.op('Mul', [means, graph.scalar(batch)]);
}

function planeExtents(graph: BlockedGraph, tensor: string): readonly [number, number, number, number] {
  const [batch, , height, width] = graph.shape(tensor) as [number, number, number, number];
  const channels = graph.channels(tensor);
  return [channels * batch, channels, batch, height * width];
}
