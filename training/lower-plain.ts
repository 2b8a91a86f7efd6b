import { digestJson, shortDigest } from '../core/digest.ts';
import type { OnnxModel, OnnxNode, OnnxValue } from '../models/onnx.ts';
import { type FlatParameters, flatParameters } from './flat-parameters.ts';
import { lowerBatchNorm, lowerBatchNormGradient } from './lowering/batch-norm.ts';
import {
  lowerBiasGradient,
  lowerDense,
  lowerDenseInputGradient as lowerClassifierInputGradient,
  lowerDenseWeightGradient as lowerClassifierWeightGradient,
  lowerSoftmaxCrossEntropy,
} from './lowering/dense.ts';
import {
  isPointwise,
  lowerDenseConv,
  lowerDenseInputGradient,
  lowerDenseWeightGradient,
  lowerPointwise,
  lowerPointwiseInputGradient,
  lowerPointwiseWeightGradient,
} from './lowering/dense-convolution.ts';
import { lowerDepthwise, lowerDepthwiseInputGradient, lowerDepthwiseWeightGradient } from './lowering/depthwise.ts';
import {
  lowerAdd,
  lowerDrop,
  lowerFlatten,
  lowerGate,
  lowerGateGradient,
  lowerGlobalAveragePool,
  lowerGlobalAveragePoolGradient,
  lowerReluGradient,
  lowerSigmoidGradient,
  lowerSilu,
  lowerSiluGradient,
  lowerUnary,
} from './lowering/elementwise.ts';
import { PlainGraph } from './lowering/plain-graph.ts';
import { lowerUpdate, type OptimizerSettings, slotCount } from './optimizer.ts';
import { convGeometry, type TrainingGraph, type TrainingNode, type TrainingNodeOf } from './training-graph.ts';

/** Names of the step's own inputs and outputs, beside the task's inputs and the masks. */
export const stepNames = {
  parameters: 'parameters',
  slot: (index: number): string => `slot${index}`,
  learningRate: 'learning-rate',
  step: 'step',
  loss: 'loss.value',
  correct: 'loss.correct',
  gradients: 'gradients',
  statistics: 'statistics',
  /** Name under which an updated input comes out. */
  updated: (input: string): string => `${input}.updated`,
} as const;

/** A lowered graph and how its flat parameter vector is laid out. */
export interface LoweredStep {
  readonly model: OnnxModel;
  readonly flat: FlatParameters;
}

/**
 * One training step in operators every onnxruntime has (opset 17 and `com.microsoft` contrib
 * operators). Inputs: the task's, the masks, the flat `parameters`, one vector a slot,
 * `learning-rate` and `step`. Outputs: updated parameters and slots, `loss.value`, `loss.correct`.
 */
export function lowerTrainingStep(graph: TrainingGraph, optimizer: OptimizerSettings): LoweredStep {
  const { plain, flat, inputs } = lowerNodes(graph);
  const slots = Array.from({ length: slotCount(optimizer.optimizer) }, (_, index) => stepNames.slot(index));
  const { parameters, learningRate, step } = stepNames;
  const gradients = concatGradients(graph, plain);
  const update = lowerUpdate(optimizer, flat, { parameters, gradients, slots, learningRate, step }, plain);
  const vectors: [string, string][] = [
    [stepNames.updated(parameters), update.parameters],
    ...slots.map((slot, index): [string, string] => [stepNames.updated(slot), update.slots[index] as string]),
  ];
  return finish(plain, flat, {
    inputs: [
      ...inputs,
      ...slots.map((name): OnnxValue => ({ name, dtype: 'float32', shape: [flat.length] })),
      scalar(learningRate),
      ...(optimizer.optimizer === 'adamw' ? [scalar(step)] : []),
    ],
    outputs: [...vectors.map(([name, value]) => ({ name, value, shape: [flat.length] })), ...lossOutputs(graph, plain)],
  });
}

/** Loss and the flat vector `gradients`, without an update: for tests and for other optimizers. */
export function lowerGradients(graph: TrainingGraph): LoweredStep {
  const { plain, flat, inputs } = lowerNodes(graph);
  const value = concatGradients(graph, plain);
  return finish(plain, flat, {
    inputs,
    outputs: [{ name: stepNames.gradients, value, shape: [flat.length] }, ...lossOutputs(graph, plain)],
  });
}

/** The flat vector `statistics`: of every batch norm in order its batch means, then its batch variances. */
export function lowerStatistics(graph: TrainingGraph): LoweredStep {
  const { plain, flat, inputs } = lowerNodes(graph);
  plain.enter('statistics');
  const columns = graph.statistics.flatMap(({ mean, variance, channels }) =>
    [mean, variance].map((tensor) => plain.view(plain.value(tensor), [channels])),
  );
  const value = plain.op('Concat', columns, { axis: 0 });
  const length = graph.statistics.reduce((sum, { channels }) => sum + 2 * channels, 0);
  return finish(plain, flat, { inputs, outputs: [{ name: stepNames.statistics, value, shape: [length] }] });
}

