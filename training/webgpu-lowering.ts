import { UnsupportedModelError } from '../accelerators/onnxruntime.ts';
import type { OnnxNode, OnnxTensor } from '../models/onnx.ts';
import { shapesOf } from '../models/onnx-shapes.ts';
import type { Lowering, OrderedStep } from './lowering.ts';
import { plainLowering } from './plain/lower.ts';

/** Operators of the plain lowering that onnxruntime's WebGPU provider has no kernel for, nor others to make them of here. */
const missing: ReadonlySet<string> = new Set(['OneHot', 'SpaceToDepth', 'DepthToSpace']);

/** The plain lowering in operators that onnxruntime's WebGPU provider runs (1.30). */
export const webGpuLowering: Lowering = {
  id: 'plain-webgpu',
  lower: (graph) => plainLowering.lower(graph),
  /** @throws {UnsupportedModelError} naming the operator that has no kernel, and whose it is. */
  replace(step) {
    const replacing = new Replacing(step);
    const nodes = step.nodes.flatMap((node) => replacing.nodesFor(node));
    return { ...step, nodes, initializers: [...step.initializers, ...replacing.constants] };
  },
};

class Replacing {
  readonly constants: OnnxTensor[] = [];
  readonly #dims: (value: string) => readonly number[];
  /** Constants of whole numbers, by name. */
  readonly #whole: ReadonlyMap<string, OnnxTensor>;

  constructor(step: OrderedStep) {
    const shapes = shapesOf(step, 'training step');
    this.#dims = (value) => shapes.get(value)?.dims ?? [];
    const whole = step.initializers.filter(({ data }) => data instanceof BigInt64Array);
    this.#whole = new Map(whole.map((constant) => [constant.name, constant]));
  }

  nodesFor(node: OnnxNode): readonly OnnxNode[] {
    if (missing.has(node.opType))
      throw new UnsupportedModelError(
        `webgpu: expected operators it trains with, got '${node.name}' (${node.opType}), which onnxruntime has no kernel for there`,
      );
    switch (node.opType) {
      case 'FusedMatMul':
        return this.#matMul(node);
      case 'FusedConv':
        return this.#affine(node);
      case 'LogSoftmax':
        return this.#logSoftmax(node);
      case 'ArgMax':
        return this.#argMax(node);
      case 'Equal':
        return this.#equal(node);
      case 'Split':
        return this.#split(node);
      default:
        return [node];
    }
  }

