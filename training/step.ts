import { digestBytes, shortDigest } from '../core/digest.ts';
import type { OnnxModel, OnnxNode, OnnxValue } from '../models/onnx.ts';
import type { PullBack } from './differentiate.ts';
import type { FlatParameters } from './flat-parameters.ts';
import type { Lowering } from './lowering.ts';
import { OnnxBuilder } from './onnx-builder.ts';
import { lowerUpdate, type OptimizerSettings, optimizerSlots, updateScalars } from './optimizer.ts';
import type { PlainGraph } from './plain/graph.ts';
import { plainLowering } from './plain/lower.ts';
import { stepNames } from './step-names.ts';
import type { TrainingGraph } from './training-graph.ts';

/** A lowered graph and how its flat parameter vector is laid out. */
export interface LoweredStep {
  readonly model: OnnxModel;
  readonly flat: FlatParameters;
}

/**
 * One training step as an ONNX model. Inputs: the task's, the masks, the flat `parameters`, the optimizer's slots
 * and scalars. Outputs: updated parameters and slots, `loss.value`, `loss.correct`, and `gradient-norm` where the
 * settings clip.
 */
export function lowerTrainingStep(
  graph: TrainingGraph,
  settings: OptimizerSettings,
  lowering: Lowering = plainLowering,
): LoweredStep {
  const { plain, inputs } = lowering.lower(graph);
  const { flat } = plain;
  const update = updateOutputs(settings, flat, concatGradients(graph, plain), plain);
  const model = finish(plain, {
    inputs: [...inputs, ...updateInputs(settings, flat)],
    outputs: [...update, ...lossOutputs(graph, plain)],
  });
  return { model, flat };
}

/**
 * The first part of a training step for batches too large to be run at once: runs one micro-batch and adds its
 * gradients to the vector `gradients` given. Outputs: `gradients.updated`, `loss.value`, `loss.correct`.
 */
export function lowerAccumulation(graph: TrainingGraph, lowering: Lowering = plainLowering): LoweredStep {
  const { plain, inputs } = lowering.lower(graph);
  const { flat } = plain;
  const value = plain.op('Add', [stepNames.gradients, concatGradients(graph, plain)]);
  const model = finish(plain, {
    inputs: [...inputs, vector(stepNames.gradients, flat)],
    outputs: [
      { name: stepNames.updated(stepNames.gradients), value, shape: [flat.length] },
      ...lossOutputs(graph, plain),
    ],
  });
  return { model, flat };
}

/**
 * Its second part: moves `parameters` by the mean of the micro-batches' gradients, given as their sum `gradients`.
 * Other inputs and outputs are those of the whole step.
 */
export function lowerMeanUpdate(settings: OptimizerSettings, flat: FlatParameters, microBatches: number): OnnxModel {
  const builder = new OnnxBuilder();
  builder.enter('mean');
  const mean = builder.op('Mul', [stepNames.gradients, builder.scalar(1 / microBatches)]);
  const { parameters, gradients } = stepNames;
  return finish(builder, {
    inputs: [vector(parameters, flat), vector(gradients, flat), ...updateInputs(settings, flat)],
    outputs: updateOutputs(settings, flat, mean, builder),
  });
}

/** Loss and the flat vector `gradients`, without an update: for tests and for other optimizers. */
export function lowerGradients(graph: TrainingGraph, lowering: Lowering = plainLowering): LoweredStep {
  const { plain, inputs } = lowering.lower(graph);
  const value = concatGradients(graph, plain);
  const model = finish(plain, {
    inputs,
    outputs: [{ name: stepNames.gradients, value, shape: [plain.flat.length] }, ...lossOutputs(graph, plain)],
  });
  return { model, flat: plain.flat };
}

/** The flat vector `gradients` of a pull-back alone. */
export function lowerPullBack({ graph, gradients }: PullBack, lowering: Lowering = plainLowering): LoweredStep {
  const { plain, inputs } = lowering.lower(graph);
  plain.enter('gradients');
  const value = plain.joinGradients(gradients);
  const model = finish(plain, { inputs, outputs: [{ name: stepNames.gradients, value, shape: [plain.flat.length] }] });
  return { model, flat: plain.flat };
}

