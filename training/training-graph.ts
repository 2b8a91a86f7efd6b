import { elements, type GraphNode, type OperatorAttributes, type Pads, type Parameter } from '../models/graph.ts';
import type { TensorType } from '../models/graph.ts';

/**
 * The training step as plain data, above any layout: the forward operators of `models/graph.ts`,
 * the loss, and one named kind of node for every derivative. Lowerings (`lowering.ts`) turn each
 * kind into nodes of a runtime. All shapes are fixed and channel-first, as in `models/graph.ts`.
 */

type None = Record<never, never>;
type ConvAttributes = OperatorAttributes['conv'];

/** Attributes of every kind of node. `d` before a name means the derivative of the loss by it. */
export interface TrainingAttributes extends Omit<
  OperatorAttributes,
  'batch-norm' | 'silu' | 'drop' | 'layer-norm' | 'causal-attention'
> {
  /**
   * `(x, scale, shift)` → `(y, mean, inverseDeviation, variance)`, the last three per channel over
   * batch and space; variance is biased (divided by the count).
   */
  'batch-norm-training': { readonly epsilon: number };
  /** `(x)` → `(y, gate)` with gate = sigmoid(x), y = x · gate. */
  'silu-training': None;
  /** `(x, mask)`; the mask is `x`'s shape, or `[n, 1, …]` when a whole example is dropped. */
  'drop-training': None;
  /** `(dy, w)` → dx, of the shape of the convolution's input. */
  'conv-input-gradient': ConvAttributes;
  /** `(x, dy)` → dw */
  'conv-weight-gradient': ConvAttributes;
  /** `(dy)` `[n, c, h, w]` → `[c]` */
  'conv-bias-gradient': None;
  /** `(dy, x, scale, mean, inverseDeviation)` → `(dx, dscale, dshift)` */
  'batch-norm-gradient': None;
  /** `(dy, y)` → dx; zero where y is. */
  'relu-gradient': None;
  /** `(dy, y)` → dx; zero where y is 0 or 6. */
  'relu6-gradient': None;
  /** `(dy, y, gate)` → dx */
  'silu-gradient': None;
  /** `(dy, x)` → dx */
  'hard-swish-gradient': None;
  /** `(dy, y)` → dx */
  'sigmoid-gradient': None;
  /** `(dy, y)` → dx; zero where y is 0 or 1. */
  'hard-sigmoid-gradient': None;
  /** `(dy, x, y)` → dx; of equal largest values in a window the first, row by row, takes all of dy. */
  'max-pool-gradient': OperatorAttributes['max-pool'];
  /** `(dy)` → dx, of the shape of the pool's input. */
  'average-pool-gradient': OperatorAttributes['average-pool'];
  /** `(dy)`: `[n, c, 1, 1]` → `[n, c, h, w]` */
  'global-average-pool-gradient': None;
  /** `(dy)` → dy's channels dealt out again, one output an input of the concatenation. */
  'concat-gradient': None;
  /** `(dy)` → dx: depth to space. */
  'space-to-depth-gradient': OperatorAttributes['space-to-depth'];
  /** `(dy, x, s)` → `(dx, ds)` */
  'gate-gradient': None;
  /** `(dy)`: `[n, c]` → `[n, c, 1, 1]` */
  'flatten-gradient': None;
  /** `(dy, w)` → dx */
  'dense-input-gradient': OperatorAttributes['dense'];
  /** `(x, dy)` → dw */
  'dense-weight-gradient': OperatorAttributes['dense'];
  /** `(dy)` `[…, out]` → `[out]` */
  'dense-bias-gradient': None;
  /** `(tokens, dy)` → dw: rows of dy added up by token. */
  'embedding-gradient': None;
  /** `(dy)` `[n, positions, width]` → `[positions, width]` */
  'add-positions-gradient': None;
  /** `(x, scale[, shift])` → `(y, normalised, inverseDeviation)`, the last `[…, 1]`. */
  'layer-norm-training': OperatorAttributes['layer-norm'];
  /** `(dy, scale, normalised, inverseDeviation)` → `(dx, dscale, dshift)`; without `centred` there is no dshift. */
  'layer-norm-gradient': { readonly centred: boolean };
  /** `(dy, x)` → dx */
  'gelu-gradient': None;
  /** `(q, k, v)` → `(y, shares)`, shares `[n, heads, positions, positions]`. */
  'causal-attention-training': OperatorAttributes['causal-attention'];
  /** `(dy, q, k, v, shares)` → `(dq, dk, dv)` */
  'causal-attention-gradient': OperatorAttributes['causal-attention'];
  /**
   * `(logits, targets)` → `(loss, correct, dlogits)`, targets a distribution over the classes, the last axis, a row:
   * mean over the rows, how many have their largest logit where the largest target is.
   */
  'softmax-cross-entropy': { readonly labelSmoothing: number };
}
/** Every kind of node. */
export type TrainingOperator = keyof TrainingAttributes;

