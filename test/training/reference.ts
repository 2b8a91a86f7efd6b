import type { Graph, GraphNode, OperatorAttributes, WindowAttributes } from '../../models/graph.ts';

/** A tensor in double precision. */
export interface Tensor64 {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}
/** Inputs, masks and parameters by name. */
export type Values64 = ReadonlyMap<string, Tensor64>;

/** Labels and what the loss needs beside the graph. */
export interface ReferenceLoss {
  readonly labels: readonly number[];
  readonly classes: number;
  readonly labelSmoothing: number;
}

const size = (shape: readonly number[]): number => shape.reduce((product, extent) => product * extent, 1);
const map = ({ shape, data }: Tensor64, f: (value: number, index: number) => number): Tensor64 => ({
  shape,
  data: data.map(f),
});
const at = (tensor: Tensor64, index: number): number => tensor.data[index] as number;

/**
 * Training-mode forward pass and loss, by plain loops in double precision: slow, and independent of
 * every lowering. @param values inputs, masks (`<drop>.mask`) and parameters by name.
 */
export function referenceLoss(graph: Graph, values: Values64, loss: ReferenceLoss): number {
  return crossEntropy(referenceForward(graph, values).get(graph.outputs[0] as string) as Tensor64, loss);
}

/** Every tensor of the graph in training mode. */
export function referenceForward(graph: Graph, values: Values64): Map<string, Tensor64> {
  return forward(graph, graph.nodes, values);
}

/** What is known, and what `nodes` make of it. */
function forward(graph: Graph, nodes: readonly GraphNode[], values: Values64): Map<string, Tensor64> {
  const known = new Map(values);
  for (const node of nodes) {
    const inputs = node.inputs.map((name) => known.get(name) as Tensor64);
    const shape = graph.tensors.get(node.outputs[0] as string)?.shape as readonly number[];
    known.set(node.outputs[0] as string, forwardNode(node, inputs, shape, known));
  }
  return known;
}

/** The nodes whose output depends on a tensor, in their order. */
function dependents(graph: Graph, name: string): readonly GraphNode[] {
  const changed = new Set([name]);
  return graph.nodes.filter((node) => {
    const depends = changed.has(`${node.name}.mask`) || node.inputs.some((input) => changed.has(input));
    if (depends) changed.add(node.outputs[0] as string);
    return depends;
  });
}

/** Where the slope of an operator jumps. */
export const kinks = { relu: [0], relu6: [0, 6], 'hard-swish': [-3, 3], 'hard-sigmoid': [-3, 3] } as const;

/**
 * Smallest distance, over all nodes, of an input to a kink of its operator; of a max-pool, between the
 * two largest values of a window. Values exactly equal are clipped ones, which stay equal.
 */
export function kinkDistance(graph: Graph, values: Values64): number {
  const known = referenceForward(graph, values);
  const distances = graph.nodes.flatMap((node): number[] => {
    const x = known.get(node.inputs[0] as string) as Tensor64;
    if (node.op in kinks) {
      const places = kinks[node.op as keyof typeof kinks];
      return Array.from(x.data, (value) => Math.min(...places.map((place) => Math.abs(value - place))));
    }
    if (node.op !== 'max-pool') return [];
    const { shape } = known.get(node.outputs[0] as string) as Tensor64;
    return windows(x, shape, node.attributes).map((window) => {
      const [largest, second = Number.NEGATIVE_INFINITY] = window.toSorted((a, b) => b - a) as [number, number?];
      return largest === second ? Number.POSITIVE_INFINITY : largest - second;
    });
  });
  return distances.reduce((least, distance) => Math.min(least, distance), Number.POSITIVE_INFINITY);
}

