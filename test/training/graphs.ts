import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import type { TensorValue } from '../../accelerators/accelerator.ts';
import { Random } from '../../core/random.ts';
import {
  type DataType,
  elements,
  type Graph,
  type GraphNode,
  type OperatorAttributes,
  type Parameter,
  type ParameterRole,
  type Pads,
  type TensorType,
} from '../../models/graph.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import { samePads } from '../../models/shapes.ts';
import { differentiate } from '../../training/differentiate.ts';
import { packParameters, unpackParameters } from '../../training/flat-parameters.ts';
import type { Lowering } from '../../training/lowering.ts';
import { plainLowering } from '../../training/plain/lower.ts';
import { type LoweredStep, lowerGradients } from '../../training/step.ts';
import { stepNames } from '../../training/step-names.ts';
import { trains } from '../../training/training-graph.ts';
import { blocked } from './blocked-kernels.ts';
import { kinkDistance, type ReferenceLoss, referenceGradient, referenceLoss, type Tensor64 } from './reference.ts';

/** Every way of lowering a training graph: each must give the reference's gradients. */
export const lowerings: readonly Lowering[] = blocked ? [plainLowering, blocked] : [plainLowering];

const accelerator = onnxRuntimeAccelerator('cpu');

/** A convolution of a test graph; stride, groups and dilation are 1 unless given. */
export interface ConvShape {
  readonly width: number;
  readonly kernel: number;
  readonly stride?: number;
  readonly groups?: number;
  /** One group a channel. */
  readonly depthwise?: boolean;
  readonly dilation?: number;
  readonly bias?: boolean;
  /** SAME unless given. */
  readonly pads?: Pads;
}

/** Graphs by hand, one operator at a time: every method returns the name of its output. */
export class TestGraph {
  readonly #nodes: GraphNode[] = [];
  readonly #parameters: Parameter[] = [];
  readonly #tensors = new Map<string, TensorType>();
  readonly #input: TensorType;

  constructor(...shape: [number, number, number, number]) {
    this.#input = { name: 'image', dtype: 'float32', shape };
    this.#tensors.set('image', this.#input);
  }

  shape(name: string): readonly number[] {
    return this.#tensors.get(name)?.shape as readonly number[];
  }

