import { ConfigError } from '../core/errors.ts';
import type { Graph, GraphNode, Shape } from './graph.ts';
import {
  copiesOf,
  type InheritedParameter,
  type Origins,
  type ParameterLayout,
  widened,
} from './inherited-parameter.ts';

/** How a larger network begins as what a smaller one computes. */
export interface Growth {
  /** By name, where each parameter of the larger network is from: the smaller one's, drawn as for training from scratch, or zero. */
  readonly parameters: ReadonlyMap<string, InheritedParameter | 'drawn' | 'zero'>;
}

/** Whether two networks have the same parameters: nothing grows from the one to the other. */
export function haveSameParameters(a: Graph, b: Graph): boolean {
  const shapes = new Map(a.parameters.map(({ name, shape }) => [name, shape.join()]));
  return (
    a.parameters.length === b.parameters.length &&
    b.parameters.every(({ name, shape }) => shapes.get(name) === shape.join())
  );
}

/**
 * How a network grows into one of more channels, more blocks, or both. Operators are the same where they have the same name; every
 * tensor of the larger network is followed from the input on: which tensor of the smaller one it equals, and which of its
 * channels each channel is a copy of (Net2WiderNet). New blocks are residual: the last norm of the branch, or its last
 * linear layer where no norm follows, begins as zero, so that the sum is what came in (Net2DeeperNet, by the zero-γ
 * initialisation of Goyal et al. 2017, section 5.1).
 * @throws {ConfigError} naming the operator at which the larger network cannot compute what the smaller one does.
 * @see Chen, Goodfellow & Shlens (2016), "Net2Net: Accelerating Learning via Knowledge Transfer".
 */
export function growthBetween(small: Graph, large: Graph): Growth {
  const growing = new Growing(small, large);
  for (const node of large.nodes) growing.visit(node);
  growing.expectSameOutputs();
  return { parameters: growing.parameters };
}

/** What a tensor of the larger network equals: a tensor of the smaller one, channel by channel. */
interface Equal {
  /** Before dropping. */
  readonly tensor: string;
  readonly origins: Origins;
}

type NodeOf<Op extends GraphNode['op']> = Extract<GraphNode, { op: Op }>;

/** Activations f with f(f(x)) = f(x): a new one does nothing to what has been through another. */
const idempotent: ReadonlySet<GraphNode['op']> = new Set(['relu', 'relu6']);

/** Attributes that go with the channels or with the side of the pictures, in which stages of a schedule differ, too. */
const ofTheSize: ReadonlySet<string> = new Set(['pads', 'kernel', 'groups', 'heads']);

/** A walk over the larger network, operator by operator. */
class Growing {
  readonly parameters = new Map<string, InheritedParameter | 'drawn' | 'zero'>();
  readonly #small: Side;
  readonly #large: Side;
  /** By tensor of the larger network; new ones equal none. */
  readonly #equals = new Map<string, Equal>();

  constructor(small: Graph, large: Graph) {
    this.#small = new Side(small);
    this.#large = new Side(large);
    for (const { name } of large.inputs)
      this.#equals.set(name, { tensor: name, origins: this.#widened(name, name, name) });
  }

  visit(node: GraphNode): void {
    const counterpart = this.#small.nodes.get(node.name);
    const equal =
      node.op === 'drop'
        ? this.#equals.get(node.inputs[0] as string)
        : counterpart
          ? this.#inherit(node, counterpart)
          : this.#add(node);
    if (equal) this.#equals.set(node.outputs[0] as string, equal);
  }

  expectSameOutputs(): void {
    const { outputs } = this.#large.graph;
    outputs.forEach((output, index) => {
      const equal = this.#equals.get(output);
      const theirs = this.#small.root(this.#small.graph.outputs[index] as string);
      if (equal?.tensor !== theirs) this.#refuse(output, `the output ${theirs} of the smaller network`, equal?.tensor);
      const isSame = this.#small.channels(theirs) === this.#large.channels(output);
      if (!isSame)
        this.#refuse(output, `${this.#small.channels(theirs)} outputs`, String(this.#large.channels(output)));
    });
  }

