import { elements } from '../../models/graph.ts';
import type { OnnxAttribute, OnnxNode, OnnxTensor } from '../../models/onnx.ts';
import type { TrainingGraph } from '../training-graph.ts';

/** A whole number, a list of them, or an attribute spelled out. */
type AttributeValue = number | readonly number[] | OnnxAttribute;

/**
 * ONNX nodes of a training step in channel-major layout: a tensor `[n, c, h, w]` is kept as
 * `[c, n·h·w]`, all others as they are. Then a 1×1 convolution is one matrix product, batch-norm
 * sums run over contiguous memory, and a depthwise convolution is a batch of matrix products;
 * everything else is element-wise. `Reshape` only renames memory in onnxruntime, so views are free.
 */
export class PlainGraph {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxTensor[] = [];
  readonly #graph: TrainingGraph;
  readonly #values = new Map<string, string>();
  readonly #memo = new Map<string, string>();
  readonly #uses = new Map<string, number>();
  readonly #perPlane = new Set<string>();
  #scope = '';
  #count = 0;

  constructor(graph: TrainingGraph) {
    this.#graph = graph;
    for (const node of graph.nodes)
      for (const input of node.inputs) this.#uses.set(input, (this.#uses.get(input) ?? 0) + 1);
  }

  /** Names what follows after a node of the training graph. */
  enter(scope: string): void {
    this.#scope = scope;
    this.#count = 0;
  }

  /** Channel-first extents of a tensor of the training graph. */
  shape(tensor: string): readonly number[] {
    const type = this.#graph.tensors.get(tensor);
    if (!type) throw new Error(`${this.#scope}: expected a tensor of the training graph, got ${tensor}`);
    return type.shape as readonly number[];
  }

  /** Nodes of the training graph that read a tensor. */
  uses(tensor: string): number {
    return this.#uses.get(tensor) ?? 0;
  }

  /** Extents of a tensor's value in channel-major layout. */
  extents(tensor: string): readonly number[] {
    const shape = this.shape(tensor);
    const [batch, channels, height, width] = shape as [number, number, number, number];
    return shape.length === 4 ? [channels, batch * height * width] : shape;
  }

  /** The ONNX value that holds a tensor, of {@link extents}. */
  value(tensor: string): string {
    const value = this.#values.get(tensor);
    if (value === undefined) throw new Error(`${this.#scope}: expected ${tensor} to be lowered already`);
    if (!this.#perPlane.delete(tensor)) return value;
    const [batch, channels, height, width] = this.shape(tensor) as [number, number, number, number];
    const spread = this.op('Expand', [value, this.ints([channels, batch, height * width])]);
    this.bind(tensor, this.view(spread, this.extents(tensor)));
    return this.value(tensor);
  }

  bind(tensor: string, value: string): void {
    this.#values.set(tensor, value);
  }

  /** Binds a tensor that is constant over each plane to `[c, n, 1]`; {@link value} spreads it when it must. */
  bindPerPlane(tensor: string, value: string): void {
    this.#perPlane.add(tensor);
    this.bind(tensor, value);
  }

  /** The value of a tensor as `[c, n, h·w]`, or as `[c, n, 1]` where it is constant over each plane. */
  planes(tensor: string): string {
    const [batch, channels, height, width] = this.shape(tensor) as [number, number, number, number];
    if (this.#perPlane.has(tensor)) return this.#values.get(tensor) as string;
    return this.view(this.value(tensor), [channels, batch, height * width]);
  }

  isPerPlane(tensor: string): boolean {
    return this.#perPlane.has(tensor);
  }

  /** Adds one ONNX node with one output and returns that output's name. */
  op(
    opType: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeValue>> = {},
    domain = '',
  ): string {
    const name = `${this.#scope}/${opType}.${this.#count++}`;
    const encoded = Object.entries(attributes).map(([key, value]) => [key, encodeAttribute(value)] as const);
    this.nodes.push({ opType, name, domain, inputs, outputs: [name], attributes: Object.fromEntries(encoded) });
    return name;
  }

  /** Matrix product over the last two axes, optionally of transposed operands (`com.microsoft.FusedMatMul`). */
  matMul(a: string, b: string, { transA = 0, transB = 0 } = {}): string {
    if (!transA && !transB) return this.op('MatMul', [a, b]);
    return this.op('FusedMatMul', [a, b], { transA, transB }, 'com.microsoft');
  }

  /** The same memory with other extents. */
  view(value: string, extents: readonly number[]): string {
    return this.once(`view ${value} ${extents.join()}`, () => this.op('Reshape', [value, this.ints(extents)]));
  }

  /** Runs `make` the first time a key is seen: work shared by several nodes is done once. */
  once(key: string, make: () => string): string {
    const known = this.#memo.get(key);
    if (known !== undefined) return known;
    const made = make();
    this.#memo.set(key, made);
    return made;
  }

  /** A constant vector of whole numbers, or a tensor of them where `extents` says so. */
  ints(values: readonly number[], extents: readonly number[] = [values.length]): string {
    const data = BigInt64Array.from(values, BigInt);
    return this.once(`ints ${values.join()} ${extents.join()}`, () => this.#constant('ints', extents, data));
  }

  /** A constant scalar. */
  scalar(value: number): string {
    return this.once(`scalar ${value}`, () => this.#constant('scalar', [], new Float32Array([value])));
  }

  /** A constant tensor; `key` names its content. */
  floats(key: string, extents: readonly number[], make: () => Float32Array): string {
    return this.once(`floats ${key}`, () => this.#constant('floats', extents, make()));
  }

  #constant(kind: string, dims: readonly number[], data: Float32Array | BigInt64Array): string {
    if (elements(dims) !== data.length) throw new Error(`expected ${elements(dims)} constants, got ${data.length}`);
    const name = `constant.${kind}.${this.initializers.length}`;
    this.initializers.push({ name, dims, data });
    return name;
  }
}

function encodeAttribute(value: AttributeValue): OnnxAttribute {
  if (typeof value === 'number') return { int: value };
  return Array.isArray(value) ? { ints: value as readonly number[] } : (value as OnnxAttribute);
}
