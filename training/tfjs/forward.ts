import type * as tfc from '@tensorflow/tfjs-core';
import type { Graph, GraphNode, OperatorAttributes, Pads, WindowAttributes } from '../../models/graph.ts';
import type { TensorFlow } from './load.ts';

// Graphs in TensorFlow.js, in its own layout: `[batch, height, width, channels]`. Where it lacks an operator (groups,
// gradients of dilated convolutions, padding by the side, space to depth) that is composed of operators it has.

/** Tensors by name. Pictures and their masks are channel-last, parameters as the graph has them. */
export type Known = ReadonlyMap<string, tfc.Tensor>;

/** How a graph is run. */
export interface ForwardMode {
  /** Whether `drop` applies its mask, `<name>.mask`, or is the identity. */
  readonly drops: boolean;
  /** Hears the batch statistics of every batch norm: means and biased variances by channel. */
  readonly observe?: (mean: tfc.Tensor, variance: tfc.Tensor) => void;
}

/** Every tensor of a graph, batch norms by their batch. The caller frees what is made, by a `tidy` around it. */
export function runForward(tf: TensorFlow, graph: Graph, fed: Known, mode: ForwardMode): Known {
  const known = new Map(fed);
  const get = (name: string): tfc.Tensor => {
    const tensor = known.get(name);
    if (!tensor) throw new Error(`expected a value of ${name}, got none`);
    return tensor;
  };
  for (const node of graph.nodes) known.set(node.outputs[0] as string, apply(tf, node, get, mode));
  return known;
}

/** `[batch, …]` with the channels of pictures moved to the end. */
export function channelsLast(tf: TensorFlow, tensor: tfc.Tensor): tfc.Tensor {
  return tensor.rank === 4 ? tf.transpose(tensor, [0, 2, 3, 1]) : tensor;
}

function apply(tf: TensorFlow, node: GraphNode, get: (name: string) => tfc.Tensor, mode: ForwardMode): tfc.Tensor {
  const input = (index: number): tfc.Tensor => get(node.inputs[index] as string);
  const x = input(0) as tfc.Tensor4D;
  switch (node.op) {
    case 'conv': {
      const convolved = convolution(tf, x, input(1) as tfc.Tensor4D, node.attributes);
      return node.inputs.length === 3 ? tf.add(convolved, input(2)) : convolved;
    }
    case 'batch-norm': {
      const { mean, variance } = tf.moments(x, [0, 1, 2]);
      mode.observe?.(mean, variance);
      const normalised = tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, node.attributes.epsilon)));
      return tf.add(tf.mul(normalised, input(1)), input(2));
    }
    case 'relu':
      return tf.relu(x);
    case 'relu6':
      return tf.relu6(x);
    case 'silu':
      return tf.mul(x, tf.sigmoid(x));
    case 'hard-swish':
      return tf.mul(x, hardSigmoid(tf, x));
    case 'sigmoid':
      return tf.sigmoid(x);
    case 'hard-sigmoid':
      return hardSigmoid(tf, x);
    case 'max-pool': {
      const { kernel, stride, pads } = node.attributes;
      return tf.maxPool(pad(tf, x, pads, -1e30), kernel, stride, 'valid');
    }
    case 'average-pool':
      return averagePool(tf, x, node.attributes);
    case 'global-average-pool':
      return tf.mean(x, [1, 2], true);
    case 'concat':
      return tf.concat(
        node.inputs.map((name) => get(name)),
        3,
      );
    case 'space-to-depth':
      return spaceToDepth(tf, x, node.attributes.block);
    case 'add':
      return tf.add(x, input(1));
    case 'gate':
      return tf.mul(x, input(1));
    case 'flatten':
      return tf.squeeze(x, [1, 2]);
    case 'dense': {
      const rows = tf.reshape(x as tfc.Tensor, [-1, x.shape.at(-1) as number]);
      const product = tf.matMul(rows, input(1), false, node.attributes.transposed);
      const y = tf.reshape(product, [...x.shape.slice(0, -1), product.shape[1] as number]);
      return node.inputs.length === 3 ? tf.add(y, input(2)) : y;
    }
    case 'embedding':
      return tf.gather(input(1), tf.cast(x, 'int32'));
    case 'add-positions':
      return tf.add(x, input(1));
    case 'layer-norm': {
      const moved = node.attributes.centred ? tf.sub(x, tf.mean(x, -1, true)) : x;
      const deviation = tf.sqrt(tf.add(tf.mean(tf.square(moved), -1, true), node.attributes.epsilon));
      const scaled = tf.mul(tf.div(moved, deviation), input(1));
      return node.inputs.length === 3 ? tf.add(scaled, input(2)) : scaled;
    }
    case 'gelu':
      return tf.mul(x, tf.mul(0.5, tf.add(1, tf.erf(tf.div(x, Math.SQRT2)))));
    case 'multiply':
      return tf.mul(x, input(1));
    case 'causal-attention':
      return attention(tf, { q: x, k: input(1), v: input(2) }, node.attributes.heads);
    case 'drop':
      return mode.drops ? tf.mul(x, get(`${node.name}.mask`)) : x;
    default:
      return node satisfies never;
  }
}

