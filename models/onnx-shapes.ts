import { ConfigError, InvalidFileError, RidgepointError } from '../core/errors.ts';
import {
  keptValues,
  type OnnxAttribute,
  type OnnxGraph,
  type OnnxModel,
  type OnnxNode,
  type OnnxValue,
} from './onnx.ts';
import { samePadding } from './shapes.ts';

/** An operator whose shapes and cost are not known here; another tool may well run it. */
export class UnsupportedOperatorError extends RidgepointError {
  readonly code = 'unsupported-operator';
}

/** A value of the graph with every extent known. */
export interface ShapedTensor {
  readonly dims: readonly number[];
  /** Known before the first run: a weight, or computed from weights and shapes alone. */
  readonly isConstant: boolean;
  /** Of few numbers that later shapes may be made of. */
  readonly values?: readonly number[];
}

/** Extents a file leaves open. */
export interface ShapeBindings {
  /** Of the first axis of every input; a fixed one must agree. 1 where left out and the file leaves it open. */
  readonly batch?: number;
  /** Of symbolic heights and widths: the last two axes of inputs of four. */
  readonly resolution?: number;
  /** All extents of an input by its name; they win over everything else. */
  readonly inputs?: Readonly<Record<string, readonly number[]>>;
}

/**
 * Extents of every value of a graph, by name, from those of its inputs.
 * Shape arithmetic (`Shape`, `Gather`, `Concat`, … of few numbers) is carried out, as exporters write it
 * around reshapes. Data-dependent shapes are beyond it.
 * @param where names the graph in errors.
 * @throws {ConfigError} for an open extent, naming the input and how to give it.
 * @throws {UnsupportedOperatorError} naming the operator and the node.
 * @throws {InvalidFileError} where extents do not fit together, naming the node.
 */
export function inferShapes(
  graph: OnnxGraph,
  bindings: ShapeBindings,
  where: string,
): ReadonlyMap<string, ShapedTensor> {
  const tensors = new Map<string, ShapedTensor>();
  for (const [name, constant] of graph.constants)
    tensors.set(name, { dims: constant.dims, isConstant: true, values: constant.values });
  for (const input of graph.inputs)
    tensors.set(input.name, { dims: bindInput(input, bindings, where), isConstant: false });
  for (const node of graph.nodes)
    for (const [name, tensor] of inferNode(node, tensors, where)) if (name !== '') tensors.set(name, tensor);
  return tensors;
}

/** {@link inferShapes} of a model at hand, whose inputs have fixed extents. */
export function shapesOf(
  { inputs, initializers, nodes }: Pick<OnnxModel, 'inputs' | 'initializers' | 'nodes'>,
  where: string,
): ReadonlyMap<string, ShapedTensor> {
  const constants = initializers.map(({ name, dims, data }) => {
    const values = data instanceof BigInt64Array ? { values: Array.from(data, Number) } : {};
    return [name, { dtype: 'float32' as const, dims, ...values }] as const;
  });
  return inferShapes({ name: where, inputs, outputs: [], nodes, constants: new Map(constants) }, {}, where);
}

function bindInput(input: OnnxValue, bindings: ShapeBindings, where: string): readonly number[] {
  const declared = input.shape;
  const place = `${where}: input '${input.name}'`;
  const given = bindings.inputs?.[input.name];
  const text = declared.map((extent) => (extent === '' ? '?' : extent)).join(' × ');
  if (given) {
    const fits =
      given.length === declared.length && given.every((x, axis) => isOpen(declared[axis]) || declared[axis] === x);
    if (!fits) throw new ConfigError(`${place}: expected extents that fit ${text}, got ${given.join(' × ')}`);
    return given;
  }
  return declared.map((extent, axis) => {
    if (typeof extent === 'number' && extent > 0) {
      if (axis === 0 && declared.length > 1 && extent !== (bindings.batch ?? extent))
        throw new ConfigError(
          `${place}: expected batch ${bindings.batch}, got a file whose first axis is fixed at ${extent}`,
        );
      return extent;
    }
    if (axis === 0) return bindings.batch ?? 1;
    if (declared.length === 4 && axis >= 2 && bindings.resolution !== undefined) return bindings.resolution;
    throw new ConfigError(
      `${place}: expected every extent but the batch to be known, got ${text}; give them as --shape ${input.name}=${declared
        .map((e, a) => (typeof e === 'number' && e > 0 ? e : a === 0 ? (bindings.batch ?? 1) : '<n>'))
        .join('x')}`,
    );
  });
}

