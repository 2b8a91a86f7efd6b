// oxlint-disable-next-line import/no-unassigned-import -- registers the kernels
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import type { Graph, GraphNode, OperatorAttributes, Pads, TensorType, WindowAttributes } from '../../models/graph.ts';
import { trains } from '../../training/training-graph.ts';

// Graphs in TensorFlow.js: another team's kernels and automatic differentiation, in another layout,
// `[batch, height, width, channels]`. Where it lacks an operator (groups, gradients of dilated
// convolutions, padding by the side, space to depth) that is composed of operators it has, and not in
// the way the lowerings compose theirs. Slow: about an image a second at 32 pixels.

/** Inputs, masks (`<drop>.mask`) and parameters by name, in the graph's own layout. */
export type Values = ReadonlyMap<string, ArrayLike<number>>;

// Spares every run a notice that recommends another package.
tf.env().set('IS_TEST', true);
await tf.setBackend('cpu');

/** The graph's outputs in training mode: batch statistics and the masks given. */
export function tfjsForward(graph: Graph, values: Values): Map<string, Float32Array> {
  return scoped(() => {
    const known = forward(graph, feed(graph, values));
    const outputs = graph.outputs.map((name) => [name, known.get(name) as tf.Tensor] as const);
    return new Map(
      outputs.map(([name, value]) => [name, read(value.rank === 4 ? tf.transpose(value, [0, 3, 1, 2]) : value)]),
    );
  });
}

/** Mean cross-entropy of the first output in training mode, and its gradient by every trainable parameter. */
export async function tfjsGradients(
  graph: Graph,
  values: Values,
  loss: {
    /** Distributions over the classes, one row an example, end to end. */
    readonly targets: ArrayLike<number>;
    readonly labelSmoothing: number;
  },
): Promise<{ loss: number; gradients: Map<string, Float32Array> }> {
  // Takes seconds, which those who only run forward are spared.
  await import('@tensorflow/tfjs-core/dist/register_all_gradients.js');
  return scoped(() => {
    const fed = feed(graph, values);
    const names = graph.parameters.filter(trains).map(({ name }) => name);
    const lossOf = (...parameters: tf.Tensor[]): tf.Scalar => {
      const known = new Map([...fed, ...names.map((name, index) => [name, parameters[index] as tf.Tensor] as const)]);
      const logits = forward(graph, known).get(graph.outputs[0] as string) as tf.Tensor;
      const classes = logits.shape.at(-1) as number;
      const rows = logits.size / classes;
      const kept = tf.mul(tf.tensor(Float32Array.from(loss.targets), logits.shape), 1 - loss.labelSmoothing);
      const smoothed = tf.add(kept, loss.labelSmoothing / classes);
      return tf.div(tf.sum(tf.mul(smoothed, tf.logSoftmax(logits))), -rows);
    };
    const { value, grads } = tf.valueAndGrads(lossOf)(names.map((name) => fed.get(name) as tf.Tensor));
    const gradients = names.map((name, index) => [name, read(grads[index] as tf.Tensor)] as const);
    return { loss: read(value)[0] as number, gradients: new Map(gradients) };
  });
}

/** Loss of every step of SGD with momentum, by TensorFlow.js's own optimizer. @param batches one a step. */
export async function tfjsLossCurve(
  graph: Graph,
  weights: Values,
  batches: readonly { readonly values: Values; readonly targets: ArrayLike<number> }[],
  settings: { readonly learningRate: number; readonly momentum: number; readonly labelSmoothing: number },
): Promise<number[]> {
  const optimizer = tf.train.momentum(settings.learningRate, settings.momentum);
  const trained = graph.parameters.filter(trains).map(({ name, shape }) => {
    return tf.variable(tf.tensor(Float32Array.from(weights.get(name) ?? []), [...shape]), true, name);
  });
  const losses: number[] = [];
  for (const { values, targets } of batches) {
    const current = trained.map((variable) => [variable.name, read(variable)] as const);
    const { labelSmoothing } = settings;
    const { loss, gradients } = await tfjsGradients(graph, new Map([...values, ...current]), {
      targets,
      labelSmoothing,
    });
    losses.push(loss);
    const named = trained.map(({ name, shape }) => ({ name, tensor: tf.tensor(gradients.get(name) ?? [], shape) }));
    optimizer.applyGradients(named);
  }
  tf.disposeVariables();
  return losses;
}