function forwardNode(node: GraphNode, inputs: Tensor64[], shape: readonly number[], known: Values64): Tensor64 {
  const [x, second, third] = inputs as [Tensor64, Tensor64, Tensor64];
  switch (node.op) {
    case 'conv':
      return convolution(x, second, third, shape, node.attributes);
    case 'batch-norm':
      return batchNorm(x, second, third, node.attributes.epsilon);
    case 'relu':
      return map(x, (value) => Math.max(0, value));
    case 'relu6':
      return map(x, (value) => Math.min(Math.max(0, value), 6));
    case 'silu':
      return map(x, (value) => value / (1 + Math.exp(-value)));
    case 'hard-swish':
      return map(x, (value) => (value * Math.min(Math.max(0, value + 3), 6)) / 6);
    case 'sigmoid':
      return map(x, (value) => 1 / (1 + Math.exp(-value)));
    case 'hard-sigmoid':
      return map(x, (value) => Math.min(Math.max(0, value + 3), 6) / 6);
    case 'max-pool':
      return pool(x, shape, node.attributes, (window) => Math.max(...window));
    case 'average-pool':
      return pool(x, shape, node.attributes, (window) => window.reduce((a, b) => a + b, 0) / window.length);
    case 'concat':
      return concat(inputs, shape);
    case 'space-to-depth':
      return spaceToDepth(x, shape, node.attributes.block);
    case 'global-average-pool': {
      const plane = size(x.shape.slice(2));
      const mean = (index: number) =>
        x.data.subarray(index * plane, (index + 1) * plane).reduce((a, b) => a + b, 0) / plane;
      return { shape, data: Float64Array.from({ length: size(shape) }, (_, index) => mean(index)) };
    }
    case 'add':
      return map(x, (value, index) => value + at(second, index));
    case 'gate': {
      const plane = size(x.shape.slice(2));
      return map(x, (value, index) => value * at(second, Math.floor(index / plane)));
    }
    case 'flatten':
      return { shape, data: x.data };
    case 'dense':
      return dense(x, second, third, shape, node.attributes.transposed ?? false);
    case 'embedding': {
      const width = shape.at(-1) as number;
      const value = (index: number) => at(second, at(x, Math.floor(index / width)) * width + (index % width));
      return { shape, data: Float64Array.from({ length: size(shape) }, (_, index) => value(index)) };
    }
    case 'add-positions':
      return map(x, (value, index) => value + at(second, index % second.data.length));
    case 'layer-norm':
      return layerNorm(x, second, third, node.attributes);
    case 'gelu':
      return map(x, (value) => value * normalDistribution(value));
    case 'multiply':
      return map(x, (value, index) => value * at(second, index));
    case 'causal-attention':
      return attention(x, second, third, node.attributes.heads);
    case 'drop': {
      const mask = known.get(`${node.name}.mask`) as Tensor64;
      const each = x.data.length / mask.data.length;
      return map(x, (value, index) => value * at(mask, Math.floor(index / each)));
    }
    default:
      return node satisfies never;
  }
}

function convolution(
  x: Tensor64,
  weight: Tensor64,
  bias: Tensor64 | undefined,
  shape: readonly number[],
  { stride, pads, groups, dilation }: OperatorAttributes['conv'],
): Tensor64 {
  const [, channels, height, width] = x.shape as [number, number, number, number];
  const [outChannels, perGroup, kh, kw] = weight.shape as [number, number, number, number];
  const [batch, , outHeight, outWidth] = shape as [number, number, number, number];
  const [top, left] = pads;
  const data = new Float64Array(size(shape));
  let index = 0;
  for (let n = 0; n < batch; n++)
    for (let o = 0; o < outChannels; o++) {
      const firstChannel = Math.floor(o / (outChannels / groups)) * perGroup;
      for (let r = 0; r < outHeight; r++)
        for (let s = 0; s < outWidth; s++) {
          let sum = bias ? at(bias, o) : 0;
          for (let c = 0; c < perGroup; c++)
            for (let i = 0; i < kh; i++) {
              const row = r * stride + i * dilation - top;
              if (row < 0 || row >= height) continue;
              for (let j = 0; j < kw; j++) {
                const column = s * stride + j * dilation - left;
                if (column < 0 || column >= width) continue;
                const from = ((n * channels + firstChannel + c) * height + row) * width + column;
                sum += at(x, from) * at(weight, ((o * perGroup + c) * kh + i) * kw + j);
              }
            }
          data[index++] = sum;
        }
    }
  return { shape, data };
}

