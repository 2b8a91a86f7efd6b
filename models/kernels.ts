import type { Graph } from './graph.ts';
import { lowerInference } from './lower.ts';
import type { OnnxGraph, OnnxNode } from './onnx.ts';
import { inferShapes, type ShapeBindings, type ShapedTensor, UnsupportedOperatorError } from './onnx-shapes.ts';
import { type RuntimeKernel, runtimeKernels } from './onnxruntime-kernels.ts';

/**
 * What a kernel is, as far as its speed goes:
 * - `conv`: dense convolution wider than 1×1; `pointwise`: dense 1×1; `grouped`: in groups of several channels;
 *   `depthwise`: every channel by itself; `matmul`: matrix products, dense layers included;
 * - `reduction`: pooling, means, norms, softmax; `elementwise`; `movement`: copies (concat, pad, resize, transpose).
 */
export const kernelKinds = [
  'conv',
  'pointwise',
  'grouped',
  'depthwise',
  'matmul',
  'reduction',
  'elementwise',
  'movement',
] as const;
export type KernelKind = (typeof kernelKinds)[number];

/** Kinds whose multiply-accumulates may bound them; the others only move data. */
export const arithmeticKinds = ['conv', 'pointwise', 'grouped', 'depthwise', 'matmul'] as const satisfies KernelKind[];
export type ArithmeticKind = (typeof arithmeticKinds)[number];

/** The matrix products a kernel's arithmetic lowers to: `count` times [rows, inner] by [inner, columns]. */
export interface MatrixProducts {
  /** Output pixels of all examples, or rows of the left matrix. */
  readonly rows: number;
  /** k²·Cin ÷ groups of a convolution. */
  readonly inner: number;
  /** Cout ÷ groups of a convolution. */
  readonly columns: number;
  /** Groups of a convolution, batches of a product. */
  readonly count: number;
}

/** A value that goes through device memory. */
export interface Traffic {
  readonly name: string;
  readonly elements: number;
}

/** One launch on the device: an operator with what a runtime fuses into it. Amounts are of one run, whole batch. */
export interface Kernel {
  /** Of the operator it is named for. */
  readonly name: string;
  readonly kind: KernelKind;
  /** ONNX operators in it, in order. */
  readonly operators: readonly string[];
  /** Multiply-accumulates of convolutions and matrix products; nothing else is counted. */
  readonly macs: number;
  /** Of kernels with multiply-accumulates, and of no others. */
  readonly products?: MatrixProducts;
  /** Activations read from and written to memory; what stays inside the kernel is in neither. */
  readonly reads: readonly Traffic[];
  readonly writes: readonly Traffic[];
  /** Weights and other constants it reads, batch norms folded into the convolution before them. */
  readonly weightElements: number;
  /** As the runtime itself calls it; only where the fusion is a runtime's own. */
  readonly runtime?: RuntimeKernel;
}

/** A network as a runtime runs it. */
export interface KernelProgram {
  readonly kernels: readonly Kernel[];
  /** Extent of the first axis of the first input. */
  readonly batch: number;
  /** Stored elements of all weights. */
  readonly weightElements: number;
  /** Most activation elements alive at once. */
  readonly peakElements: number;
}

/**
 * How much a runtime fuses. `epilogue`: norms, activations and element-wise operators of equal extents
 * run inside the kernel before them, as in TensorRT, XLA and ONNX Runtime; a squeeze-excite breaks the
 * chain, because its gate needs the whole plane first. `none`: every operator is a kernel, as in eager PyTorch.
 * `onnxruntime-<n>`: kernel for kernel what onnxruntime's CPU provider runs, changes of layout included, with blocks of n
 * channels: 16 with AVX-512, 8 with AVX2, 1 where it has no blocked layout.
 */
