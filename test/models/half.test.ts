import { describe, expect, test } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { Random } from '../../core/random.ts';
import { filePrecision } from '../../latency/file-precision.ts';
import { buildNetwork } from '../../models/build.ts';
import { exportOnnx } from '../../models/export.ts';
import { halfBits, inHalfPrecision } from '../../models/half.ts';
import { initialWeights } from '../../models/initialise.ts';
import { describeOnnx, encodeOnnx, type OnnxModel, type OnnxNode } from '../../models/onnx.ts';
import { parseNetworkSpec } from '../../models/spec.ts';

/** The number that bits of binary16 stand for, by the definition of IEEE 754. */
function valueOf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

describe('rounding to binary16', () => {
  const finite = Array.from({ length: 0x7c00 }, (_, bits) => bits);

  test('every number of binary16 is itself, of either sign', () => {
    for (const bits of finite) {
      expect(halfBits(valueOf(bits))).toBe(bits);
      expect(halfBits(valueOf(bits | 0x8000))).toBe(bits | 0x8000);
    }
  });

  test('between two, the nearer is taken, and half-way the even one', () => {
    for (const low of finite.slice(0, -1)) {
      const [a, b] = [valueOf(low), valueOf(low + 1)];
      const middle = (a + b) / 2;
      expect(halfBits(middle)).toBe(low % 2 === 0 ? low : low + 1);
      expect(halfBits(a + (b - a) * 0.49)).toBe(low);
      expect(halfBits(a + (b - a) * 0.51)).toBe(low + 1);
    }
  });

  test('what is too large is infinite, what is too small is zero, and no number stays none', () => {
    expect([65519.9, 65520, 1e9, -1e9, Infinity].map(halfBits)).toEqual([0x7bff, 0x7c00, 0x7c00, 0xfc00, 0x7c00]);
    expect([2 ** -26, 2 ** -25, 1.01 * 2 ** -25, -1e-30].map(halfBits)).toEqual([0, 0, 1, 0x8000]);
    expect(valueOf(halfBits(NaN))).toBeNaN();
  });
});

describe('a network exported in fp16', () => {
  // Constants of operators (relu6), gates, pools and residual sums are in it.
  const stage = { operator: 'mbconv', kernel: 3, stride: 2, expansion: 4, width: 8, repeats: 2, squeezeExcite: 0.25 };
  const spec = parseNetworkSpec(
    {
      input: { channels: 3, resolution: 16 },
      classes: 4,
      stem: { kernel: 3, stride: 1, width: 8, activation: 'relu6' },
      stages: [
        { ...stage, activation: 'relu6' },
        { ...stage, activation: 'hard-swish' },
      ],
      head: { width: 16 },
    },
    'half',
  );
  const weights = initialWeights(buildNetwork(spec, 1), new Random('half'));
  const files = {
    fp32: exportOnnx(spec, weights, 'batch'),
    fp16: exportOnnx(spec, weights, 'batch', undefined, 'fp16'),
  };
  const logits = async (precision: 'fp32' | 'fp16') => {
    const session = await onnxRuntimeAccelerator('cpu').open(files[precision], { threads: 1 });
    const random = new Random('image');
    const image = Float32Array.from({ length: 2 * 3 * 256 }, () => random.normal());
    const outputs = await session.run({ image: { dtype: 'float32', dims: [2, 3, 16, 16], data: image } });
    await session.close();
    const { data } = outputs['logits'] ?? {};
    return [...(data as Float32Array)];
  };

  test('holds fp16 weights, takes and gives float32, and has a name of its own', () => {
    expect(filePrecision(files.fp16)).toBe('fp16');
    expect(filePrecision(files.fp32)).toBe('fp32');
    expect(files.fp16.byteLength).toBeLessThan(0.75 * files.fp32.byteLength);
    expect(describeOnnx(files.fp16, 'half').graphName).toBe(`${describeOnnx(files.fp32, 'single').graphName}-fp16`);
  });

  test('computes what the network in fp32 does, to within what eleven bits hold', async () => {
    const [single, half] = [await logits('fp32'), await logits('fp16')];
    const scale = Math.max(...single.map(Math.abs));
    expect(half).toHaveLength(8);
    // Rounding alone is 2^-11 a value; some dozen layers add up.
    for (const [index, value] of half.entries())
      expect(Math.abs(value - (single[index] ?? NaN))).toBeLessThan(0.01 * scale);
    expect(half).not.toEqual(single);
  });
});