const scalar = (name: string): OnnxValue => ({ name, dtype: 'float32', shape: [] });

function lowerNodes(graph: TrainingGraph): { plain: PlainGraph; flat: FlatParameters; inputs: OnnxValue[] } {
  const plain = new PlainGraph(graph);
  const flat = flatParameters(graph.parameters);
  const inputs = [
    ...bindInputs(graph, plain),
    { name: stepNames.parameters, dtype: 'float32' as const, shape: [flat.length] },
  ];
  splitParameters(flat, plain);

  const rectified = rectifiedNorms(graph, plain);
  const fused = new Set(rectified.values());
  for (const node of graph.nodes) {
    plain.enter(node.name);
    if (node.op === 'batch-norm-training') lowerBatchNorm(node, plain, rectified.get(node.name));
    else if (node.op !== 'relu' || !fused.has(node.outputs[0] as string)) lowerNode(node, plain);
  }
  return { plain, flat, inputs };
}

/** Of every batch norm that only a ReLU reads, the ReLU's output. */
function rectifiedNorms(graph: TrainingGraph, plain: PlainGraph): Map<string, string> {
  const norms = new Map(
    graph.nodes.filter(({ op }) => op === 'batch-norm-training').map((node) => [node.outputs[0] as string, node.name]),
  );
  const pairs = graph.nodes.flatMap((node): [string, string][] => {
    const [x] = node.inputs as [string];
    const norm = node.op === 'relu' && plain.uses(x) === 1 ? norms.get(x) : undefined;
    return norm === undefined ? [] : [[norm, node.outputs[0] as string]];
  });
  return new Map(pairs);
}

/** Inputs are fed channel-first; a mask of whole examples stays as it is fed. */
function bindInputs(graph: TrainingGraph, plain: PlainGraph): OnnxValue[] {
  plain.enter('input');
  const masks = graph.masks.map(({ name, shape }) => ({ name, shape, dtype: 'float32' as const }));
  const channelMajor = (name: string): string =>
    plain.view(plain.op('Transpose', [name], { perm: [1, 0, 2, 3] }), plain.extents(name));
  for (const { name, shape } of graph.inputs) plain.bind(name, shape.length === 4 ? channelMajor(name) : name);
  for (const { name, shape } of masks) {
    const isPerExample = shape.slice(1).every((extent) => extent === 1);
    plain.bind(name, shape.length === 4 && !isPerExample ? channelMajor(name) : name);
  }
  return [...graph.inputs, ...masks].map(({ name, dtype, shape }) => ({ name, dtype, shape }));
}

/** One `Split` for all parameters; each is a vector, viewed with its extents where it is used. */
function splitParameters({ parameters, sizes }: FlatParameters, plain: PlainGraph): void {
  const outputs = parameters.map(({ name }) => name);
  const inputs = [stepNames.parameters, plain.ints(sizes)];
  plain.nodes.push({ opType: 'Split', name: 'split', inputs, outputs, attributes: { axis: { int: 0 } } });
  for (const { name } of parameters) plain.bind(name, name);
}

function concatGradients(graph: TrainingGraph, plain: PlainGraph): string {
  const { gradients } = lossOf(graph);
  plain.enter('gradients');
  const vectors = graph.parameters.map(({ name }) => plain.view(plain.value(gradients.get(name) as string), [-1]));
  return plain.op('Concat', vectors, { axis: 0 });
}

interface Output {
  readonly name: string;
  readonly value: string;
  readonly shape: readonly number[];
}

function lossOutputs(graph: TrainingGraph, plain: PlainGraph): Output[] {
  const { value, correct } = lossOf(graph);
  return [
    { name: stepNames.loss, value: plain.value(value), shape: [] },
    { name: stepNames.correct, value: plain.value(correct), shape: [] },
  ];
}

function lossOf(graph: TrainingGraph): NonNullable<TrainingGraph['loss']> {
  if (!graph.loss) throw new Error('expected a training graph with a loss, got a forward pass');
  return graph.loss;
}

