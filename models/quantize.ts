import { digestJson, shortDigest } from '../core/digest.ts';
import { InvalidFileError } from '../core/errors.ts';
import {
  activationScale,
  type AffineScale,
  leastWeightScale,
  quantizeBias,
  quantizeWeights,
  type ValueRange,
} from './affine-quantization.ts';
import type { OnnxModel, OnnxNode, OnnxTensor } from './onnx.ts';

/** Operators that take stored weights: where the arithmetic is. */
const products = new Set(['Conv', 'Gemm', 'MatMul']);
/** Operators that are computed on eight bits where all they take is in eight bits already. */
const followers = new Set(['Add', 'Mul', 'Sigmoid', 'GlobalAveragePool']);
/** Rectifiers that a runtime does while it rounds the product before them, whose own range is then of no use. */
const rectifiers = new Set(['Relu', 'Clip']);

/** First opset whose QuantizeLinear knows scales per channel, and last whose types are those of today. */
const opsetRange = { from: 13, to: 22 };

/**
 * Activations that {@link inInt8} needs the ranges of, in the order in which they are computed: what convolutions and
 * matrix products with stored weights read and give, and sums and gates of those. A result of the network stays float32.
 * @param where names the model in errors.
 * @throws {InvalidFileError} when the model is quantised already, of an opset below 13, or has no product to quantise.
 */
export function quantizedActivations(model: OnnxModel, where = model.name): readonly string[] {
  expectQuantizable(model, where);
  const stored = storedWeights(model);
  const outputs = new Set(model.outputs.map(({ name }) => name));
  const readers = readersOf(model);
  const chosen = new Set<string>();
  const add = (tensor: string): void => {
    if (!outputs.has(tensor)) chosen.add(tensor);
  };
  for (const node of model.nodes) {
    const follows = followers.has(node.opType) && node.inputs.every((input) => chosen.has(input));
    if (!follows && !isProduct(node, stored)) continue;
    if (!follows) add(node.inputs[0] as string);
    add(rectified(node.outputs[0] as string, readers, outputs));
  }
  const order = [...model.inputs.map(({ name }) => name), ...model.nodes.flatMap((node) => node.outputs)];
  return order.filter((tensor) => chosen.has(tensor));
}

/** How a network's numbers become eight bits. */
export interface QuantizationOptions {
  /** Least and greatest value of each of {@link quantizedActivations}. */
  readonly ranges: ReadonlyMap<string, ValueRange>;
  readonly weightBits: 7 | 8;
}

/**
 * The same network in eight bits, in QDQ form: every activation of {@link quantizedActivations} goes through
 * QuantizeLinear and DequantizeLinear (uint8, asymmetric, per tensor), weights are stored in int8 (symmetric, per
 * output channel) and biases in int32, each behind a DequantizeLinear. A runtime with integer kernels fuses these into
 * them; one without computes the same in float. Inputs and outputs stay float32.
 *
 * The scheme is that of Jacob et al. 2018 and Nagel et al. 2021 ("A White Paper on Neural Network Quantization",
 * section 2); we differ from the former in that weights have a scale per channel and no zero point.
 * @throws {InvalidFileError} as {@link quantizedActivations}. @throws {RangeError} when a range is missing.
 */
export function inInt8(model: OnnxModel, { ranges, weightBits }: QuantizationOptions): OnnxModel {
  const scales = new Map(
    quantizedActivations(model).map((tensor) => {
      const range = ranges.get(tensor);
      if (!range) throw new RangeError(`expected the range of activation '${tensor}', got none`);
      return [tensor, activationScale(range)] as const;
    }),
  );
  const stored = storedWeights(model);
  const inner = (tensor: string): string => (scales.has(tensor) ? `${tensor}.int8.dequantized` : tensor);
  const parts: Part[] = [...scales]
    .filter(([tensor]) => model.inputs.some(({ name }) => name === tensor))
    .map(([tensor, scale]) => quantizedActivation(tensor, scale));
  for (const node of model.nodes) {
    const scale = scales.get(node.inputs[0] as string);
    const weights = scale && isProduct(node, stored) ? quantizedOperands(node, stored, scale.scale, weightBits) : none;
    const operands = weights.operands ?? node.inputs.slice(1).map(inner);
    parts.push(weights, {
      nodes: [{ ...node, inputs: [inner(node.inputs[0] as string), ...operands].slice(0, node.inputs.length) }],
      initializers: [],
    });
    for (const output of node.outputs) {
      const scale = scales.get(output);
      if (scale) parts.push(quantizedActivation(output, scale));
    }
  }
  const nodes = parts.flatMap((part) => part.nodes);
  const read = new Set(nodes.flatMap(({ inputs }) => inputs));
  return {
    ...model,
    name: `${model.name}-int8-${shortDigest(digestJson({ ranges: [...ranges], weightBits }))}`,
    nodes,
    initializers: [...model.initializers, ...parts.flatMap((part) => part.initializers)].filter(({ name }) =>
      read.has(name),
    ),
  };
}

/** Nodes in their order and the constants they read. */
interface Part {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
}
const none: Part & { readonly operands?: readonly string[] } = { nodes: [], initializers: [] };

function quantizedActivation(tensor: string, { scale, zeroPoint }: AffineScale): Part {
  const [scaleName, zeroName] = [`${tensor}.int8.scale`, `${tensor}.int8.zero`];
  const [quantized, dequantized] = [`${tensor}.int8.quantized`, `${tensor}.int8.dequantized`];
  return {
    nodes: [
      { opType: 'QuantizeLinear', name: quantized, inputs: [tensor, scaleName, zeroName], outputs: [quantized] },
      {
        opType: 'DequantizeLinear',
        name: dequantized,
        inputs: [quantized, scaleName, zeroName],
        outputs: [dequantized],
      },
    ],
    initializers: [
      { name: scaleName, dims: [], data: Float32Array.of(scale) },
      { name: zeroName, dims: [], data: Uint8Array.of(zeroPoint) },
    ],
  };
}

