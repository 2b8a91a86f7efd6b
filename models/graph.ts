/**
 * The one graph that is trained, measured and shipped: operators with shapes, as plain data.
 * `build.ts` makes it from a spec, `training/differentiate.ts` extends it to a training step,
 * `fold.ts` reduces it to inference, `lower.ts` turns every operator into ONNX nodes.
 *
 * Pictures are channel-first, `[batch, channels, height, width]`; convolution weights are
 * `[outChannels, inChannels ÷ groups, kernelHeight, kernelWidth]`. Sequences are `[batch, positions, width]`.
 */

/** Extent of one axis; `batch` is left symbolic in exported files. */
export type Dimension = number | 'batch';
export type Shape = readonly Dimension[];
export type DataType = 'float32' | 'int64' | 'bool';

/** A named value flowing through the graph. */
export interface TensorType {
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: Shape;
}

/** `[top, left, bottom, right]` zero padding in pixels. */
export type Pads = readonly [number, number, number, number];

/** A square window moved over the plane. */
export interface WindowAttributes {
  readonly kernel: number;
  readonly stride: number;
  readonly pads: Pads;
}

/** What a parameter is decides how it starts, whether it decays, and whether it trains. */
export type ParameterRole = 'weight' | 'bias' | 'scale' | 'shift' | 'embedding' | 'running-mean' | 'running-variance';

/** A stored tensor of the model. Running statistics are parameters that do not train. */
export interface Parameter extends TensorType {
  readonly dtype: 'float32';
  readonly shape: readonly number[];
  readonly role: ParameterRole;
  /** Layer group for counts, e.g. `stage2.block1.expand`. */
  readonly group: string;
}

/** Attributes of every operator. Adding an operator: a line here, a lowering, a gradient rule, a count. */
export interface OperatorAttributes {
  /** `(x, w[, b])` */
  conv: { readonly stride: number; readonly pads: Pads; readonly groups: number; readonly dilation: number };
  /** `(x, scale, shift, runningMean, runningVariance)` */
  'batch-norm': { readonly epsilon: number };
  relu: Record<never, never>;
  /** min(max(x, 0), 6) */
  relu6: Record<never, never>;
  /** x · sigmoid(x) */
  silu: Record<never, never>;
  /** x · hard-sigmoid(x) (Howard et al. 2019, "Searching for MobileNetV3", section 5.2). */
  'hard-swish': Record<never, never>;
  sigmoid: Record<never, never>;
  /** min(max(x + 3, 0), 6) ÷ 6 */
  'hard-sigmoid': Record<never, never>;
  /** `[n, c, h, w]` → `[n, c, oh, ow]`; padding never wins. */
  'max-pool': WindowAttributes;
  /** `[n, c, h, w]` → `[n, c, oh, ow]`; padding is not counted, so an edge's mean is of fewer values. */
  'average-pool': WindowAttributes;
  /** `[n, c, h, w]` → `[n, c, 1, 1]` */
  'global-average-pool': Record<never, never>;
  /** `(a, b, …)` of equal batch, height and width, along the channels. */
  concat: Record<never, never>;
  /** `[n, c, h, w]` → `[n, c · block², h ÷ block, w ÷ block]`, channel (i · block + j) · c + k from pixel (i, j) of plane k. */
  'space-to-depth': { readonly block: number };
  /** `(a, b)` of equal shape. */
  add: Record<never, never>;
  /** `(x, s)`: `[n, c, h, w]` by `[n, c, 1, 1]`, squeeze-excite's gate. */
  gate: Record<never, never>;
  /** `(x)`: `[n, c, 1, 1]` → `[n, c]` */
  flatten: Record<never, never>;
  /** `(x, w[, b])`: `[…, in]` by `[in, out]`, or by the transpose of `[out, in]`, plus `[out]`. */
  dense: { readonly transposed?: boolean };
  /** `(tokens, w)`: rows of `[vocabulary, width]` by int64 `[n, positions]` → `[n, positions, width]`. */
  embedding: Record<never, never>;
  /** `(x, w)`: `[n, positions, width]` plus `[positions, width]`. */
  'add-positions': Record<never, never>;
  /**
   * `(x, scale[, shift])` over the last axis: x ÷ √(mean of squares + ε), of x less its mean where `centred`
   * (layer norm, Ba et al. 2016; else RMSNorm, Zhang & Sennrich 2019).
   */
  'layer-norm': { readonly epsilon: number; readonly centred: boolean };
  /** x · Φ(x), Φ the normal distribution function (Hendrycks & Gimpel 2016, without an approximation). */
  gelu: Record<never, never>;
  /** `(a, b)` of equal shape, element by element. */
  multiply: Record<never, never>;
  /**
   * `(q, k, v)`, each `[n, positions, width]` → the same: softmax(q·kᵀ ÷ √(width ÷ heads)) · v for every head, a position
   * seeing itself and those before it (Vaswani et al. 2017, section 3.2).
   */
  'causal-attention': { readonly heads: number };
  /**
   * `(x)`, identity outside training. In training the trainer feeds a mask whose values are 0 or
   * 1 ÷ keep: per element (`unit: 'element'`, dropout) or per example (`'example'`, stochastic depth).
   */
  drop: { readonly rate: number; readonly unit: 'element' | 'example' };
}
export type Operator = keyof OperatorAttributes;

/** One operator applied to named tensors. */
export type GraphNode = {
  [Op in Operator]: {
    readonly op: Op;
    /** Unique in the graph; readable, e.g. `stage1.block0.depthwise`. */
    readonly name: string;
    readonly inputs: readonly string[];
    readonly outputs: readonly string[];
    readonly attributes: OperatorAttributes[Op];
  };
}[Operator];

/** Nodes in topological order, every tensor named once with its type. */
export interface Graph {
  readonly inputs: readonly TensorType[];
  readonly outputs: readonly string[];
  readonly parameters: readonly Parameter[];
  readonly nodes: readonly GraphNode[];
  /** Type of every tensor: inputs, parameters and node outputs. */
  readonly tensors: ReadonlyMap<string, TensorType>;
}

/** Values of parameters by name. */
export type Weights = ReadonlyMap<string, Float32Array>;

/** Number of elements. @throws {RangeError} while the batch is symbolic. */
export function elements(shape: Shape): number {
  return shape.reduce<number>((product, extent) => {
    if (extent === 'batch') throw new RangeError('expected a fixed shape, got a symbolic batch');
    return product * extent;
  }, 1);
}