function isOpen(extent: number | string | undefined): boolean {
  return typeof extent !== 'number' || extent <= 0;
}

function inferNode(
  node: OnnxNode,
  tensors: ReadonlyMap<string, ShapedTensor>,
  where: string,
): [string, ShapedTensor][] {
  const place = `${where}: node '${node.name}' (${node.opType})`;
  const operator = node.domain ? `${node.domain}.${node.opType}` : node.opType;
  const rule = rules[operator];
  if (!rule) {
    throw new UnsupportedOperatorError(
      `${where}: node '${node.name}': expected an operator whose shapes are known here, got ${operator}`,
    );
  }
  const inputs = node.inputs.map((name) => {
    if (name === '') return undefined;
    const tensor = tensors.get(name);
    if (!tensor) throw new InvalidFileError(`${place}: expected a value computed before, got '${name}'`);
    return tensor;
  });
  const outputs = rule(new NodeView(node, inputs, place));
  const isConstant = inputs.every((input) => input === undefined || input.isConstant);
  return outputs.map(({ dims, values }, index) => {
    if (dims.some((extent) => !Number.isInteger(extent) || extent < 0))
      throw new InvalidFileError(`${place}: expected extents that fit together, got an output of ${dims.join(' × ')}`);
    return [node.outputs[index] ?? '', { dims, values, isConstant: isConstant || values !== undefined }];
  });
}

/** A node with the extents of its inputs, read with defaults and errors that name it. */
class NodeView {
  readonly node: OnnxNode;
  readonly inputs: readonly (ShapedTensor | undefined)[];
  readonly #place: string;

  constructor(node: OnnxNode, inputs: readonly (ShapedTensor | undefined)[], place: string) {
    this.node = node;
    this.inputs = inputs;
    this.#place = place;
  }

  fail(expected: string, got: string): never {
    throw new InvalidFileError(`${this.#place}: expected ${expected}, got ${got}`);
  }

  input(index: number): ShapedTensor {
    return this.inputs[index] ?? this.fail(`at least ${index + 1} inputs`, String(this.inputs.length));
  }

  dims(index: number): readonly number[] {
    return this.input(index).dims;
  }

  int(name: string, fallback: number): number {
    const attribute = this.#attribute(name);
    return attribute && 'int' in attribute ? attribute.int : fallback;
  }

  ints(name: string): readonly number[] | undefined {
    const attribute = this.#attribute(name);
    return attribute && 'ints' in attribute ? attribute.ints : undefined;
  }

  floats(name: string): readonly number[] | undefined {
    const attribute = this.#attribute(name);
    return attribute && 'floats' in attribute ? attribute.floats : undefined;
  }

  text(name: string, fallback: string): string {
    const attribute = this.#attribute(name);
    return attribute && 'string' in attribute ? attribute.string : fallback;
  }

  /** Numbers that newer operator sets take as an input and older ones as an attribute; undefined when given as neither. */
  numbers(index: number, attribute: string): readonly number[] | undefined {
    const input = this.inputs[index];
    if (!input) return this.ints(attribute) ?? this.floats(attribute);
    return input.values ?? this.fail(`constant ${attribute}`, 'some that depend on data');
  }

  /** An axis counted from the front. */
  axis(axis: number, rank: number): number {
    const positive = axis < 0 ? axis + rank : axis;
    return positive >= 0 && positive < Math.max(rank, 1) ? positive : this.fail(`an axis of ${rank}`, String(axis));
  }

  #attribute(name: string): OnnxAttribute | undefined {
    return this.node.attributes?.[name];
  }
}

type Output = Pick<ShapedTensor, 'dims' | 'values'>;
type Rule = (view: NodeView) => readonly Output[];

const product = (values: readonly number[]): number => values.reduce((result, value) => result * value, 1);

/** The first input's extents, and its few numbers where the operator keeps them as they are. */
const sameAsFirst: Rule = (view) => [{ dims: view.dims(0) }];
const unchanged: Rule = (view) => [{ dims: view.dims(0), values: view.input(0).values }];