export const fusions = ['epilogue', 'none', 'onnxruntime-16', 'onnxruntime-8', 'onnxruntime-1'] as const;
export type Fusion = (typeof fusions)[number];
const blocks = { 'onnxruntime-16': 16, 'onnxruntime-8': 8, 'onnxruntime-1': 1 } as const satisfies Partial<
  Record<Fusion, number>
>;

/**
 * Kernels of an ONNX graph, in order. Operators on constants alone (folded when a model is loaded) and
 * views (reshape, flatten, squeeze, identity, dropout) cost nothing and are none.
 * @param where names the graph in errors.
 * @throws what {@link inferShapes} throws.
 */
export function readKernels(graph: OnnxGraph, fusion: Fusion, bindings: ShapeBindings, where: string): KernelProgram {
  const tensors = inferShapes(graph, bindings, where);
  const builder = new KernelBuilder(graph, tensors, fusion, where);
  const kernels = fusion in blocks ? ofRuntime(graph, tensors, fusion as keyof typeof blocks) : builder.build();
  const firstInput = graph.inputs[0]?.name ?? '';
  return {
    kernels,
    batch: tensors.get(firstInput)?.dims[0] ?? 1,
    weightElements: builder.tableElements + kernels.reduce((sum, kernel) => sum + kernel.weightElements, 0),
    peakElements: peakElements(kernels, graph, tensors),
  };
}

/** The runtime's own kernels with what they cost. */
function ofRuntime(
  graph: OnnxGraph,
  tensors: ReadonlyMap<string, ShapedTensor>,
  fusion: keyof typeof blocks,
): readonly Kernel[] {
  const dims = (name: string) => tensors.get(name)?.dims ?? [];
  return runtimeKernels(graph, tensors, blocks[fusion]).map((runtime): Kernel => {
    const [anchor] = runtime.nodes;
    const isView = anchor !== undefined && views.has(anchor.opType);
    const kind = anchor && !isView ? kindOf(anchor, dims(anchor.inputs[1] ?? '')) : 'movement';
    const products = anchor && productsOf(anchor, kind, dims);
    const constants = runtime.inputs.slice(runtime.operator === 'Concat' ? runtime.reads.length : 1);
    const weights = runtime.adds ? constants.slice(0, -1) : constants;
    return {
      name: anchor ? runtime.name : `${runtime.name}.${runtime.operator}`,
      kind,
      operators: anchor ? runtime.nodes.map(({ opType }) => opType) : [runtime.operator],
      macs: products ? products.rows * products.inner * products.columns * products.count : 0,
      products,
      reads: isView ? [] : runtime.reads.map((name, at) => ({ name, elements: elements(readExtents(runtime, at)) })),
      writes: isView ? [] : runtime.writes.map((name) => ({ name, elements: elements(runtime.output) })),
      weightElements: products ? weights.reduce((sum, extents) => sum + elements(extents), 0) : 0,
      runtime,
    };
  });
}

/** Activations come first among a kernel's inputs, but for the one that a convolution adds, which is last. */
function readExtents({ inputs, adds }: RuntimeKernel, at: number): readonly number[] {
  return (adds && at > 0 ? inputs.at(-1) : inputs[at]) ?? [];
}

/**
 * A network of ours as the graph its exported file has, batch norms not folded yet (any runtime folds
 * them, and so does {@link readKernels}): one path to kernels for our networks and for files.
 */
export function onnxGraphOf(graph: Graph): OnnxGraph {
  return {
    name: 'network',
    inputs: graph.inputs,
    outputs: graph.outputs,
    nodes: lowerInference(graph),
    constants: new Map(graph.parameters.map(({ name, dtype, shape }) => [name, { dtype, dims: shape }])),
  };
}

const kinds = (kind: KernelKind, ...operators: string[]): [string, KernelKind][] =>
  operators.map((operator) => [operator, kind]);