/** The flat vector `statistics`: of every batch norm in order its batch means, then its batch variances. */
export function lowerStatistics(graph: TrainingGraph, lowering: Lowering = plainLowering): LoweredStep {
  const { plain, inputs } = lowering.lower(graph);
  plain.enter('statistics');
  const columns = graph.statistics.flatMap(({ mean, variance, channels }) =>
    [mean, variance].map((tensor) => plain.view(plain.value(tensor), [channels])),
  );
  const value = plain.op('Concat', columns, { axis: 0 });
  const length = graph.statistics.reduce((sum, { channels }) => sum + 2 * channels, 0);
  const model = finish(plain, { inputs, outputs: [{ name: stepNames.statistics, value, shape: [length] }] });
  return { model, flat: plain.flat };
}

const scalar = (name: string): OnnxValue => ({ name, dtype: 'float32', shape: [] });
const vector = (name: string, { length }: FlatParameters): OnnxValue => ({ name, dtype: 'float32', shape: [length] });

function updateInputs(settings: OptimizerSettings, flat: FlatParameters): OnnxValue[] {
  const scalars = Object.keys(updateScalars(settings, { learningRate: 0, update: 1 }));
  return [...optimizerSlots[settings.optimizer].map(({ name }) => vector(name, flat)), ...scalars.map(scalar)];
}

function updateOutputs(
  settings: OptimizerSettings,
  flat: FlatParameters,
  gradients: string,
  builder: OnnxBuilder,
): Output[] {
  const { moved, gradientNorm } = lowerUpdate(settings, flat, { parameters: stepNames.parameters, gradients }, builder);
  return [
    ...Object.entries(moved).map(([name, value]) => {
      return { name: stepNames.updated(name), value, shape: [flat.length] };
    }),
    ...(gradientNorm === undefined ? [] : [{ name: stepNames.gradientNorm, value: gradientNorm, shape: [] }]),
  ];
}

function concatGradients(graph: TrainingGraph, plain: PlainGraph): string {
  const { gradients } = lossOf(graph);
  plain.enter('gradients');
  return plain.joinGradients(gradients);
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

/** What the outputs need. Names the outputs, by renaming the values, and the whole by its content. */
export function finish(
  builder: OnnxBuilder,
  { inputs, outputs }: { inputs: readonly OnnxValue[]; outputs: readonly Output[] },
): OnnxModel {
  const names = new Map(outputs.map(({ name, value }) => [value, name]));
  const rename = (values: readonly string[]): string[] => values.map((value) => names.get(value) ?? value);
  const needed = new Set(names.keys());
  // onnxruntime orders nodes itself, depth first from the outputs, and of a node's inputs it follows the
  // one whose maker stands *last* in the file first. Written backwards, nodes run about as they were
  // made; written forwards, all gradients of weights wait for the end with what they are made of, which
  // takes a fifth more memory and 5 % more time.
  const nodes = builder.nodes.toReversed().flatMap((node): OnnxNode[] => {
    if (!node.outputs.some((output) => needed.has(output))) return [];
    for (const input of node.inputs) needed.add(input);
    return [{ ...node, inputs: rename(node.inputs), outputs: rename(node.outputs) }];
  });
  // Not `digestJson`, and nothing that follows from the rest: thousands of nodes must be ready in milliseconds.
  const essence = nodes.map(({ opType, inputs: read, outputs: made, attributes }) => [opType, read, made, attributes]);
  const digest = digestBytes(JSON.stringify([essence, inputs]));
  return {
    name: `ridgepoint-training-${shortDigest(digest)}`,
    inputs,
    outputs: outputs.map(({ name, shape }) => ({ name, dtype: 'float32', shape })),
    nodes,
    initializers: builder.initializers.filter(({ name }) => needed.has(name)),
    opsets: builder.opsets,
  };
}