/** Extents of element-wise operators on several inputs, aligned at the last axis. */
function broadcast(view: NodeView): readonly number[] {
  const shapes = view.inputs.filter((input) => input !== undefined).map(({ dims }) => dims);
  const rank = Math.max(...shapes.map(({ length }) => length));
  return Array.from({ length: rank }, (_, axis) => {
    const extents = shapes.map((dims) => dims[axis - rank + dims.length] ?? 1).filter((extent) => extent !== 1);
    const extent = extents[0] ?? 1;
    if (extents.some((other) => other !== extent))
      view.fail('extents that broadcast', shapes.map(String).join(' and '));
    return extent;
  });
}

/** The value at an index, or the only one there is. */
const scalarOr = (values: readonly number[], index: number): number =>
  values[values.length === 1 ? 0 : index] as number;

function arithmetic(compute?: (...operands: number[]) => number): Rule {
  return (view) => {
    const dims = broadcast(view);
    const length = product(dims);
    const operands = view.inputs.map((input) => input?.values ?? []);
    // Of few known numbers, each as many as the result or one for all; tables that broadcast are no shapes.
    if (!compute || operands.some((values) => values.length !== length && values.length !== 1)) return [{ dims }];
    const values = Array.from({ length }, (_, index) => compute(...operands.map((one) => scalarOr(one, index))));
    return [{ dims, values }];
  };
}

/** Output extents of a window moved over the spatial axes. */
function windowed(view: NodeView, kernel: readonly number[], dims: readonly number[]): readonly number[] {
  const spatial = dims.slice(2);
  const strides = view.ints('strides') ?? spatial.map(() => 1);
  const dilations = view.ints('dilations') ?? spatial.map(() => 1);
  const pads = view.ints('pads') ?? [...spatial, ...spatial].map(() => 0);
  const automatic = view.text('auto_pad', 'NOTSET');
  const round = view.int('ceil_mode', 0) === 1 ? Math.ceil : Math.floor;
  if (kernel.length !== spatial.length) view.fail(`a kernel of ${spatial.length} axes`, String(kernel.length));
  return spatial.map((extent, axis) => {
    const stride = strides[axis] ?? 1;
    const span = ((kernel[axis] ?? 1) - 1) * (dilations[axis] ?? 1) + 1;
    if (automatic.startsWith('SAME')) return samePadding(extent, span, stride).out;
    const padding = automatic === 'VALID' ? 0 : (pads[axis] ?? 0) + (pads[axis + spatial.length] ?? 0);
    return round((extent + padding - span) / stride) + 1;
  });
}

const convolution: Rule = (view) => {
  const [x, w] = [view.dims(0), view.dims(1)];
  const groups = view.int('group', 1);
  if (x.length < 3 || w.length !== x.length) view.fail('an image and a kernel of equal rank', `${x} and ${w}`);
  if ((x[1] ?? 0) !== (w[1] ?? 0) * groups)
    view.fail(`${(w[1] ?? 0) * groups} input channels (${w[1]} in each of ${groups} groups)`, String(x[1]));
  return [{ dims: [x[0] ?? 0, w[0] ?? 0, ...windowed(view, w.slice(2), x)] }];
};

const transposedConvolution: Rule = (view) => {
  const [x, w] = [view.dims(0), view.dims(1)];
  const spatial = x.slice(2);
  const given = view.ints('output_shape');
  const pads = view.ints('pads') ?? [...spatial, ...spatial].map(() => 0);
  const out = spatial.map((extent, axis) => {
    const stride = view.ints('strides')?.[axis] ?? 1;
    if (given) return given[axis] ?? 0;
    if (view.text('auto_pad', 'NOTSET').startsWith('SAME')) return extent * stride;
    const span = ((w[axis + 2] ?? 1) - 1) * (view.ints('dilations')?.[axis] ?? 1) + 1;
    const padding = (pads[axis] ?? 0) + (pads[axis + spatial.length] ?? 0);
    return (extent - 1) * stride + span - padding + (view.ints('output_padding')?.[axis] ?? 0);
  });
  return [{ dims: [x[0] ?? 0, (w[1] ?? 0) * view.int('group', 1), ...out] }];
};