/** Weights and bias of a product; a bias that is not stored stays as it is. */
function quantizedOperands(
  node: OnnxNode,
  stored: ReadonlyMap<string, FloatTensor>,
  inputScale: number,
  bits: 7 | 8,
): Part & { readonly operands: readonly string[] } {
  const output = node.outputs[0] as string;
  const [weightName, biasName] = node.inputs.slice(1);
  const weight = stored.get(weightName as string) as FloatTensor;
  const bias = stored.get(biasName ?? '');
  const axis = channelAxis(node);
  const leastScales = [...(bias?.data ?? [])].map((value) => leastWeightScale(value, inputScale));
  const { data, scales } = quantizeWeights(weight.data, { dims: weight.dims, axis }, leastScales, bits);
  const weights = dequantized(
    `${output}.int8.weight`,
    { dims: weight.dims, data, zeros: new Int8Array(scales.length) },
    scales,
    axis,
  );
  if (!bias) return { ...weights, operands: [`${output}.int8.weight`, ...(biasName === undefined ? [] : [biasName])] };
  const sums = quantizeBias(bias.data, inputScale, scales);
  const zeros = new Int32Array(scales.length);
  const biases = dequantized(`${output}.int8.bias`, { dims: bias.dims, data: sums.data, zeros }, sums.scales, 0);
  return {
    nodes: [...weights.nodes, ...biases.nodes],
    initializers: [...weights.initializers, ...biases.initializers],
    operands: [`${output}.int8.weight`, `${output}.int8.bias`],
  };
}

/** A stored tensor of integers behind the node that makes floats of it. */
function dequantized(
  name: string,
  { zeros, ...integers }: Pick<OnnxTensor, 'dims' | 'data'> & { readonly zeros: Int8Array | Int32Array },
  scales: Float32Array,
  axis: number,
): Part {
  const [quantized, scale, zero] = [`${name}.values`, `${name}.scale`, `${name}.zero`];
  return {
    nodes: [
      {
        opType: 'DequantizeLinear',
        name,
        inputs: [quantized, scale, zero],
        outputs: [name],
        attributes: { axis: { int: axis } },
      },
    ],
    initializers: [
      { name: quantized, ...integers },
      { name: scale, dims: [scales.length], data: scales },
      { name: zero, dims: [scales.length], data: zeros },
    ],
  };
}

type FloatTensor = OnnxTensor & { readonly data: Float32Array };

function storedWeights({ initializers }: OnnxModel): ReadonlyMap<string, FloatTensor> {
  return new Map(
    initializers.flatMap((tensor) =>
      tensor.data instanceof Float32Array ? [[tensor.name, tensor as FloatTensor] as const] : [],
    ),
  );
}

/** A convolution, or a plain product with a stored matrix. */
function isProduct(node: OnnxNode, stored: ReadonlyMap<string, FloatTensor>): boolean {
  if (!products.has(node.opType) || node.domain) return false;
  const [input, weight, bias] = node.inputs;
  const matrix = stored.get(weight as string);
  if (!matrix || stored.has(input as string)) return false;
  if (node.opType === 'MatMul') return matrix.dims.length === 2;
  if (node.opType === 'Conv') return true;
  const { alpha = { float: 1 }, beta = { float: 1 }, transA = { int: 0 } } = node.attributes ?? {};
  const isPlain = 'float' in alpha && alpha.float === 1 && 'float' in beta && beta.float === 1;
  const hasRowBias = bias === undefined || stored.get(bias)?.dims.length === 1;
  return isPlain && hasRowBias && 'int' in transA && transA.int === 0;
}

/** Of the output channels in a product's weights. */
function channelAxis({ opType, attributes }: OnnxNode): number {
  if (opType === 'Conv') return 0;
  const transposed = attributes?.['transB'];
  return transposed && 'int' in transposed && transposed.int === 1 ? 0 : 1;
}

function readersOf({ nodes }: OnnxModel): ReadonlyMap<string, readonly OnnxNode[]> {
  const readers = new Map<string, OnnxNode[]>();
  for (const node of nodes) for (const input of node.inputs) readers.set(input, [...(readers.get(input) ?? []), node]);
  return readers;
}

/** What a product's result becomes where a rectifier alone reads it. */
function rectified(
  tensor: string,
  readers: ReadonlyMap<string, readonly OnnxNode[]>,
  outputs: ReadonlySet<string>,
): string {
  const [reader, ...others] = readers.get(tensor) ?? [];
  const isAlone = reader && others.length === 0 && !outputs.has(tensor);
  return isAlone && rectifiers.has(reader.opType) ? (reader.outputs[0] as string) : tensor;
}

function expectQuantizable(model: OnnxModel, where: string): void {
  const opset = model.opsets?.[''] ?? 17;
  if (opset < opsetRange.from || opset > opsetRange.to)
    throw new InvalidFileError(
      `${where}: expected a model of ONNX opset ${opsetRange.from} to ${opsetRange.to} to quantise, got opset ${opset}`,
    );
  const already = model.nodes.find(({ opType }) => /Quantize|QLinear|Integer/.test(opType));
  if (already)
    throw new InvalidFileError(`${where}: expected a model in float32, got '${already.name}' (${already.opType})`);
  const stored = storedWeights(model);
  if (!model.nodes.some((node) => isProduct(node, stored)))
    throw new InvalidFileError(
      `${where}: expected a convolution or matrix product with float32 weights stored in the file, got none`,
    );
}
