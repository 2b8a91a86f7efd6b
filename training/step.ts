import { digestBytes, shortDigest } from '../core/digest.ts';
import type { OnnxModel, OnnxNode, OnnxTensor, OnnxValue } from '../models/onnx.ts';
import type { PullBack } from './differentiate.ts';
import type { FlatParameters } from './flat-parameters.ts';
import type { Lowering } from './lowering.ts';
import { OnnxBuilder } from './onnx-builder.ts';
import { lowerUpdate, type OptimizerSettings, optimizerSlots, updateFactors } from './optimizer.ts';
import type { PlainGraph } from './plain/graph.ts';
import { plainLowering } from './plain/lower.ts';
import { stepNames } from './step-names.ts';
import { rematerialised } from './rematerialise.ts';
import type { Recipe } from './trainer.ts';
import type { TrainingGraph } from './training-graph.ts';

/** A lowered graph and how its flat parameter vector is laid out. */
export interface LoweredStep {
  readonly model: OnnxModel;
  readonly flat: FlatParameters;
}

/** What of a recipe decides how gradients are computed. */
type GradientSettings = Pick<Recipe, 'rematerialise'>;

/**
 * One training step as an ONNX model. Inputs: the task's, the masks, the flat `parameters`, the optimizer's slots
 * and factors. Outputs: updated parameters and slots, `loss.value`, `loss.correct`, and `gradient-norm` where the
 * settings clip.
 */
export function lowerTrainingStep(
  graph: TrainingGraph,
  settings: OptimizerSettings & GradientSettings,
  lowering: Lowering = plainLowering,
): LoweredStep {
  const { plain, inputs } = lowering.lower(graph);
  const { flat } = plain;
  const update = updateOutputs(settings, flat, concatGradients(graph, plain), plain);
  const model = finish(plain, {
    inputs: [...inputs, ...updateInputs(settings, flat)],
    outputs: [...update, ...lossOutputs(graph, plain)],
    ...turningPoint(graph, settings),
    lowering,
  });
  return { model, flat };
}

/**
 * The first part of a training step for batches too large to be run at once: runs one micro-batch and adds its
 * gradients to the vector `gradients` given. Outputs: `gradients.updated`, `loss.value`, `loss.correct`.
 */
export function lowerAccumulation(
  graph: TrainingGraph,
  settings: GradientSettings,
  lowering: Lowering = plainLowering,
): LoweredStep {
  const { plain, inputs } = lowering.lower(graph);
  const { flat } = plain;
  const value = plain.op('Add', [stepNames.gradients, concatGradients(graph, plain)]);
  const model = finish(plain, {
    inputs: [...inputs, vector(stepNames.gradients, flat)],
    outputs: [
      { name: stepNames.updated(stepNames.gradients), value, shape: [flat.length] },
      ...lossOutputs(graph, plain),
    ],
    ...turningPoint(graph, settings),
    lowering,
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
    lowering,
  });
  return { model, flat: plain.flat };
}

/** The flat vector `gradients` of a pull-back alone. */
export function lowerPullBack({ graph, gradients }: PullBack, lowering: Lowering = plainLowering): LoweredStep {
  const { plain, inputs } = lowering.lower(graph);
  plain.enter('gradients');
  const value = plain.joinGradients(gradients);
  const outputs = [{ name: stepNames.gradients, value, shape: [plain.flat.length] }];
  const model = finish(plain, { inputs, outputs, lowering });
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
  const outputs = [{ name: stepNames.statistics, value, shape: [length] }];
  const model = finish(plain, { inputs, outputs, lowering });
  return { model, flat: plain.flat };
}

const scalar = (name: string): OnnxValue => ({ name, dtype: 'float32', shape: [] });
const vector = (name: string, { length }: FlatParameters): OnnxValue => ({ name, dtype: 'float32', shape: [length] });

function updateInputs(settings: OptimizerSettings, flat: FlatParameters): OnnxValue[] {
  const slots = optimizerSlots[settings.optimizer].map(({ name }) => vector(name, flat));
  const factors = Object.entries(updateFactors(settings, flat, { learningRate: 0, update: 1 }));
  return [...slots, ...factors.map(([name, value]) => (typeof value === 'number' ? scalar(name) : vector(name, flat)))];
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

/** Where the way back begins, if what it needs of the way there is to be computed again. */
function turningPoint(graph: TrainingGraph, { rematerialise }: GradientSettings): { readonly targets?: string } {
  return rematerialise ? { targets: lossOf(graph).targets } : {};
}

function lossOf(graph: TrainingGraph): NonNullable<TrainingGraph['loss']> {
  if (!graph.loss) throw new Error('expected a training graph with a loss, got a forward pass');
  return graph.loss;
}

/** What a step takes and gives. */
interface StepEnds {
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly Output[];
  /** Of a step that is {@link rematerialised}, the input at which its way back begins. */
  readonly targets?: string;
  /** Replaces what its provider lacks. */
  readonly lowering?: Lowering;
}

/** What the outputs need. Names the outputs, by renaming the values, and the whole by its content. */
export function finish(builder: OnnxBuilder, { inputs, outputs, targets, lowering }: StepEnds): OnnxModel {
  const names = new Map(outputs.map(({ name, value }) => [value, name]));
  const rename = (values: readonly string[]): string[] => values.map((value) => names.get(value) ?? value);
  const needed = new Set(names.keys());
  const backwards = builder.nodes.toReversed().flatMap((node): OnnxNode[] => {
    if (!node.outputs.some((output) => needed.has(output))) return [];
    for (const input of node.inputs) needed.add(input);
    return [{ ...node, inputs: rename(node.inputs), outputs: rename(node.outputs) }];
  });
  const made = {
    inputs,
    outputs: outputs.map(({ name, shape }) => ({ name, dtype: 'float32' as const, shape })),
    initializers: withOpenExtents(
      builder.initializers.filter(({ name }) => needed.has(name)),
      backwards,
    ),
    nodes: backwards.toReversed(),
  };
  const step = lowering?.replace?.(made) ?? made;
  // onnxruntime orders nodes itself, depth first from the outputs, and of a node's inputs it follows the
  // one whose maker stands *last* in the file first. Written backwards, nodes run about as they were
  // made; written forwards, all gradients of weights wait for the end with what they are made of, which
  // takes a fifth more memory and 5 % more time.
  const nodes = (targets === undefined ? step.nodes : rematerialised(step, targets)).toReversed();
  // Not `digestJson`, and nothing that follows from the rest: thousands of nodes must be ready in milliseconds.
  const essence = nodes.map(({ opType, inputs: read, outputs: given, attributes }) => [
    opType,
    read,
    given,
    attributes,
  ]);
  const digest = digestBytes(JSON.stringify([essence, inputs]));
  return { ...step, name: `ridgepoint-training-${shortDigest(digest)}`, nodes, opsets: builder.opsets };
}

/**
 * Constants, those that views take their extents from as defaults. A runtime that knows extents beforehand gives the buffer of a value
 * that is done with to the next one of equal extents, and holds it until that comes, which may be the whole step later
 * (onnxruntime: `FindReusableTensor`); one that does not gives every buffer back at once. That saves a tenth of a step's
 * memory, and a third where much is {@link rematerialised}, at no cost in time.
 */
function withOpenExtents(constants: readonly OnnxTensor[], nodes: readonly OnnxNode[]): readonly OnnxTensor[] {
  const extents = new Set(nodes.filter(({ opType }) => opType === 'Reshape').map(({ inputs }) => inputs[1]));
  return constants.map((constant) => (extents.has(constant.name) ? { ...constant, isDefault: true } : constant));
}