const pool: Rule = (view) => {
  const kernel = view.ints('kernel_shape') ?? view.fail('a kernel_shape', 'none');
  const [n = 0, c = 0] = view.dims(0);
  return [{ dims: [n, c, ...windowed(view, kernel, view.dims(0))] }];
};

const globalPool: Rule = (view) => [{ dims: view.dims(0).map((extent, axis) => (axis < 2 ? extent : 1)) }];

const gemm: Rule = (view) => {
  const oriented = (index: number, flag: string) =>
    view.int(flag, 0) === 1 ? view.dims(index).toReversed() : view.dims(index);
  const [a, b] = [oriented(0, 'transA'), oriented(1, 'transB')];
  if (a.length !== 2 || b.length !== 2 || a[1] !== b[0])
    view.fail('matrices that multiply', `${a.join(' × ')} and ${b.join(' × ')}`);
  return [{ dims: [a[0] ?? 0, b[1] ?? 0] }];
};

const matMul: Rule = (view) => [{ dims: productDims(view, view.dims(0), view.dims(1)) }];

/** Extents of a matrix product over the last two axes, the others broadcast. */
function productDims(view: NodeView, first: readonly number[], second: readonly number[]): readonly number[] {
  const a = first.length === 1 ? [1, ...first] : first;
  const b = second.length === 1 ? [...second, 1] : second;
  if (a.at(-1) !== b.at(-2)) view.fail('matrices that multiply', `${first.join(' × ')} and ${second.join(' × ')}`);
  const rank = Math.max(a.length, b.length) - 2;
  const batch = Array.from({ length: rank }, (_, axis) =>
    Math.max(a[axis - rank + a.length - 2] ?? 1, b[axis - rank + b.length - 2] ?? 1),
  );
  const rows = first.length === 1 ? [] : [a.at(-2) ?? 0];
  const columns = second.length === 1 ? [] : [b.at(-1) ?? 0];
  return [...batch, ...rows, ...columns];
}

/** `com.microsoft.FusedMatMul`: either operand's last two axes may be swapped. */
const fusedMatMul: Rule = (view) => {
  const oriented = (index: number, flag: string) => {
    const dims = view.dims(index);
    return view.int(flag, 0) === 1 ? [...dims.slice(0, -2), dims.at(-1) ?? 0, dims.at(-2) ?? 0] : dims;
  };
  return [{ dims: productDims(view, oriented(0, 'transA'), oriented(1, 'transB')) }];
};

const reduce: Rule = (view) => {
  const dims = view.dims(0);
  const axes = view.numbers(1, 'axes')?.map((axis) => view.axis(axis, dims.length));
  if (!axes?.length && view.int('noop_with_empty_axes', 0) === 1) return [{ dims }];
  const isReduced = (axis: number) => !axes?.length || axes.includes(axis);
  return [{ dims: reduced(dims, isReduced, view.int('keepdims', 1) === 1) }];
};

const argument: Rule = (view) => {
  const dims = view.dims(0);
  const axis = view.axis(view.int('axis', 0), dims.length);
  return [{ dims: reduced(dims, (other) => other === axis, view.int('keepdims', 1) === 1) }];
};

function reduced(dims: readonly number[], isReduced: (axis: number) => boolean, keep: boolean): readonly number[] {
  return dims.flatMap((extent, axis) => (isReduced(axis) ? (keep ? [1] : []) : [extent]));
}

const concat: Rule = (view) => {
  const tensors = view.inputs.map((_, index) => view.input(index));
  const dims = view.dims(0);
  const axis = view.axis(view.int('axis', 0), dims.length);
  for (const other of tensors)
    if (other.dims.length !== dims.length || other.dims.some((extent, at) => at !== axis && extent !== dims[at]))
      view.fail(`equal extents but for axis ${axis}`, tensors.map((tensor) => tensor.dims.join(' × ')).join(' and '));
  const sum = tensors.reduce((total, tensor) => total + (tensor.dims[axis] ?? 0), 0);
  const values = tensors.every((tensor) => tensor.values && tensor.dims.length === 1)
    ? tensors.flatMap((tensor) => tensor.values ?? [])
    : undefined;
  return [{ dims: dims.map((extent, at) => (at === axis ? sum : extent)), values }];
};