type Known = ReadonlyMap<string, tf.Tensor>;

/** Frees every tensor that `compute` made. */
function scoped<Result>(compute: () => Result): Result {
  tf.engine().startScope();
  try {
    return compute();
  } finally {
    tf.engine().endScope();
  }
}

const read = (tensor: tf.Tensor): Float32Array => tensor.dataSync<'float32'>();

/** Tensors of all that is given; parameters stay as they are. */
function feed(graph: Graph, values: Values): Known {
  const extentsOf = (name: string): number[] => {
    const { shape } = graph.tensors.get(name) as TensorType;
    return shape.slice(1) as number[];
  };
  const fed = new Map<string, tf.Tensor>();
  for (const { name } of graph.inputs) {
    const data = values.get(name);
    if (data) fed.set(name, channelsLast(data, extentsOf(name)));
  }
  for (const { name, shape } of graph.parameters) {
    const data = values.get(name);
    if (data) fed.set(name, tf.tensor(Float32Array.from(data), [...shape]));
  }
  for (const node of graph.nodes) {
    const data = values.get(`${node.name}.mask`);
    if (node.op !== 'drop' || !data) continue;
    const extents = extentsOf(node.inputs[0] as string);
    const isPerExample = node.attributes.unit === 'example';
    fed.set(`${node.name}.mask`, channelsLast(data, isPerExample ? extents.map(() => 1) : extents));
  }
  return fed;
}

/** `[batch, …extents]` with the channels of maps moved to the end. */
function channelsLast(data: ArrayLike<number>, extents: readonly number[]): tf.Tensor {
  const batch = data.length / extents.reduce((product, extent) => product * extent, 1);
  const tensor = tf.tensor(Float32Array.from(data), [batch, ...extents]);
  return extents.length === 3 ? tf.transpose(tensor, [0, 2, 3, 1]) : tensor;
}

/** Every tensor of the graph, in training mode. */
function forward(graph: Graph, fed: Known): Known {
  const known = new Map(fed);
  const get = (name: string): tf.Tensor => {
    const tensor = known.get(name);
    if (!tensor) throw new Error(`expected a value of ${name}, got none`);
    return tensor;
  };
  for (const node of graph.nodes) known.set(node.outputs[0] as string, apply(node, get));
  return known;
}