  /** Operands are transposed before. */
  #matMul(node: OnnxNode): readonly OnnxNode[] {
    const before: OnnxNode[] = [];
    const inputs = node.inputs.map((input, index) => {
      const flag = node.attributes?.[index === 0 ? 'transA' : 'transB'];
      if (!flag || !('int' in flag) || flag.int === 0) return input;
      const axes = this.#dims(input).map((_, axis) => axis);
      const perm = [...axes.slice(0, -2), axes.at(-1) as number, axes.at(-2) as number];
      before.push(part(node, `turned${index}`, 'Transpose', [input], { perm: { ints: perm } }));
      return nameOf(node, `turned${index}`);
    });
    return [...before, { opType: 'MatMul', name: node.name, inputs, outputs: node.outputs }];
  }

  /** The plain lowering's factor · x + offset + more, rectified: its one use of the operator, a convolution of one tap a channel. */
  #affine(node: OnnxNode): readonly OnnxNode[] {
    const [x, factor, offset, more] = node.inputs as [string, string, string | undefined, string | undefined];
    const channels = this.#dims(factor)[0] as number;
    const row = this.#whole64([1, channels, 1]);
    const nodes: OnnxNode[] = [];
    const add = (name: string, opType: string, inputs: readonly string[]): string => {
      nodes.push(part(node, name, opType, inputs));
      return nameOf(node, name);
    };
    let value = add('scaled', 'Mul', [x, add('factor', 'Reshape', [factor, row])]);
    if (offset) value = add('moved', 'Add', [value, add('offset', 'Reshape', [offset, row])]);
    if (more) value = add('sum', 'Add', [value, more]);
    const activation = node.attributes?.['activation'];
    if (activation && 'string' in activation)
      add(
        'rectified',
        activation.string,
        activation.string === 'Clip' ? [value, this.#floats([0], []), this.#floats([6], [])] : [value],
      );
    const last = nodes.pop() as OnnxNode;
    return [...nodes, { ...last, name: node.name, outputs: node.outputs }];
  }

  /** x − max x − log Σ exp(x − max x), along the last axis. */
  #logSoftmax(node: OnnxNode): readonly OnnxNode[] {
    const [x] = node.inputs as [string];
    const value = (name: string): string => nameOf(node, name);
    const axes = this.#whole64([this.#dims(x).length - 1]);
    return [
      part(node, 'peak', 'ReduceMax', [x], { axes: { ints: [-1] }, keepdims: { int: 1 } }),
      part(node, 'moved', 'Sub', [x, value('peak')]),
      part(node, 'powers', 'Exp', [value('moved')]),
      part(node, 'total', 'ReduceSum', [value('powers'), axes], { keepdims: { int: 1 } }),
      part(node, 'logarithm', 'Log', [value('total')]),
      { opType: 'Sub', name: node.name, inputs: [value('moved'), value('logarithm')], outputs: node.outputs },
    ];
  }

  /** The first place of a row's largest value, as a float: there are no 64-bit whole numbers. */
  #argMax(node: OnnxNode): readonly OnnxNode[] {
    const [x] = node.inputs as [string];
    const { axis, keepdims = { int: 1 } } = node.attributes ?? {};
    const dims = this.#dims(x);
    const along = axis && 'int' in axis ? axis.int : 0;
    const count = dims[along] as number;
    const value = (name: string): string => nameOf(node, name);
    const places = this.#floats(
      Array.from({ length: count }, (_, place) => place),
      dims.map((_, at) => (at === along ? count : 1)),
    );
    const axes = { axes: { ints: [along] } };
    return [
      part(node, 'peak', 'ReduceMax', [x], { ...axes, keepdims: { int: 1 } }),
      part(node, 'isPeak', 'Equal', [x, value('peak')]),
      part(node, 'places', 'Where', [value('isPeak'), places, this.#floats([count], [])]),
      { ...node, opType: 'ReduceMin', inputs: [value('places')], attributes: { ...axes, keepdims } },
    ];
  }

  /** Of places, which are floats here. */
  #equal(node: OnnxNode): readonly OnnxNode[] {
    const inputs = node.inputs.map((input) => {
      const constant = this.#whole.get(input);
      return constant ? this.#floats(Array.from(constant.data as BigInt64Array, Number), constant.dims) : input;
    });
    return [{ ...node, inputs }];
  }

  /** One slice an output: a shader has room for few buffers. */
  #split(node: OnnxNode): readonly OnnxNode[] {
    const [vector, sizes] = node.inputs as [string, string];
    const axis = node.attributes?.['axis'];
    const along = axis && 'int' in axis ? axis.int : 0;
    let start = 0;
    return node.outputs.map((output, index) => {
      const end = start + Number(this.#whole.get(sizes)?.data[index]);
      const bounds = [start, end, along].map((value) => this.#whole64([value]));
      start = end;
      return { opType: 'Slice', name: `${node.name}.${index}`, inputs: [vector, ...bounds], outputs: [output] };
    });
  }

  /** A constant vector of whole numbers. */
  #whole64(values: readonly number[]): string {
    const name = `%whole ${values.join()}`;
    return this.#constant({ name, dims: [values.length], data: BigInt64Array.from(values, BigInt) });
  }

  #floats(values: readonly number[], dims: readonly number[]): string {
    const name = `%floats ${values.join()} ${dims.join()}`;
    return this.#constant({ name, dims, data: Float32Array.from(values) });
  }

  #constant(constant: OnnxTensor): string {
    if (!this.constants.some(({ name }) => name === constant.name)) this.constants.push(constant);
    return constant.name;
  }
}

const nameOf = ({ outputs }: OnnxNode, name: string): string => `${outputs[0]}.${name}`;

function part(
  node: OnnxNode,
  name: string,
  opType: string,
  inputs: readonly string[],
  attributes: OnnxNode['attributes'] = {},
): OnnxNode {
  return { opType, name: `${node.name}.${name}`, inputs, outputs: [nameOf(node, name)], attributes };
}
