import type { OnnxGraph, OnnxNode } from './onnx.ts';
import type { ShapedTensor } from './onnx-shapes.ts';

/** A kernel as onnxruntime's CPU provider starts it, in the words of its own profile. */
export interface RuntimeKernel {
  /** Of the operator it is named for. */
  readonly name: string;
  /** e.g. `Conv`, `QuickGelu`, `ReorderOutput`. */
  readonly operator: string;
  /** Channels are interleaved in blocks. */
  readonly isBlocked: boolean;
  /** Extents of all its inputs, weights included; blocked channels are padded. */
  readonly inputs: readonly (readonly number[])[];
  readonly output: readonly number[];
  /** Further outputs, of splits. */
  readonly outputs: number;
  /** Element-wise function that a convolution or a product applies to its results. */
  readonly activation?: string;
  /** Adds another activation to its results. */
  readonly adds: boolean;
  readonly groups: number;
  readonly stride: number;
  readonly dilation: number;
  /** ONNX nodes in it, the one that does the work first; none in a change of layout. */
  readonly nodes: readonly OnnxNode[];
  /** Names of the values it reads and writes, constants left out. Two layouts of one value have two names. */
  readonly reads: readonly string[];
  readonly writes: readonly string[];
}

/** Ends the name of a value's copy in the blocked layout. */
export const blockedSuffix = '#blocked';

interface Node {
  operator: string;
  isBlocked: boolean;
  inputs: string[];
  outputs: string[];
  activation?: string;
  adds: boolean;
  readonly source: OnnxNode;
  readonly nodes: OnnxNode[];
  isRemoved?: boolean;
}

const fusable = new Set(['Relu', 'Sigmoid', 'Tanh', 'LeakyRelu', 'HardSigmoid', 'Clip']);
/** And those that follow a sum into a plain convolution. */
const afterSums = new Set(['Relu', 'Sigmoid', 'Tanh']);
const pools = new Set(['MaxPool', 'AveragePool', 'GlobalMaxPool', 'GlobalAveragePool']);
const eager = new Set(['MaxPool', 'AveragePool']);
/** Element-wise functions that read either layout; those of them that a blocked convolution takes in late. */
const layoutFree = new Set(['Relu', 'Sigmoid', 'Tanh', 'QuickGelu', 'HardSwish']);
const lateFusable = new Set(['Relu', 'Sigmoid', 'Tanh', 'HardSwish']);

const dimOf = (dims: readonly number[] | undefined, axis: number): number => dims?.[axis] ?? 1;
const isEqual = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((extent, axis) => extent === b[axis]);

function intOf(node: OnnxNode, name: string, fallback: number): number {
  const attribute = node.attributes?.[name];
  return attribute && 'int' in attribute ? attribute.int : fallback;
}
function intsOf(node: OnnxNode, name: string): readonly number[] {
  const attribute = node.attributes?.[name];
  return attribute && 'ints' in attribute ? attribute.ints : [];
}

/**
 * What onnxruntime's graph optimiser makes of a graph for the CPU: norms folded and activations fused into
 * convolutions, x·σ(x) as one kernel, and convolutions and pools of suitable channels in the blocked layout
 * (NCHWc), with the changes of layout this needs.
 * @param block channels of a block: 16 with AVX-512, 8 with AVX2, 1 where the runtime has no blocked layout.
 * @param tensors extents of every value of the graph.
 * @see onnxruntime 1.30, `core/optimizer/nchwc_transformer.cc` and the fusions beside it; test/models/onnxruntime-kernels.test.ts
 * holds this against what the runtime itself writes.
 */
export function runtimeKernels(
  graph: OnnxGraph,
  tensors: ReadonlyMap<string, ShapedTensor>,
  block: number,
): readonly RuntimeKernel[] {
  const optimiser = new Optimiser(graph, tensors);
  optimiser.fuse();
  if (block > 1) optimiser.interleave(block);
  optimiser.fuseSums();
  return optimiser.finish();
}

/** A value that a blocked kernel has written. */
interface BlockedValue {
  readonly node: Node;
  readonly name: string;
  readonly channels: number;
  readonly readers: number;
  plainReaders: number;
}

