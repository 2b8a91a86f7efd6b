import { elements, type Graph, type GraphNode, type TensorType } from '../models/graph.ts';
import { applyRule } from './gradients/rules.ts';
import type { GradientContext } from './gradients/rule.ts';
import {
  type BatchStatistics,
  type MaskInput,
  type TrainingGraph,
  TrainingGraphBuilder,
  type TrainingNode,
  trains,
} from './training-graph.ts';

/** The loss at the graph's first output. */
export interface Loss {
  readonly kind: 'softmax-cross-entropy';
  readonly labelSmoothing: number;
  /** Name of the target distributions, float32, of the logits' extents; rows along the last axis sum to 1. */
  readonly targets: string;
}

/**
 * The training step of a graph: forward in training mode, loss, and the gradient of every trainable
 * parameter by reverse-mode differentiation; gradients of a tensor used twice are summed.
 * @throws {RangeError} while the batch is symbolic.
 */
export function differentiate(graph: Graph, loss: Loss): TrainingGraph {
  const forward = trainingForward(graph, true);
  const { builder } = forward;
  const logits = graph.outputs[0] as string;
  const targets: TensorType = { name: loss.targets, dtype: 'float32', shape: builder.shape(logits) };
  builder.declare(targets);
  const [value, correct, dLogits] = builder.add(
    'softmax-cross-entropy',
    'loss',
    [logits, loss.targets],
    { labelSmoothing: loss.labelSmoothing },
    { loss: [], correct: [], [`${logits}.gradient`]: builder.shape(logits) },
  ) as [string, string, string];
  const gradients = backward(graph, builder, {
    tensor: logits,
    gradient: dLogits,
    forward: builder.nodes.slice(0, -1),
  });
  const parameters = graph.parameters.filter(trains);
  const ofParameters = new Map(parameters.map(({ name }) => [name, gradients.get(name) as string]));
  return {
    inputs: [...graph.inputs, targets],
    masks: forward.masks,
    parameters,
    nodes: builder.nodes,
    tensors: builder.tensors,
    statistics: forward.statistics,
    loss: { targets: loss.targets, value, correct, gradients: ofParameters },
  };
}

/** The gradient of Σ first output · cotangents, for scores of a network that are no losses. */
export interface PullBack {
  /** Takes the graph's inputs and the cotangents. */
  readonly graph: TrainingGraph;
  /** Gradient tensor of each trainable parameter, by the parameter's name. */
  readonly gradients: ReadonlyMap<string, string>;
}

/**
 * Reverse-mode differentiation from given cotangents of the graph's first output, in training mode.
 * @param cotangents name of their input, float32 of that output's shape.
 * @throws {RangeError} while the batch is symbolic. @throws {Error} when the output does not depend on some parameter.
 */
export function pullBack(graph: Graph, cotangents: string): PullBack {
  const { builder, masks, statistics } = trainingForward(graph, true);
  const output = graph.outputs[0] as string;
  const fed: TensorType = { name: cotangents, dtype: 'float32', shape: builder.shape(output) };
  builder.declare(fed);
  const found = backward(graph, builder, { tensor: output, gradient: cotangents, forward: [...builder.nodes] });
  const parameters = graph.parameters.filter(trains);
  const gradients = parameters.map(({ name }): [string, string] => {
    const gradient = found.get(name);
    if (gradient === undefined)
      throw new Error(`expected ${output} to depend on ${name}, got a parameter that is unused`);
    return [name, gradient];
  });
  const { nodes, tensors } = builder;
  const inputs = [...graph.inputs, fed];
  return { graph: { inputs, masks, parameters, nodes, tensors, statistics }, gradients: new Map(gradients) };
}

/** The forward pass alone with batch statistics and nothing dropped: for re-estimating running statistics. */
export function statisticsGraph(graph: Graph): TrainingGraph {
  const { builder, masks, statistics } = trainingForward(graph, false);
  const { nodes, tensors } = builder;
  return { inputs: graph.inputs, masks, parameters: graph.parameters.filter(trains), nodes, tensors, statistics };
}

interface Forward {
  readonly builder: TrainingGraphBuilder;
  readonly masks: MaskInput[];
  readonly statistics: BatchStatistics[];
}

/** Forward nodes in training mode. @param drops whether `drop` applies its mask or is the identity. */
function trainingForward(graph: Graph, drops: boolean): Forward {
  const builder = new TrainingGraphBuilder();
  const masks: MaskInput[] = [];
  const statistics: BatchStatistics[] = [];
  const aliases = new Map<string, string>();
  for (const tensor of [...graph.inputs, ...graph.parameters]) builder.declare(tensor);

  for (const original of graph.nodes) {
    const node = { ...original, inputs: original.inputs.map((name) => aliases.get(name) ?? name) } as GraphNode;
    const [x] = node.inputs as [string];
    const [y] = node.outputs as [string];
    if (node.op === 'batch-norm') statistics.push(addBatchNorm(builder, node));
    else if (node.op === 'silu')
      builder.add('silu-training', node.name, [x], {}, { [y]: builder.shape(x), [`${y}.gate`]: builder.shape(x) });
    else if (node.op === 'layer-norm') addLayerNorm(builder, node);
    else if (node.op === 'causal-attention') addAttention(builder, node);
    else if (node.op !== 'drop') builder.copy(node, graph.tensors);
    else if (!drops) aliases.set(y, x);
    else masks.push(addDrop(builder, node));
  }
  return { builder, masks, statistics };
}