  /** An operator that both networks have. */
  #inherit(node: GraphNode, theirs: GraphNode): Equal {
    if (node.op !== theirs.op) this.#refuse(node.name, `${theirs.op} as in the smaller network`, node.op);
    for (const [key, value] of Object.entries(theirs.attributes)) {
      const own = Object.entries(node.attributes).find(([name]) => name === key)?.[1];
      if (!ofTheSize.has(key) && own !== value) this.#refuse(node.name, `${key} ${value}`, String(own));
    }
    const inputs = this.#large.data(node).map((tensor, index): Equal => {
      const equal = this.#equals.get(tensor);
      const taken = this.#small.root(this.#small.data(theirs)[index] as string);
      if (!equal)
        throw new ConfigError(
          `${node.name}: expected a residual connection around every new layer, or one that leaves what comes in as it is, got none around ${tensor}`,
        );
      if (equal.tensor !== taken) this.#refuse(node.name, `to take ${taken}, as in the smaller network`, equal.tensor);
      return equal;
    });
    return { tensor: theirs.outputs[0] as string, origins: this.#originsAfter(node, theirs, inputs) };
  }

  /** An operator that only the larger network has. */
  #add(node: GraphNode): Equal | undefined {
    for (const name of this.#large.parameters(node)) if (!this.parameters.has(name)) this.parameters.set(name, 'drawn');
    const inputs = this.#large.data(node);
    const [first, second] = inputs.map((tensor) => this.#equals.get(tensor));
    if (node.op === 'add') return this.#addResidual(node, first, second);
    const before = first && this.#small.producers.get(first.tensor)?.op;
    return before === node.op && idempotent.has(node.op) ? first : undefined;
  }

  /** What came in, where the branch beside it is new and can begin as zero. */
  #addResidual(node: NodeOf<'add'>, first: Equal | undefined, second: Equal | undefined): Equal | undefined {
    if (first && second)
      this.#refuse(node.name, 'a residual connection in both networks or in none', 'one in the larger alone');
    const equal = first ?? second;
    if (equal) this.#silence(node.inputs[first ? 1 : 0] as string);
    return equal;
  }

  /** Makes a new branch begin as zero, with gradients that are not. */
  #silence(tensor: string): void {
    const node = this.#large.producers.get(tensor);
    if (!node || this.#equals.has(tensor))
      return this.#refuse(tensor, 'a new layer at the end of a new branch', 'none');
    switch (node.op) {
      case 'batch-norm':
        for (const name of node.inputs.slice(1, 3)) this.parameters.set(name, 'zero');
        return;
      case 'conv':
      case 'dense':
        for (const name of this.#large.parameters(node)) this.parameters.set(name, 'zero');
        return;
      case 'drop':
      case 'gate':
      // Zero at zero, and steep there.
      case 'silu':
      case 'hard-swish':
      case 'gelu':
        return this.#silence(node.inputs[0] as string);
      default:
        return this.#refuse(
          node.name,
          'a new branch that ends in a norm, a linear layer, silu, hard-swish or gelu, which can begin as zero and learn',
          node.op,
        );
    }
  }

  /** Origins of the channels that an operator of both networks gives, after its parameters have been accounted for. */
  #originsAfter(node: GraphNode, theirs: GraphNode, inputs: readonly Equal[]): Origins {
    const [{ origins: first } = { origins: new Int32Array() }] = inputs;
    switch (node.op) {
      case 'conv':
        return this.#conv(node, theirs as NodeOf<'conv'>, first);
      case 'dense':
        return this.#dense(node, theirs, first);
      case 'batch-norm':
        for (const name of node.inputs.slice(1)) this.#inheritVector(node, name, first);
        return first;
      case 'layer-norm':
        this.#expectEvenCopies(node, first);
        for (const name of node.inputs.slice(1)) this.#inheritVector(node, name, first);
        return first;
      case 'embedding': {
        const origins = this.#widened(node.name, theirs.outputs[0] as string, node.outputs[0] as string);
        this.#inheritTable(node, node.inputs[1] as string, origins);
        return origins;
      }
      case 'add-positions':
        this.#inheritTable(node, node.inputs[1] as string, first);
        return first;
      case 'concat':
        return this.#concat(theirs, inputs);
      case 'space-to-depth': {
        const planes = this.#small.channels(theirs.inputs[0] as string);
        const blocks = Array.from({ length: node.attributes.block ** 2 }, (_, block) =>
          first.map((origin) => block * planes + origin),
        );
        return joined(blocks);
      }
      case 'causal-attention':
        this.#expectWholeHeads(node, theirs as NodeOf<'causal-attention'>);
        return this.#same(node, inputs);
      case 'add':
      case 'multiply':
      case 'gate':
      case 'relu':
      case 'relu6':
      case 'silu':
      case 'gelu':
      case 'hard-swish':
      case 'sigmoid':
      case 'hard-sigmoid':
      case 'max-pool':
      case 'average-pool':
      case 'global-average-pool':
      case 'flatten':
      case 'drop':
        return this.#same(node, inputs);
      default:
        return node satisfies never;
    }
  }

  /** Of operators by element, or by plane: all inputs must have the same copies. */
  #same(node: GraphNode, inputs: readonly Equal[]): Origins {
    const [{ origins }, ...others] = inputs as [Equal, ...Equal[]];
    if (others.some((other) => other.origins.some((origin, channel) => origin !== origins[channel])))
      this.#refuse(node.name, 'the same channels to be copied on both sides', 'others');
    return origins;
  }

  #conv(node: NodeOf<'conv'>, theirs: NodeOf<'conv'>, inputs: Origins): Origins {
    const [, weight, bias] = node.inputs as [string, string, string | undefined];
    const outputs = this.#widened(node.name, theirs.outputs[0] as string, node.outputs[0] as string);
    const groups = this.#groups(node, theirs, inputs, outputs);
    this.#inheritParameter(node, weight, convLayout, { outputs, inputs: groups });
    if (bias !== undefined) this.#inheritVector(node, bias, outputs);
    return outputs;
  }

  /** Origins of each group's inputs within the group that its outputs are from. */
  #groups(node: NodeOf<'conv'>, theirs: NodeOf<'conv'>, inputs: Origins, outputs: Origins): readonly Origins[] {
    const { groups } = node.attributes;
    const perGroup = { inputs: inputs.length / groups, outputs: outputs.length / groups };
    const old = theirs.attributes.groups;
    const oldInputs = this.#small.channels(theirs.inputs[0] as string) / old;
    const oldOutputs = this.#small.channels(theirs.outputs[0] as string) / old;
    return Array.from({ length: groups }, (_, group) => {
      const of = outputs.slice(group * perGroup.outputs, (group + 1) * perGroup.outputs);
      const from = Math.floor((of[0] as number) / oldOutputs);
      const own = inputs.slice(group * perGroup.inputs, (group + 1) * perGroup.inputs);
      const local = own.map((origin) => origin - from * oldInputs);
      const isWhole =
        of.every((origin) => Math.floor(origin / oldOutputs) === from) &&
        local.every((input) => input >= 0 && input < oldInputs) &&
        new Set(local).size === oldInputs;
      if (!isWhole)
        this.#refuse(
          node.name,
          `groups of whole groups of the smaller network, ${old} of ${oldInputs} channels`,
          `${groups} of ${perGroup.inputs}`,
        );
      return local;
    });
  }

  #dense(node: NodeOf<'dense'>, theirs: GraphNode, inputs: Origins): Origins {
    const [, weight, bias] = node.inputs as [string, string, string | undefined];
    const outputs = this.#widened(node.name, theirs.outputs[0] as string, node.outputs[0] as string);
    const { transposed = false } = node.attributes;
    this.#inheritParameter(node, weight, (shape) => denseLayout(shape, transposed), { outputs, inputs: [inputs] });
    if (bias !== undefined) this.#inheritVector(node, bias, outputs);
    return outputs;
  }

  #concat(theirs: GraphNode, inputs: readonly Equal[]): Origins {
    let before = 0;
    return joined(
      inputs.map(({ origins }, index) => {
        const shifted = origins.map((origin) => origin + before);
        before += this.#small.channels(theirs.inputs[index] as string);
        return shifted;
      }),
    );
  }

  /** One value a channel. */
  #inheritVector(node: GraphNode, name: string, outputs: Origins): void {
    this.#inheritParameter(node, name, vectorLayout, { outputs, inputs: [Int32Array.of(0)] });
  }

  /** A row a token or position, whose values are channels. */
  #inheritTable(node: GraphNode, name: string, outputs: Origins): void {
    const rows = this.#large.shape(name)[0] as number;
    this.#inheritParameter(node, name, (shape) => denseLayout(shape, false), {
      outputs,
      inputs: [widened(rows, rows)],
    });
  }

  #inheritParameter(
    node: GraphNode,
    name: string,
    layout: (shape: Shape) => ParameterLayout,
    origins: Pick<InheritedParameter, 'outputs' | 'inputs'>,
  ): void {
    const [from, to] = [layout(this.#small.shape(name)), layout(this.#large.shape(name))];
    const isWidened = from.outputs !== to.outputs || from.inputs !== to.inputs;
    if (this.parameters.has(name) && isWidened)
      this.#refuse(node.name, 'weights of its own where the width grows', `${name}, which another layer has, too`);
    if (from.taps !== to.taps) this.#refuse(node.name, `kernels of ${from.taps} taps`, String(to.taps));
    this.parameters.set(name, { from, to, ...origins });
  }

  /** Statistics over all channels stay when each is there equally often. */
  #expectEvenCopies(node: GraphNode, origins: Origins): void {
    if (new Set(copiesOf(origins)).size > 1)
      this.#refuse(
        node.name,
        `a multiple of the smaller network’s ${new Set(origins).size} channels, for its statistics are over all of them`,
        String(origins.length),
      );
  }

  #expectWholeHeads(node: NodeOf<'causal-attention'>, theirs: NodeOf<'causal-attention'>): void {
    const width = this.#large.channels(node.outputs[0] as string) / node.attributes.heads;
    const oldWidth = this.#small.channels(theirs.outputs[0] as string) / theirs.attributes.heads;
    if (width !== oldWidth) this.#refuse(node.name, `heads of ${oldWidth} channels`, String(width));
  }

  #widened(place: string, small: string, large: string): Origins {
    const [from, to] = [this.#small.channels(small), this.#large.channels(large)];
    if (to < from) this.#refuse(place, `at least the ${from} channels of the smaller network`, String(to));
    return widened(from, to);
  }

  #refuse(place: string, expected: string, got: string | undefined): never {
    throw new ConfigError(`${place}: expected ${expected}, got ${got ?? 'none'}`);
  }
}

