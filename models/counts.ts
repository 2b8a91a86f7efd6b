import { elements, type Graph, type GraphNode, type Shape, type TensorType } from './graph.ts';

/** What one group of layers costs for one example. */
export interface Count {
  /** Trainable scalars: weights, biases, norm scales and shifts (running statistics are not). */
  readonly params: number;
  /** Multiply-adds of convolutions, dense layers and attention; nothing else is counted (papers call these FLOPs). */
  readonly macs: number;
  /** Elements written by convolutions, squeeze-excite's included ("activations" of Radosavovic et al. 2020). */
  readonly activations: number;
}

/** Counts of a network; `groups` (stem, stage0 …, head, classifier) sum to the total. */
export interface NetworkCount extends Count {
  /** float32 bytes to store for inference: batch norms folded, two values a channel become one. */
  readonly weightBytes: number;
  /** Most float32 activation bytes alive at once for one example; element-wise results reuse a dying input. */
  readonly peakBytes: number;
  readonly groups: Readonly<Record<string, Count>>;
}

const nothing: Count = { params: 0, macs: 0, activations: 0 };

function plus(a: Count, b: Count): Count {
  return { params: a.params + b.params, macs: a.macs + b.macs, activations: a.activations + b.activations };
}

/** Counts a graph made by `buildNetwork`, per example whatever its batch. */
export function countGraph(graph: Graph): NetworkCount {
  const groups: Record<string, Count> = {};
  const add = (layer: string, count: Count) => {
    const group = layer.split('.')[0] as string;
    groups[group] = plus(groups[group] ?? nothing, count);
  };
  // Folded into the convolution before it.
  const folded = new Set(graph.nodes.flatMap(({ op, inputs }) => (op === 'batch-norm' ? [inputs[1]] : [])));
  let weightElements = 0;
  for (const parameter of graph.parameters) {
    const size = elements(parameter.shape);
    const trains = parameter.role !== 'running-mean' && parameter.role !== 'running-variance';
    if (trains) add(parameter.group, { ...nothing, params: size });
    if (trains && !folded.has(parameter.name)) weightElements += size;
  }
  for (const node of graph.nodes)
    if (node.op === 'conv' || node.op === 'dense' || node.op === 'causal-attention')
      add(groupOf(node, graph), { params: 0, macs: macsOf(node, graph), activations: activationsOf(node, graph) });
  return {
    ...Object.values(groups).reduce(plus, nothing),
    weightBytes: weightElements * 4,
    peakBytes: peakActivationBytes(graph),
    groups,
  };
}

function perExample(shape: Shape | undefined): number {
  return elements((shape as Shape).slice(1));
}

/** The layer that a node's work counts for: that of its weights, or the head where these are the embedding's. */
function groupOf(node: GraphNode, { parameters }: Graph): string {
  if (node.op !== 'dense') return node.name;
  const weight = parameters.find(({ name }) => name === node.inputs[1]);
  return weight === undefined || weight.role === 'embedding' ? 'head' : weight.group;
}

/**
 * Every output element of a convolution or dense layer reads each input of its filter once; of attention, every position
 * each key and each value, those it may not see included.
 */
function macsOf(node: GraphNode, graph: Graph): number {
  const { shape: outputShape } = graph.tensors.get(node.outputs[0] as string) as TensorType;
  const outputs = perExample(outputShape);
  if (node.op === 'causal-attention') return 2 * outputs * (outputShape[1] as number);
  if (node.op === 'dense')
    return outputs * (perExample(graph.tensors.get(node.inputs[0] as string)?.shape) / rows(outputShape));
  const weight = graph.tensors.get(node.inputs[1] as string)?.shape as readonly number[];
  return outputs * elements(weight.slice(1));
}

/** Rows of one example: all axes between the batch and the last. */
function rows(shape: Shape): number {
  return elements(shape.slice(1, -1));
}

function activationsOf(node: GraphNode, graph: Graph): number {
  return node.op === 'conv' ? perExample(graph.tensors.get(node.outputs[0] as string)?.shape) : 0;
}

const inPlace = new Set([
  'batch-norm',
  'relu',
  'relu6',
  'silu',
  'hard-swish',
  'sigmoid',
  'hard-sigmoid',
  'add',
  'gate',
  'flatten',
  'drop',
  'add-positions',
  'layer-norm',
  'gelu',
  'multiply',
]);

/** Scores of attention, which nothing outside sees. */
function innerBytes(node: GraphNode, graph: Graph): number {
  if (node.op !== 'causal-attention') return 0;
  const positions = graph.tensors.get(node.outputs[0] as string)?.shape[1] as number;
  return 4 * node.attributes.heads * positions ** 2;
}

/** Liveness over the nodes' order: what is alive while each runs, largest first to last. */
function peakActivationBytes(graph: Graph): number {
  const lastUse = new Map<string, number>();
  graph.nodes.forEach((node, index) => node.inputs.forEach((input) => lastUse.set(input, index)));
  for (const output of graph.outputs) lastUse.set(output, graph.nodes.length);
  const parameterNames = new Set(graph.parameters.map((parameter) => parameter.name));

  const alive = new Map<string, number>();
  for (const input of graph.inputs) alive.set(input.name, perExample(input.shape) * 4);
  let peak = 0;
  graph.nodes.forEach((node, index) => {
    const output = node.outputs[0] as string;
    const dying = node.inputs.filter((input) => !parameterNames.has(input) && lastUse.get(input) === index);
    const bytes = perExample(graph.tensors.get(output)?.shape) * 4;
    const reused = inPlace.has(node.op) ? dying.find((input) => alive.get(input) === bytes) : undefined;
    if (reused !== undefined) alive.delete(reused);
    alive.set(output, bytes);
    const total = [...alive.values()].reduce((sum, size) => sum + size, 0);
    peak = Math.max(peak, total + innerBytes(node, graph));
    for (const input of dying) alive.delete(input);
  });
  return peak;
}

/** Training FLOPs for each multiply-add of a forward pass: two a multiply-add, and the backward pass costs twice as much again. */
export const trainingFlopsPerMac = 6;