/** Values of every window of `[n, c, h, w]` that are not padding, in row-major order. */
export function windows(x: Tensor64, shape: readonly number[], { kernel, stride, pads }: WindowAttributes): number[][] {
  const [, , height, width] = x.shape as [number, number, number, number];
  const [batch, channels, outHeight, outWidth] = shape as [number, number, number, number];
  const [top, left] = pads;
  const found: number[][] = [];
  for (let plane = 0; plane < batch * channels; plane++)
    for (let r = 0; r < outHeight; r++)
      for (let s = 0; s < outWidth; s++) {
        const window: number[] = [];
        for (let row = r * stride - top; row < r * stride - top + kernel; row++)
          for (let column = s * stride - left; column < s * stride - left + kernel; column++)
            if (row >= 0 && row < height && column >= 0 && column < width)
              window.push(at(x, (plane * height + row) * width + column));
        found.push(window);
      }
  return found;
}

function pool(
  x: Tensor64,
  shape: readonly number[],
  attributes: WindowAttributes,
  reduce: (window: readonly number[]) => number,
): Tensor64 {
  return { shape, data: Float64Array.from(windows(x, shape, attributes), reduce) };
}

function concat(inputs: readonly Tensor64[], shape: readonly number[]): Tensor64 {
  const [batch] = shape as [number];
  const rows = Array.from({ length: batch }, (_, n) =>
    inputs.flatMap(({ data }) => [...data.subarray((n * data.length) / batch, ((n + 1) * data.length) / batch)]),
  );
  return { shape, data: Float64Array.from(rows.flat()) };
}

function spaceToDepth(x: Tensor64, shape: readonly number[], block: number): Tensor64 {
  const [batch, channels, height, width] = x.shape as [number, number, number, number];
  const [, outChannels, outHeight, outWidth] = shape as [number, number, number, number];
  const data = new Float64Array(size(shape));
  for (let n = 0; n < batch; n++)
    for (let k = 0; k < channels; k++)
      for (let row = 0; row < height; row++)
        for (let column = 0; column < width; column++) {
          const channel = ((row % block) * block + (column % block)) * channels + k;
          const [r, s] = [Math.floor(row / block), Math.floor(column / block)];
          const to = ((n * outChannels + channel) * outHeight + r) * outWidth + s;
          data[to] = at(x, ((n * channels + k) * height + row) * width + column);
        }
  return { shape, data };
}

function batchNorm(x: Tensor64, scale: Tensor64, shift: Tensor64, epsilon: number): Tensor64 {
  const { means, variances, channelOf } = batchStatistics(x);
  return map(x, (value, index) => {
    const c = channelOf(index);
    const normalised = (value - (means[c] as number)) / Math.sqrt((variances[c] as number) + epsilon);
    return normalised * at(scale, c) + at(shift, c);
  });
}

/** Mean and biased variance per channel of `[n, c, h, w]`. */
export function batchStatistics(x: Tensor64) {
  const channels = x.shape[1] as number;
  const plane = size(x.shape.slice(2));
  const count = x.data.length / channels;
  const channelOf = (index: number) => Math.floor(index / plane) % channels;
  const means = new Float64Array(channels);
  x.data.forEach((value, index) => (means[channelOf(index)] = (means[channelOf(index)] as number) + value / count));
  const variances = new Float64Array(channels);
  x.data.forEach((value, index) => {
    const c = channelOf(index);
    variances[c] = (variances[c] as number) + (value - (means[c] as number)) ** 2 / count;
  });
  return { means, variances, channelOf, count };
}