/** A graph with what is asked of it by name. */
class Side {
  readonly graph: Graph;
  readonly nodes: ReadonlyMap<string, GraphNode>;
  /** By tensor. */
  readonly producers: ReadonlyMap<string, GraphNode>;
  readonly #parameters: ReadonlySet<string>;

  constructor(graph: Graph) {
    this.graph = graph;
    this.nodes = new Map(graph.nodes.map((node) => [node.name, node]));
    this.producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
    this.#parameters = new Set(graph.parameters.map(({ name }) => name));
  }

  /** Inputs that are computed. */
  data({ inputs }: GraphNode): readonly string[] {
    return inputs.filter((input) => !this.#parameters.has(input));
  }

  parameters({ inputs }: GraphNode): readonly string[] {
    return inputs.filter((input) => this.#parameters.has(input));
  }

  /** The tensor before any dropping: stages of a schedule differ in it. */
  root(tensor: string): string {
    const node = this.producers.get(tensor);
    return node?.op === 'drop' ? this.root(node.inputs[0] as string) : tensor;
  }

  /** @throws {ConfigError} when there is no such tensor. */
  shape(name: string): Shape {
    const type = this.graph.tensors.get(name);
    if (!type) throw new ConfigError(`${name}: expected it in both networks, got it in one`);
    return type.shape;
  }

  /** The last axis of sequences, the second of all else. */
  channels(tensor: string): number {
    const shape = this.shape(tensor);
    return Number(shape.length === 3 ? shape[2] : shape[1]);
  }
}

function layoutOf(
  layout: Pick<ParameterLayout, 'outputs' | 'outputStride'> & Partial<ParameterLayout>,
): ParameterLayout {
  return { inputs: 1, taps: 1, inputStride: 1, ...layout };
}

/** `[out]` */
function vectorLayout([outputs]: Shape): ParameterLayout {
  return layoutOf({ outputs: Number(outputs), outputStride: 1 });
}

/** `[out, in ÷ groups, height, width]` */
function convLayout(shape: Shape): ParameterLayout {
  const [outputs, inputs, height, width] = shape as [number, number, number, number];
  const taps = height * width;
  return { outputs, inputs, taps, outputStride: inputs * taps, inputStride: taps };
}

/** `[in, out]`, or transposed. */
function denseLayout(shape: Shape, transposed: boolean): ParameterLayout {
  const [rows, columns] = shape as [number, number];
  return transposed
    ? layoutOf({ outputs: rows, inputs: columns, outputStride: columns, inputStride: 1 })
    : layoutOf({ outputs: columns, inputs: rows, outputStride: 1, inputStride: columns });
}

function joined(parts: readonly Origins[]): Origins {
  return Int32Array.from(parts.flatMap((part) => [...part]));
}
