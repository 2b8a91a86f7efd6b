import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { verifyPlacement } from '../../accelerators/placement.ts';
import { InvalidFileError } from '../../core/errors.ts';
import { Random } from '../../core/random.ts';
import { filePrecision } from '../../latency/file-precision.ts';
import { buildNetwork } from '../../models/build.ts';
import { exportOnnx } from '../../models/export.ts';
import { initialWeights } from '../../models/initialise.ts';
import { decodeOnnx, encodeOnnx, type OnnxModel } from '../../models/onnx.ts';
import { inInt8, quantizedActivations } from '../../models/quantize.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { tinyImage, tinyLogits, tinyNetwork, tinyRanges } from './quantized-arithmetic.ts';

async function logitsOf(model: OnnxModel, image: Float32Array, side: number, optimization: 'all' | 'disabled' = 'all') {
  const session = await onnxRuntimeAccelerator('cpu').open(encodeOnnx(model), { threads: 1, optimization });
  const dims = [1, image.length / side ** 2, side, side];
  const { logits } = await session.run({ image: { dtype: 'float32', dims, data: image } });
  await session.close();
  const { data } = logits ?? {};
  return [...(data as Float32Array)];
}

describe.each([7, 8] as const)('a network in int8 with weights of %i bits', (weightBits) => {
  const quantized = inInt8(tinyNetwork, { ranges: tinyRanges, weightBits });
  const byHand = tinyLogits(weightBits);

  it('computes, node by node in float, what integers by hand give', async () => {
    const logits = await logitsOf(quantized, tinyImage, 6, 'disabled');
    logits.forEach((value, index) => expect(value).toBeCloseTo(byHand[index] ?? NaN, 5));
  });

  it('computes the same once the runtime has fused it into integer kernels', async () => {
    const logits = await logitsOf(quantized, tinyImage, 6);
    logits.forEach((value, index) => expect(value).toBeCloseTo(byHand[index] ?? NaN, 5));
  });

  it('is near the network in fp32, and not equal to it', async () => {
    const single = await logitsOf(tinyNetwork, tinyImage, 6);
    const spread = Math.max(...single.map(Math.abs));
    const errors = byHand.map((value, index) => Math.abs(value - (single[index] ?? NaN)));
    expect(Math.max(...errors)).toBeLessThan(0.05 * spread);
    expect(Math.max(...errors)).toBeGreaterThan(1e-5);
  });
});

/** Squeeze-excite, residual sums, both rectifiers and gates of every kind. */
const stage = { operator: 'mbconv', kernel: 3, stride: 2, expansion: 4, width: 8, repeats: 2 };
const spec = parseNetworkSpec(
  {
    input: { channels: 3, resolution: 16 },
    classes: 4,
    stem: { kernel: 3, stride: 1, width: 8, activation: 'relu6' },
    stages: [
      { ...stage, activation: 'silu', squeezeExcite: 0.25 },
      { ...stage, activation: 'relu6' },
      { operator: 'basic', kernel: 3, stride: 1, width: 8, repeats: 2 },
    ],
    head: { width: 16 },
  },
  'int8',
);
const file = exportOnnx(spec, initialWeights(buildNetwork(spec, 1), new Random('int8')), 'batch');
const network = decodeOnnx(file, 'network');
/** A calibration finds that rectifiers give nothing negative; only then are they part of the rounding before them. */
const rectified = network.nodes.flatMap(({ opType, outputs }) => (/Relu|Clip/.test(opType) ? outputs : []));
const ranges = new Map(
  quantizedActivations(network).map((name) => [name, { lo: rectified.includes(name) ? 0 : -4, hi: 4 }]),
);
const quantized = inInt8(network, { ranges, weightBits: 7 });

describe('a network of our own in int8', () => {
  it('runs in integers from the picture to the logits', async () => {
    const { nodes } = await verifyPlacement(onnxRuntimeAccelerator('cpu'), encodeOnnx(quantized), {
      threads: 1,
      feeds: () => ({ image: { dtype: 'float32', dims: [1, 3, 16, 16], data: new Float32Array(768) } }),
    });
    const kinds = nodes.map(({ opType }) => opType);
    const products = network.nodes.filter(({ opType }) => opType === 'Conv').length;
    expect(kinds.filter((kind) => kind === 'QLinearConv')).toHaveLength(products);
    for (const kind of ['QGemm', 'QLinearAdd', 'QLinearMul', 'QLinearSigmoid']) expect(kinds).toContain(kind);
    for (const kind of ['Conv', 'Gemm', 'Relu', 'Clip', 'Add', 'Mul', 'Sigmoid']) expect(kinds).not.toContain(kind);
  });

  it('keeps its inputs, outputs and description, and is a graph of another name', () => {
    expect(quantized).toMatchObject({
      inputs: network.inputs,
      outputs: network.outputs,
      metadata: network.metadata,
    });
    expect(quantized.name).toMatch(new RegExp(`^${network.name}-int8-`));
    expect(inInt8(network, { ranges, weightBits: 8 }).name).not.toBe(quantized.name);
    expect(filePrecision(encodeOnnx(quantized))).toBe('int8');
  });

  it('holds no weight in float32', () => {
    const left = quantized.initializers.filter(({ data, dims }) => data instanceof Float32Array && dims.length > 1);
    expect(left).toEqual([]);
  });

  it('is the same whenever it is made', () => {
    expect(encodeOnnx(inInt8(network, { ranges, weightBits: 7 }))).toEqual(encodeOnnx(quantized));
  });
});

function refused(changes: Partial<OnnxModel>, message: RegExp): void {
  const call = () => inInt8({ ...tinyNetwork, ...changes }, { ranges: tinyRanges, weightBits: 7 });
  expect(call).toThrow(InvalidFileError);
  expect(call).toThrow(message);
}

describe('what cannot be quantised is refused:', () => {
  it('a file that is quantised already', () => {
    refused(inInt8(tinyNetwork, { ranges: tinyRanges, weightBits: 7 }), /expected a model in float32, got 'image/);
  });

  it('a file of an opset without scales per channel', () => {
    refused({ opsets: { '': 12 } }, /opset 13 to 22 to quantise, got opset 12/);
  });

  it('a file without stored weights to multiply by', () => {
    refused({ initializers: [] }, /weights stored in the file, got none/);
  });

  it('an activation whose range nobody knows', () => {
    expect(() => inInt8(tinyNetwork, { ranges: new Map(), weightBits: 7 })).toThrow(/range of activation 'image'/);
  });
});

it('a product with a matrix that is no constant, or scaled, stays in float32', () => {
  const scaled: OnnxModel = {
    ...tinyNetwork,
    nodes: tinyNetwork.nodes.map((node) =>
      node.opType === 'Gemm' ? { ...node, attributes: { alpha: { float: 0.5 } } } : node,
    ),
  };
  expect(quantizedActivations(tinyNetwork)).toEqual(['image', 'r1', 'c2', 'p', 'f']);
  expect(quantizedActivations(scaled)).toEqual(['image', 'r1', 'c2', 'p']);
});