function dense(
  x: Tensor64,
  weight: Tensor64,
  bias: Tensor64 | undefined,
  shape: readonly number[],
  transposed: boolean,
): Tensor64 {
  const inputs = x.shape.at(-1) as number;
  const outputs = shape.at(-1) as number;
  const data = Float64Array.from({ length: size(shape) }, (_, index) => {
    const [row, column] = [Math.floor(index / outputs), index % outputs];
    let sum = bias ? at(bias, column) : 0;
    for (let i = 0; i < inputs; i++)
      sum += at(x, row * inputs + i) * at(weight, transposed ? column * inputs + i : i * outputs + column);
    return sum;
  });
  return { shape, data };
}

function layerNorm(
  x: Tensor64,
  scale: Tensor64,
  shift: Tensor64 | undefined,
  { epsilon, centred }: OperatorAttributes['layer-norm'],
): Tensor64 {
  const width = scale.data.length;
  const rows = Array.from({ length: x.data.length / width }, (_, row) => {
    const values = x.data.subarray(row * width, (row + 1) * width);
    const mean = centred ? values.reduce((sum, value) => sum + value, 0) / width : 0;
    const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
    return { mean, deviation: Math.sqrt(square + epsilon) };
  });
  return map(x, (value, index) => {
    const { mean, deviation } = rows[Math.floor(index / width)] as { mean: number; deviation: number };
    return ((value - mean) / deviation) * at(scale, index % width) + (shift ? at(shift, index % width) : 0);
  });
}

/** Φ by its Taylor series at 0, which converges everywhere: Φ(x) = ½ + φ(x) · Σ x^(2k+1) ÷ (1 · 3 · … · (2k + 1)). */
function normalDistribution(x: number): number {
  let [term, sum] = [x, x];
  for (let k = 1; Math.abs(term) > 1e-18; k++) {
    term *= (x * x) / (2 * k + 1);
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

/** One query at a time over the positions it sees. */
function attention(q: Tensor64, k: Tensor64, v: Tensor64, heads: number): Tensor64 {
  const [batch, positions, width] = q.shape as [number, number, number];
  const part = width / heads;
  const data = new Float64Array(q.data.length);
  for (let n = 0; n < batch; n++)
    for (let head = 0; head < heads; head++)
      for (let position = 0; position < positions; position++) {
        const offset = (place: number): number => (n * positions + place) * width + head * part;
        const weights = Array.from({ length: position + 1 }, (_, seen) => {
          let product = 0;
          for (let i = 0; i < part; i++) product += at(q, offset(position) + i) * at(k, offset(seen) + i);
          return Math.exp(product / Math.sqrt(part));
        });
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let i = 0; i < part; i++)
          data[offset(position) + i] = weights.reduce(
            (sum, weight, seen) => sum + (weight / total) * at(v, offset(seen) + i),
            0,
          );
      }
  return { shape: q.shape, data };
}

function crossEntropy({ shape, data }: Tensor64, { labels, labelSmoothing }: ReferenceLoss): number {
  const classes = shape.at(-1) as number;
  const rows = data.length / classes;
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const logits = data.subarray(row * classes, (row + 1) * classes);
    const logSum = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    logits.forEach((logit, index) => {
      const target = (index === labels[row] ? 1 - labelSmoothing : 0) + labelSmoothing / classes;
      total -= target * (logit - logSum);
    });
  }
  return total / rows;
}

/** Gradient of the reference loss by one tensor, by central differences in double precision. */
export function referenceGradient(graph: Graph, values: Values64, loss: ReferenceLoss, name: string): Float64Array {
  const tensor = values.get(name) as Tensor64;
  const step = 1e-6;
  // What does not depend on the tensor stays as it is.
  const [unchanged, nodes] = [referenceForward(graph, values), dependents(graph, name)];
  return tensor.data.map((_, index) => {
    const lossAt = (change: number): number => {
      const data = tensor.data.slice();
      data[index] = (data[index] as number) + change;
      const known = forward(graph, nodes, new Map([...unchanged, [name, { shape: tensor.shape, data }]]));
      return crossEntropy(known.get(graph.outputs[0] as string) as Tensor64, loss);
    };
    return (lossAt(step) - lossAt(-step)) / (2 * step);
  });
}