/** A node of one given kind. */
export interface TrainingNodeOf<Op extends TrainingOperator> {
  readonly op: Op;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: TrainingAttributes[Op];
}
/** A node of any kind. */
export type TrainingNode = { [Op in TrainingOperator]: TrainingNodeOf<Op> }[TrainingOperator];

/** A random mask the trainer must feed: values 0 or 1 ÷ (1 − rate), mean 1. */
export interface MaskInput {
  readonly name: string;
  readonly shape: readonly number[];
  readonly rate: number;
}

/** Where one batch norm leaves its batch statistics, and the running statistics they belong to. */
export interface BatchStatistics {
  readonly mean: string;
  readonly variance: string;
  readonly runningMean: string;
  readonly runningVariance: string;
  readonly channels: number;
  /** Values averaged per channel: batch × height × width. */
  readonly count: number;
}

/** Nodes in topological order; every tensor is named once with its type. */
export interface TrainingGraph {
  /** What the task's batches feed: the network's inputs and, with a loss, its targets. */
  readonly inputs: readonly TensorType[];
  readonly masks: readonly MaskInput[];
  /** Parameters that train, in the network's order. */
  readonly parameters: readonly Parameter[];
  readonly nodes: readonly TrainingNode[];
  readonly tensors: ReadonlyMap<string, TensorType>;
  readonly statistics: readonly BatchStatistics[];
  /** Absent in a graph that only runs forward. */
  readonly loss?: {
    /** Name of the target distributions: where they are first read, the way back begins. */
    readonly targets: string;
    /** Scalar: mean loss of the batch. */
    readonly value: string;
    /** Scalar float: rows whose largest logit is where the largest target is. */
    readonly correct: string;
    /** Gradient tensor of each parameter, by the parameter's name. */
    readonly gradients: ReadonlyMap<string, string>;
  };
}

/** Whether gradient descent moves a parameter; running statistics are estimated instead. */
export function trains(parameter: Parameter): boolean {
  return parameter.role !== 'running-mean' && parameter.role !== 'running-variance';
}

/** Zero padding, stride, dilation and extents of one convolution, read from its tensors. */
export interface ConvGeometry {
  readonly batch: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly height: number;
  readonly width: number;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  /** Rows from a kernel's first tap to its last, both included: (kernelHeight − 1) · dilation + 1. */
  readonly spanHeight: number;
  readonly spanWidth: number;
  readonly stride: number;
  readonly pads: Pads;
  readonly groups: number;
  readonly dilation: number;
}

/** @param x `[n, c, h, w]` @param weight `[o, c ÷ groups, kh, kw]` @param y `[n, o, oh, ow]` */
export function convGeometry(
  x: readonly number[],
  weight: readonly number[],
  y: readonly number[],
  { stride, pads, groups, dilation }: ConvAttributes,
): ConvGeometry {
  const [batch, inChannels, height, width] = x as [number, number, number, number];
  const [, outChannels, outHeight, outWidth] = y as [number, number, number, number];
  const [, , kernelHeight, kernelWidth] = weight as [number, number, number, number];
  const extents = { batch, inChannels, outChannels, height, width, outHeight, outWidth, kernelHeight, kernelWidth };
  const [spanHeight, spanWidth] = [(kernelHeight - 1) * dilation + 1, (kernelWidth - 1) * dilation + 1];
  return { ...extents, spanHeight, spanWidth, stride, pads, groups, dilation };
}

/** Adds nodes one at a time and keeps the types of what they make. */
export class TrainingGraphBuilder {
  readonly nodes: TrainingNode[] = [];
  readonly tensors = new Map<string, TensorType>();

  declare(tensor: TensorType): void {
    elements(tensor.shape);
    this.tensors.set(tensor.name, tensor);
  }

  /** @throws {Error} when nothing of that name was declared or made. */
  shape(tensor: string): readonly number[] {
    const type = this.tensors.get(tensor);
    if (!type) throw new Error(`expected a tensor named ${tensor}, got none of that name`);
    return type.shape as readonly number[];
  }

  /** Adds a node and declares its float32 outputs. @returns the outputs' names, in order. */
  add<Op extends TrainingOperator>(
    op: Op,
    name: string,
    inputs: readonly string[],
    attributes: TrainingAttributes[Op],
    outputs: Readonly<Record<string, readonly number[]>>,
  ): string[] {
    const names = Object.keys(outputs);
    for (const output of names) {
      if (this.tensors.has(output)) throw new Error(`${name}: expected a new tensor name, got ${output} again`);
      this.declare({ name: output, dtype: 'float32', shape: outputs[output] as readonly number[] });
    }
    this.nodes.push({ op, name, inputs, outputs: names, attributes } as TrainingNode);
    return names;
  }

  /** Adds a forward node as it is. */
  copy(node: GraphNode, types: ReadonlyMap<string, TensorType>): void {
    for (const output of node.outputs) this.declare(types.get(output) as TensorType);
    this.nodes.push(node as TrainingNode);
  }
}