const split: Rule = (view) => {
  const dims = view.dims(0);
  const axis = view.axis(view.int('axis', 0), dims.length);
  const parts = view.node.outputs.length;
  const extent = dims[axis] ?? 0;
  const even = Math.ceil(extent / parts);
  const sizes =
    view.numbers(1, 'split') ??
    Array.from({ length: parts }, (_, part) => Math.min(even, Math.max(0, extent - part * even)));
  if (sizes.reduce((sum, size) => sum + size, 0) !== extent)
    view.fail(`parts that sum to ${extent}`, sizes.join(' + '));
  return sizes.map((size) => ({ dims: dims.map((whole, at) => (at === axis ? size : whole)) }));
};

const slice: Rule = (view) => {
  const { dims, values } = view.input(0);
  const starts = view.numbers(1, 'starts') ?? view.fail('starts', 'none');
  const ends = view.numbers(2, 'ends') ?? view.fail('ends', 'none');
  const axes = view.numbers(3, 'axes') ?? starts.map((_, index) => index);
  const steps = view.numbers(4, 'steps') ?? starts.map(() => 1);
  const result = [...dims];
  let kept = values;
  axes.forEach((given, index) => {
    const axis = view.axis(given, dims.length);
    const [extent, step] = [dims[axis] ?? 0, steps[index] ?? 1];
    const clamp = (at: number) => {
      const positive = at < 0 ? at + extent : at;
      return step > 0 ? Math.min(Math.max(positive, 0), extent) : Math.min(Math.max(positive, -1), extent - 1);
    };
    const end = ends[index] ?? 0;
    // Past either side, and not one from the back: exporters write the largest and smallest integers for "to the end".
    const [from, to] = [clamp(starts[index] ?? 0), step < 0 && end < -extent ? -1 : clamp(end)];
    const count = Math.max(0, Math.ceil((to - from) / step));
    result[axis] = count;
    kept =
      dims.length === 1
        ? kept && Array.from({ length: count }, (_, i) => kept?.[from + i * step] as number)
        : undefined;
  });
  return [{ dims: result, values: kept }];
};

const pad: Rule = (view) => {
  const dims = view.dims(0);
  const pads = view.numbers(1, 'pads') ?? view.fail('pads', 'none');
  const axes = view.inputs[3]?.values?.map((axis) => view.axis(axis, dims.length)) ?? dims.map((_, axis) => axis);
  return [
    {
      dims: dims.map((extent, axis) => {
        const at = axes.indexOf(axis);
        return at < 0 ? extent : extent + (pads[at] ?? 0) + (pads[at + axes.length] ?? 0);
      }),
    },
  ];
};

/** `Resize` of operator set 10 and `Upsample` have their scales where later ones have the region of interest. */
const resize: Rule = (view) => {
  const dims = view.dims(0);
  const sizes = view.inputs[3]?.values;
  if (sizes?.length) return [{ dims: sizes }];
  const scales = view.inputs.length > 2 ? view.numbers(2, 'scales') : view.numbers(1, 'scales');
  if (scales?.length !== dims.length)
    return view.fail(`constant sizes or ${dims.length} scales`, String(scales ?? 'none'));
  return [{ dims: dims.map((extent, axis) => Math.floor(extent * (scales[axis] ?? 1))) }];
};

const reshape: Rule = (view) => {
  const { dims, values } = view.input(0);
  const target = view.numbers(1, 'shape') ?? view.fail('a shape', 'none');
  const copyZeros = view.int('allowzero', 0) === 0;
  const known = target.map((extent, axis) => (extent === 0 && copyZeros ? (dims[axis] ?? 0) : extent));
  const rest = product(dims) / product(known.filter((extent) => extent !== -1));
  const result = known.map((extent) => (extent === -1 ? rest : extent));
  if (product(result) !== product(dims)) view.fail(`${product(dims)} elements`, target.join(' × '));
  return [{ dims: result, values }];
};

const flatten: Rule = (view) => {
  const dims = view.dims(0);
  const axis = view.int('axis', 1);
  const at = axis < 0 ? axis + dims.length : axis;
  return [{ dims: [product(dims.slice(0, at)), product(dims.slice(at))] }];
};