class Optimiser {
  #nodes: Node[];
  readonly #dims: Map<string, readonly number[]>;
  readonly #tensors: ReadonlyMap<string, ShapedTensor>;
  readonly #outputs: ReadonlySet<string>;
  readonly #padded = new Map<string, readonly number[]>();

  constructor(graph: OnnxGraph, tensors: ReadonlyMap<string, ShapedTensor>) {
    this.#tensors = tensors;
    this.#dims = new Map([...tensors].map(([name, { dims }]) => [name, dims]));
    this.#outputs = new Set(graph.outputs);
    this.#nodes = [];
    const alias = new Map<string, string>();
    for (const source of graph.nodes) {
      const outputs = source.outputs.filter((name) => name !== '');
      if (outputs.every((name) => this.#isConstant(name))) continue;
      const inputs = source.inputs.map((name) => alias.get(name) ?? name);
      if (source.opType === 'Identity' || source.opType === 'Dropout') {
        alias.set(outputs[0] as string, inputs[0] as string);
        continue;
      }
      this.#nodes.push({
        operator: source.opType,
        isBlocked: false,
        inputs,
        outputs: [...outputs],
        adds: false,
        source,
        nodes: [source],
      });
    }
  }

  #isConstant(name: string): boolean {
    return this.#tensors.get(name)?.isConstant ?? false;
  }

  #shape(name: string): readonly number[] {
    return this.#padded.get(name) ?? this.#dims.get(name) ?? [];
  }

  #readers(): Map<string, Node[]> {
    const readers = new Map<string, Node[]>();
    for (const node of this.#nodes)
      for (const name of node.inputs) readers.set(name, [...(readers.get(name) ?? []), node]);
    return readers;
  }

  /** The one node that reads a value which is no output of the graph. */
  #only(readers: ReadonlyMap<string, Node[]>, name: string): Node | undefined {
    const all = readers.get(name) ?? [];
    return all.length === 1 && !this.#outputs.has(name) ? all[0] : undefined;
  }

  #sweep(): void {
    this.#nodes = this.#nodes.filter(({ isRemoved }) => !isRemoved);
  }

  /** Takes `next`, which reads only what `node` writes, into `node`. */
  #absorb(node: Node, next: Node): void {
    node.outputs = next.outputs;
    node.nodes.push(...next.nodes);
    next.isRemoved = true;
  }

  /** Fusions that do not look at layouts. */
  fuse(): void {
    this.#gatedUnits();
    this.#afterConvolutions();
    this.#afterProducts();
    this.#sweep();
  }

  /** x · sigmoid(x) is one kernel. */
  #gatedUnits(): void {
    const readers = this.#readers();
    for (const node of this.#nodes) {
      if (node.operator !== 'Sigmoid') continue;
      const next = this.#only(readers, node.outputs[0] as string);
      if (next?.operator !== 'Mul' || !next.inputs.includes(node.inputs[0] as string)) continue;
      next.operator = 'QuickGelu';
      next.inputs = [node.inputs[0] as string];
      next.nodes.unshift(...node.nodes);
      node.isRemoved = true;
    }
    this.#sweep();
  }

  #afterConvolutions(): void {
    const readers = this.#readers();
    for (const node of this.#nodes) {
      if (node.operator !== 'Conv' || node.isRemoved) continue;
      for (;;) {
        const next = this.#only(readers, node.outputs[0] as string);
        if (!next || next.inputs[0] !== node.outputs[0]) break;
        const isFolded = next.operator === 'BatchNormalization' && next.outputs.length === 1;
        if (!isFolded && !this.#isPerChannel(next, node)) break;
        // Either way a bias is there afterwards.
        if (node.inputs.length < 3) node.inputs = [...node.inputs, biasName(next)];
        this.#dims.set(node.inputs[2] as string, [dimOf(this.#shape(node.inputs[1] as string), 0)]);
        this.#absorb(node, next);
      }
      const next = this.#only(readers, node.outputs[0] as string);
      if (!next || !fusable.has(next.operator) || next.inputs[0] !== node.outputs[0]) continue;
      if (next.inputs.slice(1).some((name) => name !== '' && !this.#isConstant(name))) continue;
      node.activation = next.operator;
      this.#absorb(node, next);
    }
  }

  /** Scales or shifts every channel by a constant. */
  #isPerChannel(next: Node, conv: Node): boolean {
    if (next.operator !== 'Mul' && next.operator !== 'Add') return false;
    const other = next.inputs[1] ?? '';
    if (!this.#isConstant(other) || (next.operator === 'Mul' && conv.inputs.length < 3)) return false;
    const dims = this.#shape(other);
    const channels = dimOf(this.#shape(conv.inputs[1] as string), 0);
    return (
      dims.length >= 3 &&
      dims.every((extent, axis) => extent === 1 || (axis === dims.length - 3 && extent === channels))
    );
  }

  /** A bias joins a product of matrices, an activation a general one. */
  #afterProducts(): void {
    const readers = this.#readers();
    for (const node of this.#nodes) {
      if (node.operator === 'MatMul' && dimOf(this.#shape(node.inputs[0] as string), -1) >= 0) {
        const next = this.#only(readers, node.outputs[0] as string);
        const bias = next?.inputs.find((name) => name !== node.outputs[0]);
        const isPlane =
          this.#shape(node.inputs[0] as string).length === 2 && this.#shape(node.inputs[1] as string).length === 2;
        if (next?.operator === 'Add' && bias && isPlane && this.#isConstant(bias)) {
          node.operator = 'Gemm';
          node.inputs = [...node.inputs, bias];
          this.#absorb(node, next);
        }
      }
      if (node.operator !== 'Gemm') continue;
      const next = this.#only(readers, node.outputs[0] as string);
      if (!next || next.isRemoved || !fusable.has(next.operator) || next.operator === 'Clip') continue;
      node.activation = next.operator;
      this.#absorb(node, next);
    }
  }

  /** The blocked layout: each convolution and pool that can have it, and what lies between them. */
  interleave(block: number): void {
    const pad = (channels: number): number => Math.ceil(channels / block) * block;
    const readers = this.#readers();
    const useCount = (name: string) => (readers.get(name)?.length ?? 0) + (this.#outputs.has(name) ? 1 : 0);
    const blocked = new Map<string, BlockedValue>();
    const reordered = new Map<string, string>();
    const result: Node[] = [];

    const enter = (node: Node): void => {
      const name = node.inputs[0] as string;
      const value = blocked.get(name);
      if (value) {
        value.plainReaders--;
        node.inputs[0] = value.name;
        return;
      }
      const known = reordered.get(name);
      const target = known ?? `${name}${blockedSuffix}`;
      node.inputs[0] = target;
      if (known !== undefined) return;
      reordered.set(name, target);
      this.#setBlocked(target, name, pad);
      result.push(this.#layoutChange('ReorderInput', node.source, name, target));
    };
    const leave = (node: Node, channels: number): void => {
      const name = node.outputs[0] as string;
      const target = `${name}${blockedSuffix}`;
      this.#setBlocked(target, name, pad);
      node.outputs = [target, ...node.outputs.slice(1)];
      blocked.set(name, { node, name: target, channels, readers: useCount(name), plainReaders: useCount(name) });
    };
    /** Takes `next` into the blocked node that wrote `value`. */
    const join = (value: BlockedValue, next: Node): void => {
      const name = next.outputs[0] as string;
      value.node.nodes.push(...next.nodes);
      blocked.set(name, { ...value, readers: useCount(name), plainReaders: useCount(name) });
      next.isRemoved = true;
    };

    for (const node of this.#nodes) {
      if (node.operator === 'Conv') {
        const plan = this.#blockedConvolution(node, block);
        if (!plan) {
          result.push(node);
          continue;
        }
        node.isBlocked = true;
        const weight = `${node.inputs[1]}#${plan.weight.join('x')}`;
        this.#padded.set(weight, plan.weight);
        node.inputs[1] = weight;
        if (node.inputs[2]) {
          const bias = `${node.inputs[2]}#blocked`;
          this.#padded.set(bias, [plan.weight[0] as number]);
          node.inputs[2] = bias;
        }
        if (plan.reordersInput) enter(node);
        result.push(node);
        leave(node, plan.channels);
        continue;
      }
      const values = node.inputs
        .filter((name) => name !== '' && !this.#isConstant(name))
        .map((name) => blocked.get(name));
      const allBlocked = values.length > 0 && values.every((value) => value !== undefined);
      const [first, second] = values as BlockedValue[];
      if (pools.has(node.operator) && (eager.has(node.operator) || allBlocked)) {
        const channels = dimOf(this.#shape(node.inputs[0] as string), 1);
        if (node.outputs.length === 1 && this.#shape(node.inputs[0] as string).length === 4 && channels % block === 0) {
          node.isBlocked = true;
          enter(node);
          result.push(node);
          leave(node, channels);
          continue;
        }
      } else if (allBlocked && layoutFree.has(node.operator) && first) {
        first.plainReaders--;
        const { node: writer } = first;
        if (
          writer.operator === 'Conv' &&
          first.readers === 1 &&
          writer.activation === undefined &&
          lateFusable.has(node.operator)
        ) {
          writer.activation = node.operator;
          join(first, node);
          continue;
        }
        node.isBlocked = true;
        node.inputs[0] = first.name;
        result.push(node);
        leave(node, first.channels);
        continue;
      } else if (
        allBlocked &&
        (node.operator === 'Add' || node.operator === 'Sum' || node.operator === 'Mul') &&
        values.length === node.inputs.length &&
        node.inputs.every((name) => isEqual(this.#shape(name), this.#shape(node.inputs[0] as string)))
      ) {
        for (const value of values as BlockedValue[]) value.plainReaders--;
        const pair: readonly (readonly [BlockedValue, BlockedValue])[] =
          first && second && values.length === 2 && node.operator !== 'Mul'
            ? [
                [first, second],
                [second, first],
              ]
            : [];
        const found = pair.find(
          ([value]) =>
            value.node.operator === 'Conv' &&
            !value.node.adds &&
            value.readers === 1 &&
            value.node.activation === undefined,
        );
        if (found) {
          const [value, other] = found;
          value.node.adds = true;
          value.node.inputs = [
            value.node.inputs[0] as string,
            value.node.inputs[1] as string,
            value.node.inputs[2] ?? '',
            other.name,
          ];
          join(value, node);
          continue;
        }
        node.isBlocked = true;
        node.inputs = (values as BlockedValue[]).map(({ name }) => name);
        result.push(node);
        leave(node, first?.channels ?? 1);
        continue;
      } else if (allBlocked && node.operator === 'Concat' && intOf(node.source, 'axis', 0) === 1) {
        if ((values as BlockedValue[]).every(({ channels }) => channels % block === 0)) {
          for (const value of values as BlockedValue[]) value.plainReaders--;
          node.isBlocked = true;
          node.inputs = (values as BlockedValue[]).map(({ name }) => name);
          result.push(node);
          leave(node, dimOf(this.#shape(node.outputs[0] as string), 1));
          continue;
        }
      } else if (allBlocked && node.operator === 'BatchNormalization' && first) {
        first.plainReaders--;
        node.operator = 'Conv';
        node.isBlocked = true;
        const [weight, bias] = [`${node.outputs[0]}#scale`, `${node.outputs[0]}#shift`];
        this.#padded.set(weight, [pad(first.channels), 1, 1, 1]);
        this.#padded.set(bias, [pad(first.channels)]);
        node.inputs = [first.name, weight, bias];
        result.push(node);
        leave(node, first.channels);
        continue;
      }
      result.push(node);
    }
    this.#nodes = result.filter(({ isRemoved }) => !isRemoved);
    for (const [name, value] of blocked)
      if (value.plainReaders > 0) {
        const at = this.#nodes.indexOf(value.node);
        this.#nodes.splice(at + 1, 0, this.#layoutChange('ReorderOutput', value.node.source, value.name, name));
      }
  }

  /** What is left in the plain layout: sums join the convolution before them, and x · hard-sigmoid(x) is two kernels. */
  fuseSums(): void {
    const readers = this.#readers();
    for (const node of this.#nodes) {
      if (node.operator !== 'Conv' || node.isBlocked || node.activation !== undefined || node.isRemoved) continue;
      const sum = this.#only(readers, node.outputs[0] as string);
      const other = sum?.inputs.find((name) => name !== node.outputs[0]);
      if (sum?.operator !== 'Add' || sum.isBlocked || sum.isRemoved || !other || this.#isConstant(other)) continue;
      if (!isEqual(this.#shape(other), this.#shape(node.outputs[0] as string))) continue;
      node.adds = true;
      node.inputs = [node.inputs[0] as string, node.inputs[1] as string, node.inputs[2] ?? '', other];
      this.#absorb(node, sum);
      const next = this.#only(readers, node.outputs[0] as string);
      if (!next || !afterSums.has(next.operator)) continue;
      node.activation = next.operator;
      this.#absorb(node, next);
    }
    this.#sweep();
    this.#nodes = this.#nodes.flatMap((node) => {
      if (node.operator !== 'HardSwish' || node.isBlocked) return [node];
      const gate = `${node.outputs[0]}#gate`;
      this.#padded.set(gate, this.#shape(node.inputs[0] as string));
      return [
        { ...node, operator: 'HardSigmoid', outputs: [gate] },
        { ...node, operator: 'Mul', inputs: [...node.inputs, gate] },
      ];
    });
  }

  #setBlocked(target: string, name: string, pad: (channels: number) => number): void {
    const [batch = 1, channels = 1, ...plane] = this.#dims.get(name) ?? [];
    this.#padded.set(target, [batch, pad(channels), ...plane]);
  }

  #layoutChange(operator: string, source: OnnxNode, from: string, to: string): Node {
    return { operator, isBlocked: true, inputs: [from], outputs: [to], adds: false, source, nodes: [] };
  }

  /** How a convolution is computed in the blocked layout, or undefined where it is not. */
  #blockedConvolution(node: Node, block: number) {
    if (!this.#isConstant(node.inputs[1] as string)) return undefined;
    const weight = this.#shape(node.inputs[1] as string);
    const groups = intOf(node.source, 'group', 1);
    const [out = 1, inner = 1, ...window] = weight;
    if (weight.length !== 4) return undefined;
    const padded = Math.ceil(out / block) * block;
    // The runtime's changes of layout take channels by fours.
    if (groups > 1) {
      if (out % 4 !== 0) return undefined;
      const isDepthwise = inner === 1 && out === groups;
      if (!isDepthwise && (inner % block !== 0 || out % groups !== 0 || (out / groups) % block !== 0)) return undefined;
      return { weight: [padded, inner, ...window], reordersInput: true, channels: out };
    }
    if (inner < block) return { weight: [padded, inner, ...window], reordersInput: false, channels: out };
    if (inner % 4 !== 0) return undefined;
    return { weight: [padded, Math.ceil(inner / block) * block, ...window], reordersInput: true, channels: out };
  }

  finish(): readonly RuntimeKernel[] {
    return this.#nodes.map((node): RuntimeKernel => {
      const inputs = node.inputs.filter((name) => name !== '');
      return {
        name: node.source.name,
        operator: this.#finalName(node),
        isBlocked: node.isBlocked,
        inputs: inputs.map((name) => this.#shape(name)),
        output: this.#shape(node.outputs[0] as string),
        outputs: node.outputs.length,
        activation: node.activation,
        adds: node.adds,
        groups: intOf(node.source, 'group', 1),
        stride: intsOf(node.source, 'strides')[0] ?? 1,
        dilation: intsOf(node.source, 'dilations')[0] ?? 1,
        nodes: node.nodes,
        reads: inputs.filter((name) => !this.#isWeight(name)),
        writes: node.outputs,
      };
    });
  }

  #finalName({ operator, isBlocked, activation, adds }: Node): string {
    if (isBlocked || (activation === undefined && !adds)) return operator;
    return operator === 'Gemm' ? 'FusedGemm' : 'FusedConv';
  }

  #isWeight(name: string): boolean {
    return this.#isConstant(name.replace(/#.*/, '')) || /#(scale|shift)$/.test(name) || name.includes('#bias');
  }
}

/** Of a folded norm, whose own names stay behind. */
function biasName(node: Node): string {
  return `${node.source.name}#bias`;
}