const kindOfOperator: ReadonlyMap<string, KernelKind> = new Map([
  ...kinds('matmul', 'Gemm', 'MatMul'),
  ...kinds('reduction', 'MaxPool', 'AveragePool', 'LpPool', 'GlobalAveragePool', 'GlobalMaxPool', 'GlobalLpPool'),
  ...kinds('reduction', 'Softmax', 'LogSoftmax', 'ArgMax', 'ArgMin', 'CumSum', 'LRN', 'LpNormalization'),
  ...kinds('reduction', 'InstanceNormalization', 'LayerNormalization', 'GroupNormalization'),
  ...kinds(
    'movement',
    'Concat',
    'Split',
    'Slice',
    'Pad',
    'Resize',
    'Upsample',
    'Transpose',
    'Expand',
    'Tile',
    'Gather',
  ),
  ...kinds('movement', 'DepthToSpace', 'SpaceToDepth', 'Trilu'),
]);

function kindOf(node: OnnxNode, weight: readonly number[] | undefined): KernelKind {
  if (node.opType === 'Conv' || node.opType === 'ConvTranspose') return convolutionKind(node, weight ?? []);
  if (node.opType.startsWith('Reduce')) return 'reduction';
  return kindOfOperator.get(node.opType) ?? 'elementwise';
}

/** Weights are `[out, in ÷ groups, …]` of a convolution and `[in, out ÷ groups, …]` of a transposed one. */
function convolutionKind(node: OnnxNode, weight: readonly number[]): KernelKind {
  if (groupsOf(node) > 1) return weight[1] === 1 ? 'depthwise' : 'grouped';
  return weight.slice(2).every((extent) => extent === 1) ? 'pointwise' : 'conv';
}

function groupsOf(node: OnnxNode): number {
  const group = node.attributes?.['group'];
  return group && 'int' in group ? group.int : 1;
}

/** Operators that read only what they take out. */
const partial = new Set(['Slice', 'Gather']);

const views = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Identity', 'Dropout']);

const elements = (dims: readonly number[]): number => dims.reduce((product, extent) => product * extent, 1);
const isEqual = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((extent, axis) => extent === b[axis]);

/** A kernel while operators may still join it. */
interface Draft {
  readonly anchor: OnnxNode;
  readonly kind: KernelKind;
  readonly nodes: OnnxNode[];
  /** Extents of what it computes; only operators of equal extents join. */
  readonly dims: readonly number[];
}

class KernelBuilder {
  /** Of tables that are looked up, not read whole. */
  tableElements = 0;
  readonly #graph: OnnxGraph;
  readonly #tensors: ReadonlyMap<string, ShapedTensor>;
  readonly #fusion: Fusion;
  readonly #where: string;
  readonly #drafts: Draft[] = [];
  /** Index of the kernel that computes a value. */
  readonly #producer = new Map<string, number>();
  /** The value a view looks at. */
  readonly #viewed = new Map<string, string>();
  readonly #outputs: ReadonlySet<string>;

  constructor(graph: OnnxGraph, tensors: ReadonlyMap<string, ShapedTensor>, fusion: Fusion, where: string) {
    this.#graph = graph;
    this.#tensors = tensors;
    this.#fusion = fusion;
    this.#where = where;
    this.#outputs = new Set(graph.outputs);
  }