function apply(node: GraphNode, get: (name: string) => tf.Tensor): tf.Tensor {
  const input = (index: number): tf.Tensor => get(node.inputs[index] as string);
  const x = input(0) as tf.Tensor4D;
  switch (node.op) {
    case 'conv': {
      const convolved = convolution(x, input(1) as tf.Tensor4D, node.attributes);
      return node.inputs.length === 3 ? tf.add(convolved, input(2)) : convolved;
    }
    case 'batch-norm': {
      const { mean, variance } = tf.moments(x, [0, 1, 2]);
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
      return tf.mul(x, hardSigmoid(x));
    case 'sigmoid':
      return tf.sigmoid(x);
    case 'hard-sigmoid':
      return hardSigmoid(x);
    case 'max-pool':
      return tf.maxPool(pad(x, node.attributes.pads, -1e30), node.attributes.kernel, node.attributes.stride, 'valid');
    case 'average-pool':
      return averagePool(x, node.attributes);
    case 'global-average-pool':
      return tf.mean(x, [1, 2], true);
    case 'concat':
      return tf.concat(
        node.inputs.map((name) => get(name)),
        3,
      );
    case 'space-to-depth': {
      const [batch, height, width, channels] = x.shape;
      const { block } = node.attributes;
      const blocks = tf.reshape(x, [batch, height / block, block, width / block, block, channels]);
      const together = tf.transpose(blocks, [0, 1, 3, 2, 4, 5]);
      return tf.reshape(together, [batch, height / block, width / block, block * block * channels]);
    }
    case 'add':
      return tf.add(x, input(1));
    case 'gate':
      return tf.mul(x, input(1));
    case 'flatten':
      return tf.squeeze(x, [1, 2]);
    case 'dense': {
      const rows = tf.reshape(x as tf.Tensor, [-1, x.shape.at(-1) as number]);
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
      return attention(x as tf.Tensor, input(1), input(2), node.attributes.heads);
    case 'drop':
      return tf.mul(x, get(`${node.name}.mask`));
    default:
      return node satisfies never;
  }
}

/** Head by head, each a slice of the width; what may not be seen is left out of the sum by a 0 after the exponential. */
function attention(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, heads: number): tf.Tensor {
  const [batch, positions, width] = q.shape as [number, number, number];
  const size = width / heads;
  const sees = Float32Array.from({ length: positions ** 2 }, (_, index) =>
    index % positions <= Math.floor(index / positions) ? 1 : 0,
  );
  const parts = Array.from({ length: heads }, (_, head) => {
    const [a, b, c] = [q, k, v].map((x) => tf.slice(x, [0, 0, head * size], [batch, positions, size])) as [
      tf.Tensor,
      tf.Tensor,
      tf.Tensor,
    ];
    const weights = tf.mul(
      tf.exp(tf.div(tf.matMul(a, b, false, true), Math.sqrt(size))),
      tf.tensor(sees, [1, positions, positions]),
    );
    return tf.matMul(tf.div(weights, tf.sum(weights, -1, true)), c);
  });
  return tf.concat(parts, 2);
}

const hardSigmoid = (x: tf.Tensor): tf.Tensor => tf.div(tf.relu6(tf.add(x, 3)), 6);

function pad(x: tf.Tensor4D, [top, left, bottom, right]: Pads, value = 0): tf.Tensor4D {
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
function averagePool(x: tf.Tensor4D, { kernel, stride, pads }: WindowAttributes): tf.Tensor {
  const mean = (values: tf.Tensor4D): tf.Tensor => tf.avgPool(pad(values, pads), kernel, stride, 'valid');
  return tf.div(mean(x), mean(tf.onesLike(x)));
}

/** Weights `[o, i ÷ groups, kh, kw]`: one convolution a group, but depthwise ones by their own kernel. */
function convolution(
  x: tf.Tensor4D,
  weight: tf.Tensor4D,
  { stride, pads, groups, dilation }: OperatorAttributes['conv'],
): tf.Tensor4D {
  const padded = pad(x, pads);
  const filter = dilate(tf.transpose(weight, [2, 3, 1, 0]), dilation);
  const [kernelHeight, kernelWidth, , outChannels] = filter.shape;
  const channels = x.shape[3];
  if (groups === 1) return tf.conv2d(padded, filter, stride, 'valid');
  if (groups === channels) {
    const depthwise = tf.reshape(filter, [kernelHeight, kernelWidth, channels, outChannels / channels]);
    return tf.depthwiseConv2d(padded, depthwise as tf.Tensor4D, stride, 'valid');
  }
  const images = tf.split<tf.Tensor4D>(padded, groups, 3);
  const filters = tf.split<tf.Tensor4D>(filter, groups, 3);
  return tf.concat4d(
    images.map((image, group) => tf.conv2d(image, filters[group] as tf.Tensor4D, stride, 'valid')),
    3,
  );
}

/** Zeros between the taps of `[kh, kw, i, o]`: TensorFlow.js does not differentiate dilated convolutions. */
function dilate(filter: tf.Tensor4D, dilation: number): tf.Tensor4D {
  const [height, width, inChannels, outChannels] = filter.shape;
  const taps = tf.reshape(filter, [height, 1, width, 1, inChannels, outChannels]);
  const gap = [0, dilation - 1] as [number, number];
  const none = [0, 0] as [number, number];
  const spread = tf.pad(taps, [none, gap, none, gap, none, none]);
  const whole = tf.reshape(spread, [height * dilation, width * dilation, inChannels, outChannels]);
  const span = [(height - 1) * dilation + 1, (width - 1) * dilation + 1];
  return tf.slice(whole, [0, 0, 0, 0], [...span, inChannels, outChannels]) as tf.Tensor4D;
}