  #parameter(name: string, shape: readonly number[], role: ParameterRole): string {
    const parameter: Parameter = { name, dtype: 'float32', shape, role, group: name };
    this.#parameters.push(parameter);
    this.#tensors.set(name, parameter);
    return name;
  }

  add<Op extends keyof OperatorAttributes>(
    op: Op,
    inputs: readonly string[],
    attributes: OperatorAttributes[Op],
    shape: readonly number[] = this.shape(inputs[0] as string),
  ): string {
    const name = `${op}${this.#nodes.length}`;
    this.#nodes.push({ op, name, inputs, outputs: [name], attributes } as GraphNode);
    this.#tensors.set(name, { name, dtype: 'float32', shape });
    return name;
  }

  conv(x: string, shape: ConvShape): string {
    const { width, kernel, stride = 1, depthwise = false, dilation = 1, bias = false } = shape;
    const [batch, channels] = this.shape(x) as [number, number];
    const { pads, out } = this.#windows(x, (kernel - 1) * dilation + 1, stride, shape.pads);
    const id = this.#nodes.length;
    const groups = depthwise ? channels : (shape.groups ?? 1);
    const inputs = [x, this.#parameter(`w${id}`, [width, channels / groups, kernel, kernel], 'weight')];
    if (bias) inputs.push(this.#parameter(`b${id}`, [width], 'bias'));
    return this.add('conv', inputs, { stride, pads, groups, dilation }, [batch, width, ...out]);
  }

  windowPool(
    op: 'max-pool' | 'average-pool',
    x: string,
    { kernel, stride = 1, pads }: { kernel: number; stride?: number; pads?: Pads },
  ): string {
    const windows = this.#windows(x, kernel, stride, pads);
    const [batch, channels] = this.shape(x) as [number, number];
    return this.add(op, [x], { kernel, stride, pads: windows.pads }, [batch, channels, ...windows.out]);
  }

  /** Pads, SAME unless given, and how many windows then fit each way. */
  #windows(x: string, span: number, stride: number, given?: Pads): { pads: Pads; out: [number, number] } {
    const [, , height, width] = this.shape(x) as [number, number, number, number];
    const pads = given ?? samePads(height, width, span, stride).pads;
    const [top, left, bottom, right] = pads;
    const fit = (extent: number): number => Math.floor((extent - span) / stride) + 1;
    return { pads, out: [fit(height + top + bottom), fit(width + left + right)] };
  }

  concat(...inputs: readonly string[]): string {
    const [batch, , height, width] = this.shape(inputs[0] as string) as [number, number, number, number];
    const channels = inputs.reduce((sum, input) => sum + (this.shape(input)[1] as number), 0);
    return this.add('concat', inputs, {}, [batch, channels, height, width]);
  }

  spaceToDepth(x: string, block: number): string {
    const [batch, channels, height, width] = this.shape(x) as [number, number, number, number];
    return this.add('space-to-depth', [x], { block }, [batch, channels * block ** 2, height / block, width / block]);
  }

  batchNorm(x: string): string {
    const id = this.#nodes.length;
    const channels = [this.shape(x)[1] as number];
    const roles: ParameterRole[] = ['scale', 'shift', 'running-mean', 'running-variance'];
    const parameters = roles.map((role) => this.#parameter(`${role}${id}`, channels, role));
    return this.add('batch-norm', [x, ...parameters], { epsilon: 1e-3 });
  }

  pool(x: string): string {
    const [batch, channels] = this.shape(x) as [number, number];
    return this.add('global-average-pool', [x], {}, [batch, channels, 1, 1]);
  }

  /** flatten → dense: the logits. A map that is not 1×1 yet is pooled by a full-size convolution. */
  classify(x: string, classes: number): Graph {
    const [batch, channels, height, width] = this.shape(x) as [number, number, number, number];
    const pooled = height * width === 1 ? x : this.pool(x);
    const flat = this.add('flatten', [pooled], {}, [batch, channels]);
    return this.dense(flat, classes);
  }

  dense(x: string, classes: number): Graph {
    const [batch, features] = this.shape(x) as [number, number];
    const parameters = [
      this.#parameter('classifier.w', [features, classes], 'weight'),
      this.#parameter('classifier.b', [classes], 'bias'),
    ];
    const logits = this.add('dense', [x, ...parameters], {}, [batch, classes]);
    return {
      inputs: [this.#input],
      outputs: [logits],
      parameters: this.#parameters,
      nodes: this.#nodes,
      tensors: this.#tensors,
    };
  }
}

/** Values for all a graph takes, by name, and labels. */
export interface Drawn {
  readonly values: Map<string, Tensor64>;
  readonly loss: ReferenceLoss;
}

/**
 * Random values, float32 numbers in double precision, drawn until every input of an operator with
 * kinks is 1e-4 away from them: a hundred finite-difference steps and some thousand roundings of
 * float32. Closer, both sides of a comparison would be right and differ.
 * @param change what to do to every draw first.
 */
export function randomValues(
  graph: Graph,
  seed: number,
  change: (values: Map<string, Tensor64>) => void = () => {},
): Drawn {
  const random = new Random(seed);
  for (let attempt = 0; attempt < 100; attempt++) {
    const drawn = draw(graph, random);
    change(drawn.values);
    if (kinkDistance(graph, drawn.values) > 1e-4) return drawn;
  }
  throw new Error('expected values away from kinks within 100 draws, got none');
}

/** Random values, wherever they fall. */
export function draw(graph: Graph, random: Random): Drawn {
  const training = differentiate(graph, { kind: 'softmax-cross-entropy', labelSmoothing: 0, targets: 'target' });
  const values = new Map<string, Tensor64>();
  const fill = (name: string, shape: readonly number[], value: () => number) => {
    const length = shape.reduce((product, extent) => product * extent, 1);
    values.set(name, { shape, data: Float64Array.from(Float32Array.from({ length }, value)) });
  };
  const tokens = graph.parameters.find(({ role }) => role === 'embedding')?.shape[0] ?? 0;
  for (const { name, dtype, shape } of graph.inputs)
    fill(name, shape as readonly number[], () => (dtype === 'int64' ? random.integer(tokens) : random.normal()));
  for (const { name, shape, role } of graph.parameters) {
    const base = role === 'scale' ? 1 : 0;
    fill(name, shape, () => base + 0.5 * random.normal());
  }
  for (const { name, shape, rate } of training.masks)
    fill(name, shape, () => (random.uniform() < rate ? 0 : 1 / (1 - rate)));
  const logits = training.tensors.get(graph.outputs[0] as string) as TensorType;
  const classes = logits.shape.at(-1) as number;
  const labels = Array.from({ length: elements(logits.shape) / classes }, () => random.integer(classes));
  return { values, loss: { labels, classes, labelSmoothing: 0.1 } };
}

/** Runs a lowered graph on the given values. */
export async function runLowered(
  { model, flat }: LoweredStep,
  values: ReadonlyMap<string, Tensor64>,
  extra: Readonly<Record<string, TensorValue>> = {},
): Promise<Readonly<Record<string, TensorValue>>> {
  const session = await accelerator.open(encodeOnnx(model), { threads: 1, optimization: 'disabled' });
  try {
    const parameters = packParameters(
      flat,
      new Map([...values].map(([name, { data }]) => [name, Float32Array.from(data)])),
    );
    const feeds: Record<string, TensorValue> = {
      ...extra,
      [stepNames.parameters]: { dtype: 'float32', dims: [flat.length], data: parameters },
    };
    for (const { name, dtype, shape } of model.inputs)
      if (feeds[name] === undefined)
        feeds[name] = fed(dtype as DataType, shape as number[], values.get(name)?.data as Float64Array);
    return await session.run(feeds);
  } finally {
    await session.close();
  }
}

function fed(dtype: DataType, dims: readonly number[], data: Float64Array): TensorValue {
  return dtype === 'int64'
    ? { dtype, dims, data: BigInt64Array.from(data, BigInt) }
    : { dtype: 'float32', dims, data: Float32Array.from(data) };
}

/** One-hot rows. @param dims the logits' extents; `[labels, classes]` unless given. */
export function targetFeed(
  labels: readonly number[],
  classes: number,
  dims: readonly number[] = [labels.length, classes],
): TensorValue {
  const data = new Float32Array(labels.length * classes);
  labels.forEach((label, row) => (data[row * classes + label] = 1));
  return { dtype: 'float32', dims, data };
}

/** How far a lowering is from the reference. */
export interface GradientError {
  /** Largest relative L2 distance of a gradient over the trainable parameters. */
  readonly error: number;
  /** Relative. */
  readonly lossError: number;
  /** Lowering and parameter of the largest distance. */
  readonly worst: string;
}

/** Loss and gradients of the trainable parameters by name, as a lowering computes them. */
export async function loweredGradients(
  graph: Graph,
  { values, loss }: Drawn,
  lowering: Lowering,
): Promise<{ loss: number; gradients: Map<string, Float32Array> }> {
  const { labels, classes, labelSmoothing } = loss;
  const training = differentiate(graph, { kind: 'softmax-cross-entropy', labelSmoothing, targets: 'target' });
  const lowered = lowerGradients(training, lowering);
  const outputs = await runLowered(lowered, values, {
    target: targetFeed(labels, classes, training.tensors.get('target')?.shape as readonly number[]),
  });
  const gradients = unpackParameters(lowered.flat, outputs[stepNames.gradients]?.data as Float32Array);
  return { loss: outputs[stepNames.loss]?.data[0] as number, gradients };
}

/** Of every lowering, against finite differences in double precision. */
export async function gradientErrors(graph: Graph, drawn: Drawn): Promise<GradientError[]> {
  const { values, loss } = drawn;
  const expectedLoss = referenceLoss(graph, values, loss);
  const expected = new Map(
    graph.parameters.filter(trains).map(({ name }) => [name, referenceGradient(graph, values, loss, name)]),
  );
  const errors: GradientError[] = [];
  for (const lowering of lowerings) {
    const actual = await loweredGradients(graph, drawn, lowering);
    const { error, worst } = largestDistance(expected, actual.gradients);
    const lossError = Math.abs(actual.loss - expectedLoss) / expectedLoss;
    errors.push({ error, lossError, worst: `${lowering.id}: ${worst}` });
  }
  return errors;
}

/**
 * The largest relative L2 distance over parameters, and whose it is. A gradient that is 0 by construction, as that
 * of a shift before another batch norm, holds rounding only: it is measured against a hundredth of the largest.
 */
export function largestDistance(
  expected: ReadonlyMap<string, Gradient>,
  actual: ReadonlyMap<string, Gradient>,
): { error: number; worst: string } {
  const largest = Math.max(...[...expected.values()].map(norm));
  let [error, worst] = [0, ''];
  for (const [name, reference] of expected) {
    const difference = Float64Array.from(reference, (value, index) => value - (actual.get(name)?.[index] as number));
    const length = norm(reference);
    const relative = norm(difference) / (length < 1e-6 * largest ? 1e-2 * largest : length);
    if (!(relative <= error)) [error, worst] = [relative, name];
  }
  return { error, worst };
}

type Gradient = Float32Array | Float64Array;

const norm = (gradient: Gradient): number => Math.hypot(...gradient);
