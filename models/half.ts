import type { OnnxModel, OnnxNode, OnnxTensor } from './onnx.ts';

const scratch = new DataView(new ArrayBuffer(4));

/** Bits of the IEEE 754 binary16 number nearest to a float32, ties to even; what is too large becomes an infinity. */
export function halfBits(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 and above round to what binary16 has no number for.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  const exponent = (magnitude >>> 23) - 112;
  const mantissa = magnitude & 0x7fffff;
  if (exponent > 0) return sign | roundedShift((exponent << 23) | mantissa, 13);
  // Subnormal: the leading one becomes part of the mantissa. Below half of the least, zero.
  return exponent < -10 ? sign : sign | roundedShift(0x800000 | mantissa, 14 - exponent);
}

/** A right shift that rounds to nearest, ties to even. */
function roundedShift(value: number, count: number): number {
  const kept = value >>> count;
  const rest = value & ((1 << count) - 1);
  const half = 1 << (count - 1);
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept;
}

/**
 * The same network computing in fp16: weights rounded, inputs cast on their way in and outputs on their way out, so
 * that callers feed and read float32 as before. Latency and memory are fp16's; range is, too: activations above 65504 are lost.
 * @param model all of its floats are float32. Inputs and outputs of other types pass through.
 */
export function inHalfPrecision(model: OnnxModel): OnnxModel {
  const inputs = model.inputs.filter(({ dtype }) => dtype === 'float32');
  const outputs = model.outputs.filter(({ dtype }) => dtype === 'float32');
  const outside = new Set([...inputs, ...outputs].map(({ name }) => name));
  const renamed = (name: string): string => (outside.has(name) ? inner(name) : name);
  const singles = singleInputs(model, new Set(inputs.map(({ name }) => name)));
  return {
    ...model,
    name: `${model.name}-fp16`,
    nodes: [
      ...inputs.map(({ name }) => cast(`${name}.half`, name, inner(name), float16Type)),
      ...singles.constants,
      ...model.nodes
        .filter(({ outputs: [name] }) => !singles.only.has(name ?? ''))
        .flatMap((node) => [
          {
            ...halfConstant(node),
            inputs: node.inputs.map((name, at) => (takesSingle(node, at) ? singles.nameOf(name) : renamed(name))),
            outputs: node.outputs.map(renamed),
          },
          ...node.outputs
            .filter((name) => singles.computed.has(name))
            .map((name) => cast(`${single(name)}.cast`, renamed(name), single(name), float32Type)),
        ]),
      ...outputs.map(({ name }) => cast(`${name}.single`, inner(name), name, float32Type)),
    ],
    initializers: [
      ...model.initializers.filter(({ name }) => !singles.only.has(name)).map(halfTensor),
      ...singles.initializers,
    ],
  };
}

/** Inputs of operators that are float32 whatever the operator's type: scales and the region of interest. */
const singlePlaces: Readonly<Record<string, readonly number[]>> = { Resize: [1, 2], Upsample: [1] };

function takesSingle({ domain = '', opType, inputs }: OnnxNode, at: number): boolean {
  return domain === '' && inputs[at] !== '' && (singlePlaces[opType]?.includes(at) ?? false);
}

/**
 * What stands for the floats that stay float32: of constants a second one as it was stored, of what is computed a cast back.
 * @param given inputs of the network that are float32, which are read before they are cast.
 */
function singleInputs({ nodes, initializers, outputs }: OnnxModel, given: ReadonlySet<string>) {
  const asked = new Set(nodes.flatMap((node) => node.inputs.filter((_, at) => takesSingle(node, at))));
  const stored = initializers.filter(({ name, data }) => asked.has(name) && data instanceof Float32Array);
  const constants = nodes.filter(({ opType, outputs: [name] }) => opType === 'Constant' && asked.has(name ?? ''));
  const copied = new Set([...stored.map(({ name }) => name), ...constants.flatMap((node) => node.outputs)]);
  const read = nodes.flatMap((node) => node.inputs.filter((_, at) => !takesSingle(node, at)));
  const halved = new Set([...read, ...outputs.map(({ name }) => name)]);
  return {
    nameOf: (name: string): string => (given.has(name) ? name : single(name)),
    initializers: stored.map((tensor) => ({ ...tensor, name: single(tensor.name) })),
    constants: constants.map((node) => ({
      ...node,
      name: `${node.name}.fp32`,
      outputs: node.outputs.map(single),
    })),
    /** Constants that nothing else reads. */
    only: new Set([...copied].filter((name) => !halved.has(name))),
    computed: new Set([...asked].filter((name) => !copied.has(name) && !given.has(name))),
  };
}

/** What a value that is in fp16 elsewhere is called where it is float32. */
function single(name: string): string {
  return `${name}.fp32`;
}

// Of the ONNX enumeration of data types.
const float32Type = 1;
const float16Type = 10;

function halfTensor(tensor: OnnxTensor): OnnxTensor {
  return tensor.data instanceof Float32Array ? { ...tensor, data: Uint16Array.from(tensor.data, halfBits) } : tensor;
}

/** A constant of an operator is of the operator's type, and so is what is cast to float32 for it. */
function halfConstant(node: OnnxNode): OnnxNode {
  const { value_float: scalar, value_floats: list, value, to } = node.attributes ?? {};
  if (scalar && 'float' in scalar)
    return { ...node, attributes: { value: { tensor: { dims: [], data: Uint16Array.of(halfBits(scalar.float)) } } } };
  if (list && 'floats' in list) {
    const data = Uint16Array.from(list.floats, halfBits);
    return { ...node, attributes: { value: { tensor: { dims: [data.length], data } } } };
  }
  if (value && 'tensor' in value)
    return {
      ...node,
      attributes: { ...node.attributes, value: { tensor: halfTensor({ name: '', ...value.tensor }) } },
    };
  if (node.opType === 'Cast' && to && 'int' in to && to.int === float32Type)
    return { ...node, attributes: { to: { int: float16Type } } };
  return node;
}

/** What an input or output is called inside. */
function inner(name: string): string {
  return `${name}.fp16`;
}

function cast(name: string, from: string, to: string, type: number): OnnxNode {
  return { opType: 'Cast', name, inputs: [from], outputs: [to], attributes: { to: { int: type } } };
}