function node(opType: string, inputs: string[], output: string, attributes = {}): OnnxNode {
  return { opType, name: output, inputs, outputs: [output], attributes };
}

/** Three pixels in a row, doubled by what `nodes` do between `x` and `y`. */
async function doubled(nodes: readonly OnnxNode[], changes: Partial<OnnxModel> = {}): Promise<number[]> {
  const model: OnnxModel = {
    name: 'resizes',
    inputs: [{ name: 'x', dtype: 'float32', shape: [1, 1, 1, 3] }],
    outputs: [{ name: 'y', dtype: 'float32' }],
    nodes,
    initializers: [],
    ...changes,
  };
  const session = await onnxRuntimeAccelerator('cpu').open(encodeOnnx(inHalfPrecision(model)), { threads: 1 });
  const { y } = await session.run({ x: { dtype: 'float32', dims: [1, 1, 1, 3], data: Float32Array.of(1, 2, 3) } });
  await session.close();
  return [...((y as { data: Float32Array }).data as Float32Array)];
}

describe('a network that resizes, in fp16', () => {
  const nearest = { mode: { string: 'nearest' }, coordinate_transformation_mode: { string: 'asymmetric' } };
  const scales = { dims: [4], data: Float32Array.of(1, 1, 1, 2) };
  const roi = { dims: [8], data: Float32Array.of(0, 0, 0, 0, 1, 1, 1, 1) };
  const expected = [1, 1, 2, 2, 3, 3];

  test('keeps stored scales and a stored region in float32, and halves them for others', async () => {
    const initializers = [
      { name: 'scales', ...scales },
      { name: 'roi', ...roi },
    ];
    const resize = node('Resize', ['x', 'roi', 'scales'], 'y', nearest);
    expect(await doubled([resize], { initializers })).toEqual(expected);
    const shared = [
      node('Resize', ['x', '', 'scales'], 'large', nearest),
      node('ReduceMax', ['scales'], 'two', { keepdims: { int: 0 } }),
      node('Mul', ['large', 'two'], 'y'),
    ];
    expect(await doubled(shared, { initializers: initializers.slice(0, 1) })).toEqual([2, 2, 4, 4, 6, 6]);
  });

  test('keeps scales of constant nodes in float32, and casts computed ones back', async () => {
    const constants = [
      node('Constant', [], 'scales', { value: { tensor: scales } }),
      node('Constant', [], 'scales', { value_floats: { floats: [1, 1, 1, 2] } }),
    ];
    for (const constant of constants)
      expect(await doubled([constant, node('Resize', ['x', '', 'scales'], 'y', nearest)])).toEqual(expected);
    const computed = [
      node('Constant', [], 'roots', { value: { tensor: { dims: [4], data: Float32Array.of(1, 1, 1, 4) } } }),
      node('Sqrt', ['roots'], 'scales'),
      node('Resize', ['x', '', 'scales'], 'y', nearest),
    ];
    expect(await doubled(computed)).toEqual(expected);
  });

  test('keeps the scales of an older upsampling in float32', async () => {
    const upsample = node('Upsample', ['x', 'scales'], 'y', { mode: { string: 'nearest' } });
    const initializers = [{ name: 'scales', ...scales }];
    expect(await doubled([upsample], { initializers, opsets: { '': 9 } })).toEqual(expected);
  });
});