const transpose: Rule = (view) => {
  const dims = view.dims(0);
  const order = view.ints('perm') ?? dims.map((_, axis) => dims.length - 1 - axis);
  return [{ dims: order.map((axis) => dims[axis] ?? 0) }];
};

const squeeze: Rule = (view) => {
  const { dims, values } = view.input(0);
  const axes = view.numbers(1, 'axes')?.map((axis) => view.axis(axis, dims.length));
  return [{ dims: dims.filter((extent, axis) => (axes ? !axes.includes(axis) : extent !== 1)), values }];
};

const unsqueeze: Rule = (view) => {
  const { dims, values } = view.input(0);
  const given = view.numbers(1, 'axes') ?? view.fail('axes', 'none');
  const rank = dims.length + given.length;
  const axes = given.map((axis) => view.axis(axis, rank));
  const rest = [...dims];
  return [{ dims: Array.from({ length: rank }, (_, axis) => (axes.includes(axis) ? 1 : (rest.shift() ?? 0))), values }];
};

const expand: Rule = (view) => {
  const [dims, target] = [view.dims(0), view.numbers(1, 'shape') ?? []];
  const rank = Math.max(dims.length, target.length);
  const at = (shape: readonly number[], axis: number) => shape[axis - rank + shape.length] ?? 1;
  return [{ dims: Array.from({ length: rank }, (_, axis) => Math.max(at(dims, axis), at(target, axis))) }];
};

const tile: Rule = (view) => {
  const repeats = view.numbers(1, 'repeats') ?? view.fail('repeats', 'none');
  return [{ dims: view.dims(0).map((extent, axis) => extent * (repeats[axis] ?? 1)) }];
};

const gather: Rule = (view) => {
  const [data, indices] = [view.input(0), view.input(1)];
  const axis = view.axis(view.int('axis', 0), data.dims.length);
  const dims = [...data.dims.slice(0, axis), ...indices.dims, ...data.dims.slice(axis + 1)];
  const values =
    data.values && indices.values && data.dims.length === 1
      ? indices.values.map((index) => data.values?.at(index) as number)
      : undefined;
  return [{ dims, values }];
};

const shape: Rule = (view) => {
  const dims = view.dims(0);
  const values = dims.slice(view.int('start', 0), view.int('end', dims.length));
  return [{ dims: [values.length], values }];
};

/** A constant written as a number or a list; a stored tensor is no node any more (see `readOnnx`). */
const constant: Rule = (view) => {
  const { attributes = {} } = view.node;
  for (const attribute of Object.values(attributes)) {
    if ('float' in attribute) return [{ dims: [], values: [attribute.float] }];
    if ('int' in attribute) return [{ dims: [], values: [attribute.int] }];
    if ('floats' in attribute) return [{ dims: [attribute.floats.length], values: attribute.floats }];
    if ('ints' in attribute) return [{ dims: [attribute.ints.length], values: attribute.ints }];
  }
  return view.fail('a value of numbers', Object.keys(attributes).join(', ') || 'none');
};

/** Few equal numbers, 0 unless the value says otherwise; more of them are data. */
const constantOfShape: Rule = (view) => {
  const dims = view.numbers(0, 'shape') ?? [];
  const length = product(dims);
  const [value = 0] = view.floats('value') ?? [];
  return [{ dims, values: length <= keptValues ? Array.from({ length }, () => value) : undefined }];
};

const depthToSpace: Rule = (view) => {
  const [n = 0, c = 0, h = 0, w = 0] = view.dims(0);
  const block = view.int('blocksize', 1);
  return [{ dims: [n, c / block ** 2, h * block, w * block] }];
};

const spaceToDepth: Rule = (view) => {
  const [n = 0, c = 0, h = 0, w = 0] = view.dims(0);
  const block = view.int('blocksize', 1);
  return [{ dims: [n, c * block ** 2, h / block, w / block] }];
};

const oneHot: Rule = (view) => {
  const [depth = 0] = view.numbers(1, 'depth') ?? [];
  const dims = [...view.dims(0)];
  dims.splice(view.axis(view.int('axis', -1), dims.length + 1), 0, depth);
  return [{ dims }];
};