function addBatchNorm(builder: TrainingGraphBuilder, node: Extract<GraphNode, { op: 'batch-norm' }>): BatchStatistics {
  const [x, scale, shift, runningMean, runningVariance] = node.inputs as [string, string, string, string, string];
  const [y] = node.outputs as [string];
  const shape = builder.shape(x);
  const perChannel = builder.shape(scale);
  const channels = perChannel[0] as number;
  const mean = `${node.name}.batch-mean`;
  const variance = `${node.name}.batch-variance`;
  builder.add(
    'batch-norm-training',
    node.name,
    [x, scale, shift],
    { epsilon: node.attributes.epsilon },
    {
      [y]: shape,
      [mean]: perChannel,
      [`${node.name}.inverse-deviation`]: perChannel,
      [variance]: perChannel,
    },
  );
  return { mean, variance, runningMean, runningVariance, channels, count: elements(shape) / channels };
}

function addLayerNorm(builder: TrainingGraphBuilder, node: Extract<GraphNode, { op: 'layer-norm' }>): void {
  const shape = builder.shape(node.inputs[0] as string);
  const y = node.outputs[0] as string;
  builder.add('layer-norm-training', node.name, node.inputs, node.attributes, {
    [y]: shape,
    [`${y}.normalised`]: shape,
    [`${y}.inverse-deviation`]: [...shape.slice(0, -1), 1],
  });
}

function addAttention(builder: TrainingGraphBuilder, node: Extract<GraphNode, { op: 'causal-attention' }>): void {
  const shape = builder.shape(node.inputs[0] as string);
  const [batch, positions] = shape as [number, number];
  const y = node.outputs[0] as string;
  builder.add('causal-attention-training', node.name, node.inputs, node.attributes, {
    [y]: shape,
    [`${y}.shares`]: [batch, node.attributes.heads, positions, positions],
  });
}

function addDrop(builder: TrainingGraphBuilder, node: Extract<GraphNode, { op: 'drop' }>): MaskInput {
  const [x] = node.inputs as [string];
  const shape = builder.shape(x);
  const { rate, unit } = node.attributes;
  const maskShape = unit === 'element' ? shape : shape.map((extent, axis) => (axis === 0 ? extent : 1));
  const name = `${node.name}.mask`;
  builder.declare({ name, dtype: 'float32', shape: maskShape });
  builder.add('drop-training', node.name, [x, name], {}, { [node.outputs[0] as string]: shape });
  return { name, shape: maskShape, rate };
}

/** Where reverse mode begins: a tensor with its gradient, and the nodes that led to it. */
interface Seed {
  readonly tensor: string;
  readonly gradient: string;
  readonly forward: readonly TrainingNode[];
}

/** @returns the gradient tensor of every tensor that has one. */
function backward(graph: Graph, builder: TrainingGraphBuilder, seed: Seed): Map<string, string> {
  const { forward } = seed;
  const wanted = new Set(graph.parameters.filter(trains).map(({ name }) => name));
  for (const node of forward)
    if (node.inputs.some((input) => wanted.has(input))) for (const output of node.outputs) wanted.add(output);

  const emitMany: GradientContext['emitMany'] = (op, name, inputs, attributes, outputs) =>
    builder.add(op, name, inputs, attributes, outputs);
  const context: GradientContext = {
    shape: (tensor) => builder.shape(tensor),
    wants: (tensor) => wanted.has(tensor),
    emit: (op, name, inputs, attributes, shape) =>
      emitMany(op, name, inputs, attributes, { [name]: shape })[0] as string,
    emitMany,
  };

  const gradients = new Map([[seed.tensor, seed.gradient]]);
  const uses = new Map<string, number>();
  const accumulate = (tensor: string, gradient: string): void => {
    const earlier = gradients.get(tensor);
    const use = (uses.get(tensor) ?? 0) + 1;
    uses.set(tensor, use);
    const total = `${tensor}.gradient${use}`;
    const sum = () => context.emit('add', total, [earlier as string, gradient], {}, builder.shape(tensor));
    gradients.set(tensor, earlier === undefined ? gradient : sum());
  };

  for (const node of forward.toReversed()) {
    const gradient = gradients.get(node.outputs[0] as string);
    if (gradient === undefined) continue;
    const inputGradients = applyRule(node, gradient, context);
    node.inputs.forEach((input, index) => {
      const inputGradient = inputGradients[index];
      if (inputGradient !== undefined && wanted.has(input)) accumulate(input, inputGradient);
    });
  }
  return gradients;
}
