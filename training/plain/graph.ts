import type { Parameter } from '../../models/graph.ts';
import type { OnnxValue } from '../../models/onnx.ts';
import { type FlatParameters, flatParameters, type StoredParameter } from '../flat-parameters.ts';
import { OnnxBuilder } from '../onnx-builder.ts';
import { stepNames } from '../step-names.ts';
import type { TrainingGraph } from '../training-graph.ts';

/**
 * ONNX nodes of a training step in channel-major layout: a tensor `[n, c, h, w]` is kept as
 * `[c, n·h·w]`, all others as they are. Then a 1×1 convolution is one matrix product, batch-norm
 * sums run over contiguous memory, and a depthwise convolution is a batch of matrix products;
 * everything else is element-wise. `Reshape` only renames memory in onnxruntime, so views are free.
 */
export class PlainGraph extends OnnxBuilder {
  /** How the parameters lie in the flat vector. */
  readonly flat: FlatParameters;
  /** Axis of a stored parameter along which its elements lie. */
  protected readonly vectorAxis: number = 0;
  readonly #graph: TrainingGraph;
  readonly #values = new Map<string, string>();
  readonly #uses = new Map<string, number>();
  readonly #perPlane = new Set<string>();

  /** @param store how a parameter is kept, where not as it is. */
  constructor(graph: TrainingGraph, store?: (parameter: Parameter) => StoredParameter | undefined) {
    super();
    this.#graph = graph;
    this.flat = flatParameters(graph.parameters, store);
    for (const node of graph.nodes)
      for (const input of node.inputs) this.#uses.set(input, (this.#uses.get(input) ?? 0) + 1);
  }

  /** Channel-first extents of a tensor of the training graph. */
  shape(tensor: string): readonly number[] {
    const type = this.#graph.tensors.get(tensor);
    if (!type) throw new Error(`${this.scope}: expected a tensor of the training graph, got ${tensor}`);
    return type.shape as readonly number[];
  }

  /** What the lowered graph is fed: the task's inputs, the masks and the flat parameters, all as they come. */
  bindInputs(): OnnxValue[] {
    const { inputs, masks } = this.#graph;
    this.enter('input');
    for (const { name, shape } of inputs) this.bindFed(name, shape as readonly number[]);
    for (const { name, shape } of masks) {
      // A mask of whole examples stays as it is fed.
      const isPerExample = shape.slice(1).every((extent) => extent === 1);
      if (isPerExample) this.bind(name, name);
      else this.bindFed(name, shape);
    }
    this.splitParameters();
    const fed = [...inputs, ...masks.map((mask) => ({ ...mask, dtype: 'float32' as const }))];
    return [
      ...fed.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
      { name: stepNames.parameters, dtype: 'float32', shape: [this.flat.length] },
    ];
  }

  /** Binds what is fed channel-first. */
  protected bindFed(name: string, shape: readonly number[]): void {
    const channelMajor = (): string =>
      this.view(this.op('Transpose', [name], { perm: [1, 0, 2, 3] }), this.extents(name));
    this.bind(name, shape.length === 4 ? channelMajor() : name);
  }

  /** One `Split` for all parameters; each is a vector, viewed with its extents where it is used. */
  protected splitParameters(): void {
    const stored = this.flat.parameters;
    const outputs = stored.map(({ parameter }) => parameter.name);
    const inputs = [this.flatVector(), this.ints(stored.map(({ size }) => size))];
    const attributes = { axis: { int: this.vectorAxis } };
    this.nodes.push({ opType: 'Split', name: 'split', inputs, outputs, attributes });
    for (const name of outputs) this.bindStored(name);
  }

  /** The parameters as they are split: along {@link vectorAxis}. */
  protected flatVector(): string {
    return stepNames.parameters;
  }

  /** All gradients of parameters in one vector, in the order of the parameters. */
  joinGradients(gradients: ReadonlyMap<string, string>): string {
    // Last layers first, as they were made: a runtime that goes by what is made first would leave them for the end.
    const stored = this.flat.parameters
      .toReversed()
      .map(({ parameter: { name }, size }) => this.storedGradient(name, gradients.get(name) as string, size));
    return this.op('Concat', stored.toReversed(), { axis: this.vectorAxis });
  }

  /** Binds a parameter to its stored value, which has its name. */
  protected bindStored(parameter: string): void {
    this.bind(parameter, parameter);
  }

  /** The gradient of a parameter as it lies in the flat vector. */
  protected storedGradient(_parameter: string, gradient: string, size: number): string {
    return this.view(this.value(gradient), [size]);
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
    if (value === undefined) throw new Error(`${this.scope}: expected ${tensor} to be lowered already`);
    if (!this.#perPlane.delete(tensor)) return value;
    const [batch, channels, height, width] = this.shape(tensor) as [number, number, number, number];
    const spread = this.op('Expand', [value, this.ints([channels, batch, height * width])]);
    this.bind(tensor, this.view(spread, this.extents(tensor)));
    return this.value(tensor);
  }

  /** Whether a tensor has a value already. */
  protected isBound(tensor: string): boolean {
    return this.#values.has(tensor);
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
}