/** Names the outputs, by renaming the values, and the whole by its content. */
function finish(
  plain: PlainGraph,
  flat: FlatParameters,
  { inputs, outputs }: { inputs: readonly OnnxValue[]; outputs: readonly Output[] },
): LoweredStep {
  const names = new Map(outputs.map(({ name, value }) => [value, name]));
  const rename = (values: readonly string[]): string[] => values.map((value) => names.get(value) ?? value);
  const nodes = plain.nodes.map((node): OnnxNode => ({
    ...node,
    inputs: rename(node.inputs),
    outputs: rename(node.outputs),
  }));
  const digest = digestJson({ nodes, inputs });
  const model: OnnxModel = {
    name: `ridgepoint-training-${shortDigest(digest)}`,
    inputs,
    outputs: outputs.map(({ name, shape }) => ({ name, dtype: 'float32', shape })),
    nodes,
    initializers: plain.initializers,
    opsets: { 'com.microsoft': 1 },
  };
  return { model, flat };
}

function lowerNode(node: Exclude<TrainingNode, { op: 'batch-norm-training' }>, plain: PlainGraph): void {
  switch (node.op) {
    case 'conv':
      return lowerConv(node, plain);
    case 'conv-input-gradient':
      return lowerConvInputGradient(node, plain);
    case 'conv-weight-gradient':
      return lowerConvWeightGradient(node, plain);
    case 'conv-bias-gradient':
    case 'dense-bias-gradient':
      return lowerBiasGradient(node, plain);
    case 'batch-norm-gradient':
      return lowerBatchNormGradient(node, plain);
    case 'relu':
      return lowerUnary('Relu', node, plain);
    case 'relu-gradient':
      return lowerReluGradient(node, plain);
    case 'silu-training':
      return lowerSilu(node, plain);
    case 'silu-gradient':
      return lowerSiluGradient(node, plain);
    case 'sigmoid':
      return lowerUnary('Sigmoid', node, plain);
    case 'sigmoid-gradient':
      return lowerSigmoidGradient(node, plain);
    case 'global-average-pool':
      return lowerGlobalAveragePool(node, plain);
    case 'global-average-pool-gradient':
      return lowerGlobalAveragePoolGradient(node, plain);
    case 'add':
      return lowerAdd(node, plain);
    case 'gate':
      return lowerGate(node, plain);
    case 'gate-gradient':
      return lowerGateGradient(node, plain);
    case 'flatten':
    case 'flatten-gradient':
      return lowerFlatten(node, plain);
    case 'dense':
      return lowerDense(node, plain);
    case 'dense-input-gradient':
      return lowerClassifierInputGradient(node, plain);
    case 'dense-weight-gradient':
      return lowerClassifierWeightGradient(node, plain);
    case 'drop-training':
      return lowerDrop(node, plain);
    case 'softmax-cross-entropy':
      return lowerSoftmaxCrossEntropy(node, plain);
    default:
      return node satisfies never;
  }
}

type ConvKind = 'pointwise' | 'dense' | 'depthwise';

/** @throws {RangeError} for groups that are neither one nor one a channel. */
function convKind(
  node: TrainingNodeOf<'conv' | 'conv-input-gradient' | 'conv-weight-gradient'>,
  plain: PlainGraph,
  [x, weight, y]: readonly [string, string, string],
): ConvKind {
  const g = convGeometry(plain.shape(x), plain.shape(weight), plain.shape(y), node.attributes);
  if (g.groups === 1) return isPointwise(g) ? 'pointwise' : 'dense';
  if (g.groups === g.inChannels && g.groups === g.outChannels) return 'depthwise';
  throw new RangeError(
    `${node.name}: expected 1 group or one for each of ${g.inChannels} channels in and out, got ${g.groups}`,
  );
}

function lowerConv(node: TrainingNodeOf<'conv'>, plain: PlainGraph): void {
  const [x, weight] = node.inputs as [string, string];
  const kinds = { pointwise: lowerPointwise, dense: lowerDenseConv, depthwise: lowerDepthwise };
  kinds[convKind(node, plain, [x, weight, node.outputs[0] as string])](node, plain);
}

function lowerConvInputGradient(node: TrainingNodeOf<'conv-input-gradient'>, plain: PlainGraph): void {
  const [dy, weight] = node.inputs as [string, string];
  const kinds = {
    pointwise: lowerPointwiseInputGradient,
    dense: lowerDenseInputGradient,
    depthwise: lowerDepthwiseInputGradient,
  };
  kinds[convKind(node, plain, [node.outputs[0] as string, weight, dy])](node, plain);
}

function lowerConvWeightGradient(node: TrainingNodeOf<'conv-weight-gradient'>, plain: PlainGraph): void {
  const [x, dy] = node.inputs as [string, string];
  const kinds = {
    pointwise: lowerPointwiseWeightGradient,
    dense: lowerDenseWeightGradient,
    depthwise: lowerDepthwiseWeightGradient,
  };
  kinds[convKind(node, plain, [x, node.outputs[0] as string, dy])](node, plain);
}