  build(): readonly Kernel[] {
    for (const node of this.#graph.nodes) this.#add(node);
    return this.#finish();
  }

  #add(node: OnnxNode): void {
    const outputs = node.outputs.filter((name) => name !== '');
    if (outputs.every((name) => this.#isConstant(name))) return;
    if (views.has(node.opType) || this.#movesNothing(node)) {
      this.#viewed.set(outputs[0] as string, this.#root(node.inputs[0] as string));
      return;
    }
    if (this.#isLookup(node)) this.tableElements += elements(this.#dims(node.inputs[0] as string));
    const kind = kindOf(node, this.#tensors.get(node.inputs[1] ?? '')?.dims);
    const index = (kind === 'elementwise' ? this.#host(node) : undefined) ?? this.#drafts.length;
    if (index === this.#drafts.length)
      this.#drafts.push({ anchor: node, kind, nodes: [node], dims: this.#dims(outputs[0] as string) });
    else this.#drafts[index]?.nodes.push(node);
    for (const output of outputs) this.#producer.set(output, index);
  }

  #finish(): readonly Kernel[] {
    const readers = new Map<string, Set<number>>();
    this.#drafts.forEach((draft, index) => {
      for (const name of draft.nodes.flatMap((node) => this.#activations(node)))
        readers.set(name, (readers.get(name) ?? new Set()).add(index));
    });
    const leaves = new Set([...this.#outputs].map((name) => this.#root(name)));
    return this.#drafts.map((draft, index) => {
      const isWritten = (name: string) => leaves.has(name) || [...(readers.get(name) ?? [])].some((at) => at !== index);
      return this.#kernel(draft, index, isWritten);
    });
  }

  /**
   * The kernel an element-wise operator joins: the last one its inputs come from, if that computes
   * values of equal extents and is of a kind with an epilogue. All other inputs exist by then.
   */
  #host(node: OnnxNode): number | undefined {
    if (this.#fusion === 'none') return undefined;
    const last = Math.max(-1, ...this.#activations(node).map((name) => this.#producer.get(name) ?? -1));
    const draft = this.#drafts[last];
    if (!draft || draft.kind === 'reduction' || draft.kind === 'movement') return undefined;
    return isEqual(draft.dims, this.#dims(node.outputs[0] as string)) ? last : undefined;
  }

  #kernel({ anchor, kind, nodes }: Draft, index: number, isWritten: (name: string) => boolean): Kernel {
    const traffic = (names: readonly string[]): Traffic[] =>
      [...new Set(names)].map((name) => ({ name, elements: elements(this.#dims(name)) }));
    const inputs = nodes.flatMap((node) => this.#activations(node));
    const outputs = nodes.flatMap((node) => node.outputs).filter((name) => name !== '' && isWritten(name));
    const products = productsOf(anchor, kind, (name) => this.#dims(name));
    const outside = inputs.filter((name) => this.#producer.get(name) !== index);
    return {
      name: anchor.name,
      kind,
      operators: nodes.map(({ opType }) => opType),
      macs: products ? products.rows * products.inner * products.columns * products.count : 0,
      products,
      reads: partial.has(anchor.opType) ? this.#partialReads(anchor, traffic(outside)) : traffic(outside),
      writes: traffic(outputs),
      weightElements: this.#isLookup(anchor)
        ? 0
        : nodes.reduce((sum, node) => sum + this.#weightElements(node, anchor), 0),
    };
  }

  #weightElements(node: OnnxNode, anchor: OnnxNode): number {
    const isFolded = node.opType === 'BatchNormalization' && node !== anchor;
    // Folded into the weights before it, a norm leaves one bias a channel.
    const names = isFolded ? node.inputs.slice(1, 2) : node.inputs;
    return names.filter((name) => this.#isWeight(name)).reduce((sum, name) => sum + elements(this.#dims(name)), 0);
  }

  #activations(node: OnnxNode): string[] {
    return node.inputs.filter((name) => name !== '' && !this.#isConstant(name)).map((name) => this.#root(name));
  }

  /** A transpose that moves axes of extent one only leaves memory as it is. */
  #movesNothing(node: OnnxNode): boolean {
    if (node.opType !== 'Transpose') return false;
    const long = (name: string | undefined) => this.#dims(name ?? '').filter((extent) => extent !== 1);
    const perm = node.attributes?.['perm'];
    if (!perm || !('ints' in perm)) return long(node.inputs[0]).length <= 1;
    const dims = this.#dims(node.inputs[0] as string);
    const order = perm.ints.filter((axis) => dims[axis] !== 1);
    return order.every((axis, at) => at === 0 || axis > (order[at - 1] ?? -1));
  }

  /** What is taken out is all that is read of the first input, be it an activation or a stored table. */
  #partialReads(node: OnnxNode, all: readonly Traffic[]): readonly Traffic[] {
    const [from, to] = [this.#root(node.inputs[0] as string), node.outputs[0] as string];
    return [{ name: from, elements: elements(this.#dims(to)) }, ...all.filter(({ name }) => name !== from)];
  }

  /** Rows taken out of a stored table. */
  #isLookup(node: OnnxNode): boolean {
    return node.opType === 'Gather' && this.#isConstant(node.inputs[0] as string);
  }

  #isConstant(name: string): boolean {
    return this.#tensors.get(name)?.isConstant ?? false;
  }

  /** Constants that shapes and bounds are made of are no weights. */
  #isWeight(name: string): boolean {
    const tensor = this.#tensors.get(name);
    return tensor !== undefined && tensor.isConstant && tensor.dims.length > 0;
  }

  #root(name: string): string {
    return this.#viewed.get(name) ?? name;
  }

  #dims(name: string): readonly number[] {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new UnsupportedOperatorError(`${this.#where}: expected the extents of '${name}', got none`);
    return tensor.dims;
  }
}

/** Multiply-accumulates as matrix products. A grouped kernel is one product a group, a depthwise one too. */
function productsOf(
  node: OnnxNode,
  kind: KernelKind,
  dims: (name: string) => readonly number[],
): MatrixProducts | undefined {
  if (kind !== 'matmul' && node.opType !== 'Conv' && node.opType !== 'ConvTranspose') return undefined;
  const out = dims(node.outputs[0] as string);
  const [first, second] = [0, 1].map((index) => dims(node.inputs[index] ?? ''));
  if (kind === 'matmul') {
    const inner = (node.opType === 'Gemm' && isTransposed(node, 'transA') ? first?.[0] : first?.at(-1)) ?? 1;
    const columns = (second?.length ?? 0) === 1 ? 1 : (out.at(-1) ?? 1);
    // A left matrix that is the same for all of a batch's right ones, or the other way round, is still one product each.
    const count = node.opType === 'Gemm' || second?.length === 2 ? 1 : elements(out.slice(0, -2));
    return { rows: elements(out) / columns / count, inner, columns, count };
  }
  const weight = second ?? [];
  const count = groupsOf(node);
  if (node.opType === 'ConvTranspose') {
    // Every *input* pixel meets the whole kernel.
    const pixels = elements(first ?? []) / (first?.[1] ?? 1);
    return { rows: pixels, inner: (first?.[1] ?? 1) / count, columns: elements(weight.slice(1)), count };
  }
  const channels = out[1] ?? 1;
  return { rows: elements(out) / channels, inner: elements(weight.slice(1)), columns: channels / count, count };
}

function isTransposed(node: OnnxNode, flag: string): boolean {
  const attribute = node.attributes?.[flag];
  return attribute !== undefined && 'int' in attribute && attribute.int === 1;
}

/** Liveness over the kernels' order: a kernel's inputs and outputs are alive together, inputs of the graph from the start. */
function peakElements(
  kernels: readonly Kernel[],
  graph: OnnxGraph,
  tensors: ReadonlyMap<string, ShapedTensor>,
): number {
  const lastUse = new Map<string, number>();
  kernels.forEach(({ reads }, index) => reads.forEach(({ name }) => lastUse.set(name, index)));
  for (const name of graph.outputs) lastUse.set(name, kernels.length);
  const alive = new Map(graph.inputs.map(({ name }) => [name, elements(tensors.get(name)?.dims ?? [])]));
  const total = () => [...alive.values()].reduce((sum, size) => sum + size, 0);
  let peak = total();
  kernels.forEach(({ reads, writes }, index) => {
    for (const { name, elements: size } of writes) alive.set(name, size);
    peak = Math.max(peak, total());
    for (const { name } of reads) if (lastUse.get(name) === index) alive.delete(name);
  });
  return peak;
}