/** Head by head, each a slice of the width; what may not be seen is left out of the sum by a 0 after the exponential. */
function attention(
  tf: TensorFlow,
  { q, k, v }: Readonly<Record<'q' | 'k' | 'v', tfc.Tensor>>,
  heads: number,
): tfc.Tensor {
  const [batch, positions, width] = q.shape as [number, number, number];
  const size = width / heads;
  const sees = Float32Array.from({ length: positions ** 2 }, (_, index) =>
    index % positions <= Math.floor(index / positions) ? 1 : 0,
  );
  const parts = Array.from({ length: heads }, (_, head) => {
    const part = (x: tfc.Tensor): tfc.Tensor => tf.slice(x, [0, 0, head * size], [batch, positions, size]);
    const scores = tf.div(tf.matMul(part(q), part(k), false, true), Math.sqrt(size));
    // Softmax does not change by what is taken off a row; without it the exponential may overflow.
    const shifted = tf.sub(scores, tf.max(scores, -1, true));
    const weights = tf.mul(tf.exp(shifted), tf.tensor(sees, [1, positions, positions]));
    return tf.matMul(tf.div(weights, tf.sum(weights, -1, true)), part(v));
  });
  return tf.concat(parts, 2);
}

function hardSigmoid(tf: TensorFlow, x: tfc.Tensor): tfc.Tensor {
  return tf.div(tf.relu6(tf.add(x, 3)), 6);
}

function spaceToDepth(tf: TensorFlow, x: tfc.Tensor4D, block: number): tfc.Tensor {
  const [batch, height, width, channels] = x.shape;
  const blocks = tf.reshape(x, [batch, height / block, block, width / block, block, channels]);
  const together = tf.transpose(blocks, [0, 1, 3, 2, 4, 5]);
  return tf.reshape(together, [batch, height / block, width / block, block * block * channels]);
}

function pad(tf: TensorFlow, x: tfc.Tensor4D, [top, left, bottom, right]: Pads, value = 0): tfc.Tensor4D {
  if (top + left + bottom + right === 0) return x;
  return tf.pad4d(
    x,
    [
      [0, 0],
      [top, bottom],
      [left, right],
      [0, 0],
    ],
    value,
  );
}

/** Sums over windows by how many pixels of each are no padding. */
function averagePool(tf: TensorFlow, x: tfc.Tensor4D, { kernel, stride, pads }: WindowAttributes): tfc.Tensor {
  const mean = (values: tfc.Tensor4D): tfc.Tensor => tf.avgPool(pad(tf, values, pads), kernel, stride, 'valid');
  return tf.div(mean(x), mean(tf.onesLike(x)));
}

/** Weights `[o, i ÷ groups, kh, kw]`: one convolution a group, but depthwise ones by their own kernel. */
function convolution(
  tf: TensorFlow,
  x: tfc.Tensor4D,
  weight: tfc.Tensor4D,
  { stride, pads, groups, dilation }: OperatorAttributes['conv'],
): tfc.Tensor4D {
  const padded = pad(tf, x, pads);
  const filter = dilate(tf, tf.transpose(weight, [2, 3, 1, 0]), dilation);
  const [kernelHeight, kernelWidth, , outChannels] = filter.shape;
  const channels = x.shape[3];
  if (groups === 1) return tf.conv2d(padded, filter, stride, 'valid');
  if (groups === channels) {
    const depthwise = tf.reshape(filter, [kernelHeight, kernelWidth, channels, outChannels / channels]);
    return tf.depthwiseConv2d(padded, depthwise as tfc.Tensor4D, stride, 'valid');
  }
  const images = tf.split<tfc.Tensor4D>(padded, groups, 3);
  const filters = tf.split<tfc.Tensor4D>(filter, groups, 3);
  return tf.concat4d(
    images.map((image, group) => tf.conv2d(image, filters[group] as tfc.Tensor4D, stride, 'valid')),
    3,
  );
}

/** Zeros between the taps of `[kh, kw, i, o]`: TensorFlow.js does not differentiate dilated convolutions. */
function dilate(tf: TensorFlow, filter: tfc.Tensor4D, dilation: number): tfc.Tensor4D {
  if (dilation === 1) return filter;
  const [height, width, inChannels, outChannels] = filter.shape;
  const taps = tf.reshape(filter, [height, 1, width, 1, inChannels, outChannels]);
  const gap = [0, dilation - 1] as [number, number];
  const none = [0, 0] as [number, number];
  const spread = tf.pad(taps, [none, gap, none, gap, none, none]);
  const whole = tf.reshape(spread, [height * dilation, width * dilation, inChannels, outChannels]);
  const span = [(height - 1) * dilation + 1, (width - 1) * dilation + 1];
  return tf.slice(whole, [0, 0, 0, 0], [...span, inChannels, outChannels]) as tfc.Tensor4D;
}
