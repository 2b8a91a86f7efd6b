import { elements } from '../../models/graph.ts';
import type { OnnxAttribute } from '../../models/onnx.ts';
import type { StoredParameter } from '../flat-parameters.ts';
import { PlainGraph } from '../plain/graph.ts';
import { stepNames } from '../step-names.ts';
import type { TrainingGraph } from '../training-graph.ts';
import { blockedDomain } from './block-size.ts';
import { KnownExtents, type Windows } from './known-extents.ts';
import { activationLayout, channelLayout, type Layout, padded, paddedExtents, storedIn } from './layout.ts';
import { fromBlocks, toBlocks } from './reorder.ts';

/** What a kernel may do to its result before it is written. */
export interface Fusion {
  /** Value of the result's extents to add. */
  readonly plus?: string;
  /** Applied last. */
  readonly activation?: Activation;
}
export interface Activation {
  readonly activation: OnnxAttribute;
  readonly activation_params?: OnnxAttribute;
}

/** Blocked convolution beyond its operands; defaults are those of ONNX. */
export interface ConvOptions extends Fusion, Windows {
  /** One value an output channel, of any extents. */
  readonly bias?: string;
  readonly group?: number;
}

/** factor · value + offset, the factor 1 and the offset 0 where absent; without a value, the offset alone. */
export interface Affine {
  readonly value?: string;
  readonly factor?: string;
  readonly offset?: string;
  /** What has one factor and offset each: a channel, or the plane of a channel in one example. */
  readonly per: 'channel' | 'plane';
}

/** A blocked value not computed yet: whoever reads it may take part in its kernel. */
interface Deferred {
  readonly make: (fusion: Fusion) => string;
  /** Whether something may still be added. */
  readonly isOpen: boolean;
  /** Whether it costs about a pass over memory, and may be made twice rather than kept. */
  readonly isCheap: boolean;
  readonly affine?: Affine;
}

/**
 * A {@link PlainGraph} whose tensors may also, or only, exist in onnxruntime's blocked layout (see
 * layout.ts). Asking for either form converts from the other, so a kind of node without a blocked rule
 * is lowered by the plain one. Activations are `[1, c, n, h·w]`, where the c of the extents stands for
 * `[c/B, …, B]` in memory: the channel-major order of the plain layout, in blocks.
 */
export class BlockedGraph extends PlainGraph {
  readonly block: number;
  protected override readonly vectorAxis = 1;
  readonly #layouts: ReadonlyMap<string, Layout>;
  readonly #images = new Set<string>();
  readonly #normed: ReadonlySet<string>;
  readonly #blocked = new Map<string, string>();
  readonly #deferred = new Map<string, Deferred>();
  readonly #inputs = new Map<string, () => string>();
  readonly #known = new KnownExtents();
  /** Of a view, what it is a view of. */
  readonly #sources = new Map<string, string>();
  #inBlocks = false;

  /** @param layouts how parameters are kept that are not kept as they are, by name. */
  constructor(graph: TrainingGraph, block: number, layouts: ReadonlyMap<string, Layout>) {
    super(graph, (parameter): StoredParameter | undefined => {
      const layout = layouts.get(parameter.name);
      return layout && storedIn(layout, parameter);
    });
    this.block = block;
    this.opsets[blockedDomain] = 1;
    const ofGradients = [...layouts].flatMap(([name, layout]): [string, Layout][] => {
      const gradient = graph.loss?.gradients.get(name);
      return gradient === undefined ? [] : [[gradient, layout]];
    });
    this.#layouts = new Map([...layouts, ...ofGradients]);
    this.#normed = onlyNormed(graph);
  }

  /** Channels of a tensor with padding. */
  channels(tensor: string): number {
    const shape = this.shape(tensor);
    return padded((shape.length === 1 ? shape[0] : shape[1]) as number, this.block);
  }

  /** How many blocks the channels of a tensor make. */
  blocks(tensor: string): number {
    return this.channels(tensor) / this.block;
  }