/** Out of blocks, without the padding of the channels. */
const reorderOutput: Rule = (view) => {
  const [n = 0, c = 0, ...plane] = view.dims(0);
  return [{ dims: [n, view.int('channels', c), ...plane] }];
};

const every = (rule: Rule, ...operators: string[]): Record<string, Rule> =>
  Object.fromEntries(operators.map((operator) => [operator, rule]));

/** What is known of operators' shapes, those of other domains by their whole names; an operator not here is refused by name. */
const rules: Readonly<Record<string, Rule>> = {
  ...every(
    sameAsFirst,
    'Relu',
    'LeakyRelu',
    'Elu',
    'Selu',
    'Celu',
    'Gelu',
    'Mish',
    'Sigmoid',
    'HardSigmoid',
    'HardSwish',
  ),
  ...every(
    sameAsFirst,
    'Tanh',
    'Softplus',
    'Softsign',
    'Erf',
    'Exp',
    'Log',
    'Sqrt',
    'Neg',
    'Abs',
    'Reciprocal',
    'Sign',
    'Not',
  ),
  ...every(
    sameAsFirst,
    'Sin',
    'Cos',
    'Clip',
    'ThresholdedRelu',
    'QuantizeLinear',
    'DequantizeLinear',
    'BatchNormalization',
  ),
  ...every(sameAsFirst, 'InstanceNormalization', 'LayerNormalization', 'GroupNormalization', 'LpNormalization', 'LRN'),
  ...every(sameAsFirst, 'Softmax', 'LogSoftmax', 'CumSum', 'Trilu'),
  ...every(unchanged, 'Identity', 'Dropout', 'Cast', 'Floor', 'Ceil', 'Round'),
  ...every(arithmetic(), 'Pow', 'Sum', 'Mean', 'PRelu', 'And', 'Or', 'Xor'),
  ...every(arithmetic(), 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'),
  Add: arithmetic((a = 0, b = 0) => a + b),
  Sub: arithmetic((a = 0, b = 0) => a - b),
  Mul: arithmetic((a = 0, b = 0) => a * b),
  Mod: arithmetic((a = 0, b = 1) => a - b * Math.floor(a / b)),
  Min: arithmetic(Math.min),
  Max: arithmetic(Math.max),
  Equal: arithmetic((a, b) => Number(a === b)),
  Where: arithmetic((condition, a = 0, b = 0) => (condition === 0 ? b : a)),
  // Whole numbers divide as integers do in shape arithmetic; scales are seldom whole.
  Div: arithmetic((a = 0, b = 1) => (Number.isInteger(a) && Number.isInteger(b) ? Math.trunc(a / b) : a / b)),
  Conv: convolution,
  ConvTranspose: transposedConvolution,
  Gemm: gemm,
  MatMul: matMul,
  ...every(pool, 'MaxPool', 'AveragePool', 'LpPool'),
  ...every(globalPool, 'GlobalAveragePool', 'GlobalMaxPool', 'GlobalLpPool'),
  ...every(reduce, 'ReduceMean', 'ReduceSum', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL1', 'ReduceL2'),
  ...every(reduce, 'ReduceSumSquare', 'ReduceLogSum', 'ReduceLogSumExp'),
  ...every(argument, 'ArgMax', 'ArgMin'),
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  ...every(resize, 'Resize', 'Upsample'),
  Reshape: reshape,
  Flatten: flatten,
  Transpose: transpose,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Expand: expand,
  Tile: tile,
  Gather: gather,
  Shape: shape,
  Constant: constant,
  ConstantOfShape: constantOfShape,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  OneHot: oneHot,
  // onnxruntime's own, which training steps are made of; blocked values have the extents of the images they stand for.
  'com.microsoft.FusedConv': convolution,
  'com.microsoft.FusedMatMul': fusedMatMul,
  'com.microsoft.QuickGelu': sameAsFirst,
  'com.microsoft.nchwc.Conv': convolution,
  ...every(pool, 'com.microsoft.nchwc.AveragePool', 'com.microsoft.nchwc.MaxPool'),
  'com.microsoft.nchwc.GlobalAveragePool': globalPool,
  'com.microsoft.nchwc.ReorderInput': sameAsFirst,
  'com.microsoft.nchwc.ReorderOutput': reorderOutput,
};
