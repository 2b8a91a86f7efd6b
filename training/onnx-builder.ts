import { elements } from '../models/graph.ts';
import type { OnnxAttribute, OnnxNode, OnnxTensor } from '../models/onnx.ts';

/** A whole number, a list of them, or an attribute spelled out. */
type AttributeValue = number | readonly number[] | OnnxAttribute;

/** ONNX nodes and constants, one at a time; equal constants and shared work are made once. Knows no layout. */
export class OnnxBuilder {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxTensor[] = [];
  /** Versions of the operator domains used beside ONNX's own. */
  readonly opsets: Record<string, number> = { 'com.microsoft': 1 };
  readonly #memo = new Map<string, string>();
  #scope = '';
  #count = 0;

  /** Names what follows, e.g. after a node of the training graph. */
  enter(scope: string): void {
    this.#scope = scope;
    this.#count = 0;
  }

  /** What {@link enter} named last. */
  get scope(): string {
    return this.#scope;
  }

  /** Adds one ONNX node with one output and returns that output's name, which is short: onnxruntime looks it up often. */
  op(
    opType: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeValue>> = {},
    domain = '',
  ): string {
    const name = `${this.#scope}/${opType}.${this.#count++}`;
    const output = `%${this.nodes.length}`;
    const encoded = Object.entries(attributes).map(([key, value]) => [key, encodeAttribute(value)] as const);
    this.nodes.push({ opType, name, domain, inputs, outputs: [output], attributes: Object.fromEntries(encoded) });
    return output;
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
    return this.once(`ints ${values.join()} ${extents.join()}`, () => this.#constant('%i', extents, data));
  }

  /** A constant scalar. */
  scalar(value: number): string {
    return this.once(`scalar ${value}`, () => this.#constant('%s', [], new Float32Array([value])));
  }

  /** A constant tensor; `key` names its content. */
  floats(key: string, extents: readonly number[], make: () => Float32Array): string {
    return this.once(`floats ${key}`, () => this.#constant('%f', extents, make()));
  }

  #constant(prefix: string, dims: readonly number[], data: Float32Array | BigInt64Array): string {
    if (elements(dims) !== data.length) throw new Error(`expected ${elements(dims)} constants, got ${data.length}`);
    const name = `${prefix}${this.initializers.length}`;
    this.initializers.push({ name, dims, data });
    return name;
  }
}

function encodeAttribute(value: AttributeValue): OnnxAttribute {
  if (typeof value === 'number') return { int: value };
  return Array.isArray(value) ? { ints: value as readonly number[] } : (value as OnnxAttribute);
}