  /** Extents of a tensor's blocked value; a parameter, its gradient and one value a channel are vectors. */
  #blockedExtents(tensor: string): readonly number[] {
    const layout = this.#layouts.get(tensor);
    if (layout) return vector(elements(paddedExtents(layout)));
    const shape = this.shape(tensor);
    const [batch, , height, width] = shape as [number, number, number, number];
    return shape.length === 1 ? vector(this.channels(tensor)) : [1, this.channels(tensor), batch, height * width];
  }

  /** The blocked value of a tensor. */
  blocked(tensor: string): string {
    const known = this.#blocked.get(tensor);
    if (known !== undefined) return known;
    const deferred = this.#deferred.get(tensor);
    this.bindBlocked(tensor, deferred ? deferred.make({}) : toBlocks(this, this.#layout(tensor), this.#plain(tensor)));
    return this.#blocked.get(tensor) as string;
  }

  /** Whether a tensor exists in blocks, or is about to. */
  isBlocked(tensor: string): boolean {
    return this.#blocked.has(tensor) || this.#deferred.has(tensor);
  }

  bindBlocked(tensor: string, value: string): void {
    this.#deferred.delete(tensor);
    this.#blocked.set(tensor, this.view(value, this.#blockedExtents(tensor)));
  }

  /** Binds a value that is made when first read, with what its reader adds to it. */
  bindDeferred(tensor: string, make: (fusion: Fusion) => string, { isCheap = false } = {}): void {
    this.#deferred.set(tensor, { make, isOpen: true, isCheap });
  }

  /** Binds a value that is an affine function of another; made when first read, in one pass. */
  bindAffine(tensor: string, { value, ...rest }: Affine): void {
    const affine = { ...rest, ...(value !== undefined && { value: this.view(value, this.#blockedExtents(tensor)) }) };
    const make = (fusion: Fusion): string => this.#affine(tensor, affine, fusion);
    this.#deferred.set(tensor, { make, isOpen: true, isCheap: true, affine });
  }

  /** A tensor as an affine function of another, if it is one that is not made yet. */
  affine(tensor: string): Affine | undefined {
    return this.#deferred.get(tensor)?.affine;
  }

  /** A tensor as a value and a factor a channel, for readers that can take the factor upon themselves. */
  product(tensor: string): { readonly value: string; readonly factor?: string } {
    const { value, factor, offset, per } = this.affine(tensor) ?? {};
    if (value === undefined || per === 'plane' || offset !== undefined) return { value: this.blocked(tensor) };
    return { value, ...(factor !== undefined && { factor }) };
  }

  /** Makes `y` = activation(x) in the kernel that makes x, if that has not run. @returns whether it could. */
  fuseActivation(x: string, y: string, activation: Activation): boolean {
    const deferred = this.#deferred.get(x);
    if (!deferred) return false;
    this.bindBlocked(y, deferred.make({ activation }));
    return true;
  }

  /** Defers `sum` = x + other to the kernel that makes x, if that has not run. @returns whether it could. */
  fuseSum(x: string, other: string, sum: string): boolean {
    const deferred = this.#deferred.get(x);
    if (!deferred?.isOpen) return false;
    const [ours, theirs] = [deferred.affine, this.affine(other)];
    const isConstant = theirs?.per === 'plane' && theirs.value === undefined;
    if (isConstant && ours?.per === 'plane' && ours.offset === undefined) {
      this.bindAffine(sum, { ...ours, ...(theirs.offset !== undefined && { offset: theirs.offset }) });
      return true;
    }
    const plus = this.blocked(other);
    const make = (fusion: Fusion): string => deferred.make({ ...fusion, plus });
    this.#deferred.set(sum, { make, isOpen: false, isCheap: false });
    return true;
  }

  /**
   * Notes what a function was applied to, for its way back; a value not made yet that is cheap is made a
   * second time there, which takes a pass and not the memory of all steps between.
   * @returns how to get it, at the earliest when the way back begins.
   */
  keepInput(y: string, x: string): () => string {
    const deferred = this.#deferred.get(x);
    const again = (): string =>
      deferred?.isCheap
        ? this.once(`${x} again`, () => this.view(deferred.make({}), this.#blockedExtents(x)))
        : this.blocked(x);
    this.#inputs.set(y, again);
    return again;
  }

  /** What {@link keepInput} noted; undefined where the plain rule made `y`. */
  keptInput(y: string): (() => string) | undefined {
    return this.#inputs.get(y);
  }

  /** The same memory with other extents, one of which may be −1; by no node where they are the value's own. */
  override view(value: string, extents: readonly number[]): string {
    const own = this.#known.of(value);
    const rest = -elements(extents);
    const wanted = own && rest > 0 ? extents.map((extent) => (extent < 0 ? elements(own) / rest : extent)) : extents;
    if (own?.join() === wanted.join()) return value;
    const source = this.#sources.get(value);
    if (source !== undefined) return this.view(source, wanted);
    const viewed = super.view(value, wanted);
    this.#sources.set(viewed, value);
    if (elements(wanted) > 0) this.#known.set(viewed, wanted);
    return viewed;
  }

  override op(...[opType, inputs, attributes, domain]: Parameters<PlainGraph['op']>): string {
    const value = super.op(opType, inputs, attributes, domain);
    this.#known.derive(value, opType, inputs);
    return value;
  }

  override scalar(value: number): string {
    const name = super.scalar(value);
    this.#known.set(name, []);
    return name;
  }

  override floats(key: string, extents: readonly number[], make: () => Float32Array): string {
    const name = super.floats(key, extents, make);
    this.#known.set(name, extents);
    return name;
  }

  /** Runs a plain rule that works element by element on blocked values. */
  inBlocks(lower: () => void): void {
    this.#inBlocks = true;
    try {
      lower();
    } finally {
      this.#inBlocks = false;
    }
  }

  /** The input as it is fed, `[n, c, h, w]`. */
  protected override bindFed(name: string, shape: readonly number[]): void {
    if (shape.length === 4) this.#images.add(name);
    else super.bindFed(name, shape);
  }

  /** Whether only batch norms and their gradients read a tensor. */
  isOnlyNormed(tensor: string): boolean {
    return this.#normed.has(tensor);
  }

  override bind(tensor: string, value: string): void {
    if (this.#inBlocks) this.bindBlocked(tensor, value);
    else super.bind(tensor, value);
  }

  protected override flatVector(): string {
    return this.view(stepNames.parameters, vector(this.flat.length));
  }

  protected override bindStored(parameter: string): void {
    const layout = this.#layouts.get(parameter);
    if (!layout) return this.bind(parameter, this.view(parameter, [elements(this.shape(parameter))]));
    this.#known.set(parameter, vector(elements(paddedExtents(layout))));
    this.bindBlocked(parameter, parameter);
  }

  override joinGradients(gradients: ReadonlyMap<string, string>): string {
    return this.view(super.joinGradients(gradients), [this.flat.length]);
  }

  override value(tensor: string): string {
    return this.#inBlocks ? this.blocked(tensor) : this.#plain(tensor);
  }

  #plain(tensor: string): string {
    const inBlocks = this.#inBlocks;
    this.#inBlocks = false;
    if (!this.isBound(tensor)) {
      if (this.#images.has(tensor)) super.bindFed(tensor, this.shape(tensor));
      else if (this.isBlocked(tensor)) {
        const value = fromBlocks(this, this.#layout(tensor), this.blocked(tensor));
        super.bind(tensor, this.view(value, this.extents(tensor)));
      }
    }
    const value = super.value(tensor);
    this.#inBlocks = inBlocks;
    return value;
  }

  override isPerPlane(tensor: string): boolean {
    return !this.#inBlocks && super.isPerPlane(tensor);
  }

  protected override storedGradient(parameter: string, gradient: string, size: number): string {
    return this.#layouts.has(parameter) ? this.blocked(gradient) : this.view(this.value(gradient), vector(size));
  }

  #layout(tensor: string): Layout {
    const shape = this.shape(tensor);
    const [channels, size] = this.extents(tensor) as [number, number];
    const ofRank = () =>
      shape.length === 4 ? activationLayout(channels, size, this.block) : channelLayout(channels, this.block);
    return this.#layouts.get(tensor) ?? ofRank();
  }

  /** A convolution of `[batch, i, h, w]` by weights `[o, i ÷ group, kh, kw]`, both blocked (see layout.ts). */
  conv(x: string, weights: string, options: ConvOptions = {}): string {
    const { bias, plus, activation, group, strides, dilations, pads } = options;
    const operands = [x, weights];
    if (bias !== undefined || plus !== undefined) operands.push(bias ?? '');
    if (plus !== undefined) operands.push(plus);
    const attributes = { group, strides, dilations, pads, ...activation };
    const given = Object.entries(attributes).filter(([, value]) => value !== undefined);
    const value = this.op('Conv', operands, Object.fromEntries(given) as Record<string, number>, blockedDomain);
    this.#known.deriveConvolved(value, x, weights, options);
    return value;
  }

  /** One pass over `[1, channels, n, h·w]` or `[1, channels · n, 1, h·w]`: a depthwise 1×1 convolution. */
  #affine(tensor: string, { value, factor, offset, per }: Affine, fusion: Fusion): string {
    const [batch, , height, width] = this.shape(tensor) as [number, number, number, number];
    const isPerPlane = per === 'plane';
    const rows = this.channels(tensor) * (isPerPlane ? batch : 1);
    const extents = [1, rows, isPerPlane ? 1 : batch, height * width];
    const bias = offset === undefined ? {} : { bias: offset };
    const ones = () => this.floats(`ones ${rows}`, [rows, 1, 1, 1], () => new Float32Array(rows).fill(1));
    const weights = factor === undefined ? ones() : this.view(factor, [rows, 1, 1, 1]);
    if (value !== undefined) {
      const plus = fusion.plus === undefined ? {} : { plus: this.view(fusion.plus, extents) };
      return this.conv(this.view(value, extents), weights, { ...fusion, ...plus, ...bias, group: rows });
    }
    const { plus, ...rest } = fusion;
    const spread = (): string => {
      const planes = this.view(offset as string, [rows / this.block, 1, this.block]);
      return this.op('Expand', [planes, this.ints([rows / this.block, height * width, this.block])]);
    };
    if (plus === undefined && rest.activation === undefined) return spread();
    const image = this.view(plus ?? spread(), extents);
    return this.conv(image, weights, { ...rest, ...(plus !== undefined && bias), group: rows });
  }

  /** A tensor less a constant a channel. */
  less(tensor: string, constant: string): string {
    return this.#affine(
      tensor,
      { value: this.blocked(tensor), offset: this.op('Neg', [constant]), per: 'channel' },
      {},
    );
  }

  /** Mean over the last two axes of a blocked `[1, c, h, w]`, as a vector. */
  mean(image: string): string {
    const means = this.op('GlobalAveragePool', [image], {}, blockedDomain);
    this.#known.derivePooled(means, image);
    return means;
  }

  /** Mean of each channel of a tensor over its first example, as a vector. */
  meanOfFirst(tensor: string): string {
    const [batch, , height, width] = this.shape(tensor) as [number, number, number, number];
    const size = height * width;
    const image = this.view(this.blocked(tensor), [1, this.channels(tensor), batch, size]);
    // A window of one row, of which the stride leaves the first.
    const attributes = { kernel_shape: [1, size], strides: [batch, 1] };
    const means = this.op('AveragePool', [image], attributes, blockedDomain);
    this.#known.set(means, vector(this.channels(tensor)));
    return means;
  }
}

/** Extents of a vector: those of an image of one pixel, whose channels are its elements. */
function vector(size: number): readonly number[] {
  return [1, size, 1, 1];
}

function onlyNormed({ nodes }: TrainingGraph): ReadonlySet<string> {
  const [normed, others] = [new Set<string>(), new Set<string>()];
  for (const { op, inputs } of nodes) {
    const isNorm = op === 'batch-norm-training' || op === 'batch-norm-gradient';
    inputs.forEach((input, index) =>
      (isNorm && index === (op === 'batch-norm-training' ? 0 : 1) ? normed : others).add(input),
    );
  }
  for (const tensor of others) normed.delete(tensor);
  return normed;
}
