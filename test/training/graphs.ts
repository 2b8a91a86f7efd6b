import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import type { TensorValue } from '../../accelerators/accelerator.ts';
import { Random } from '../../core/random.ts';
import type {
  Graph,
  GraphNode,
  OperatorAttributes,
  Parameter,
  ParameterRole,
  Pads,
  TensorType,
} from '../../models/graph.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import { samePads } from '../../models/shapes.ts';
import { differentiate } from '../../training/differentiate.ts';
import { packParameters, unpackParameters } from '../../training/flat-parameters.ts';
import { type LoweredStep, lowerGradients, stepNames } from '../../training/lower-plain.ts';
import { trains } from '../../training/training-graph.ts';
import { type ReferenceLoss, referenceGradient, referenceLoss, type Tensor64 } from './reference.ts';

const accelerator = onnxRuntimeAccelerator('cpu');

export interface ConvShape {
  readonly width: number;
  readonly kernel: number;
  readonly stride?: number;
  readonly depthwise?: boolean;
  readonly bias?: boolean;
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

  conv(x: string, { width, kernel, stride = 1, depthwise = false, bias = false, pads }: ConvShape): string {
    const [batch, channels, height, breadth] = this.shape(x) as [number, number, number, number];
    const same = samePads(height, breadth, kernel, stride);
    const used = pads ?? same.pads;
    const out = [
      Math.floor((height + used[0] + used[2] - kernel) / stride) + 1,
      Math.floor((breadth + used[1] + used[3] - kernel) / stride) + 1,
    ];
    const id = this.#nodes.length;
    const groups = depthwise ? channels : 1;
    const inputs = [x, this.#parameter(`w${id}`, [width, channels / groups, kernel, kernel], 'weight')];
    if (bias) inputs.push(this.#parameter(`b${id}`, [width], 'bias'));
    return this.add('conv', inputs, { stride, pads: used, groups }, [batch, width, ...out]);
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

/** Random values for all a graph takes, float32 numbers in double precision. */
export function randomValues(graph: Graph, seed: number): { values: Map<string, Tensor64>; loss: ReferenceLoss } {
  const random = new Random(seed);
  const training = differentiate(graph, { kind: 'softmax-cross-entropy', labelSmoothing: 0, labels: 'label' });
  const values = new Map<string, Tensor64>();
  const draw = (name: string, shape: readonly number[], value: () => number) => {
    const length = shape.reduce((product, extent) => product * extent, 1);
    values.set(name, { shape, data: Float64Array.from(Float32Array.from({ length }, value)) });
  };
  for (const { name, shape } of graph.inputs) draw(name, shape as readonly number[], () => random.normal());
  for (const { name, shape, role } of graph.parameters) {
    const base = role === 'scale' ? 1 : 0;
    draw(name, shape, () => base + 0.5 * random.normal());
  }
  for (const { name, shape, rate } of training.masks)
    draw(name, shape, () => (random.uniform() < rate ? 0 : 1 / (1 - rate)));
  const logits = training.tensors.get(graph.outputs[0] as string) as TensorType;
  const [batch, classes] = logits.shape as readonly [number, number];
  const labels = Array.from({ length: batch }, () => random.integer(classes));
  return { values, loss: { labels, labelSmoothing: 0.1 } };
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
      if (dtype === 'float32' && feeds[name] === undefined)
        feeds[name] = {
          dtype,
          dims: shape as number[],
          data: Float32Array.from(values.get(name)?.data as Float64Array),
        };
    return await session.run(feeds);
  } finally {
    await session.close();
  }
}

export function labelFeed(labels: readonly number[]): TensorValue {
  return { dtype: 'int64', dims: [labels.length], data: BigInt64Array.from(labels, BigInt) };
}

const norm = (data: Float64Array): number => Math.hypot(...data);

/** Largest relative L2 distance, over the trainable parameters, of the lowered gradient to the reference's. */
export async function gradientError(
  graph: Graph,
  seed: number,
): Promise<{ error: number; lossError: number; worst: string }> {
  const { values, loss } = randomValues(graph, seed);
  const kind = 'softmax-cross-entropy';
  const lowered = lowerGradients(differentiate(graph, { kind, labelSmoothing: loss.labelSmoothing, labels: 'label' }));
  const outputs = await runLowered(lowered, values, { label: labelFeed(loss.labels) });
  const gradients = unpackParameters(lowered.flat, outputs[stepNames.gradients]?.data as Float32Array);
  const expectedLoss = referenceLoss(graph, values, loss);
  const lossError = Math.abs((outputs[stepNames.loss]?.data[0] as number) - expectedLoss) / expectedLoss;

  const expected = new Map(
    graph.parameters.filter(trains).map(({ name }) => [name, referenceGradient(graph, values, loss, name)]),
  );
  // A shift before another batch norm has gradient 0, where both sides hold rounding only.
  const largest = Math.max(...[...expected.values()].map(norm));
  let [error, worst] = [0, ''];
  for (const [name, reference] of expected) {
    const actual = gradients.get(name) as Float32Array;
    const difference = reference.map((value, index) => value - (actual[index] as number));
    const relative = norm(difference) / Math.max(norm(reference), 1e-3 * largest);
    if (!(relative <= error)) [error, worst] = [relative, name];
  }
  return { error, lossError, worst };
}
