import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { ConfigError, InvalidFileError } from '../../core/errors.ts';
import { filePrecision, precisionOn } from '../../latency/file-precision.ts';
import { randomInputs } from '../../latency/inputs.ts';
import { encodeOnnx, type OnnxTensor } from '../../models/onnx.ts';

type Floats = 'float32' | 'float16';

/** y = x · w, and a few more constants. */
function file(dtype: Floats, initializers: readonly OnnxTensor[]): Uint8Array {
  return encodeOnnx({
    name: 'product',
    inputs: [{ name: 'x', dtype, shape: [1, 4] }],
    outputs: [{ name: 'y', dtype, shape: [1, 4] }],
    nodes: [
      initializers.some(({ name }) => name === 'w')
        ? { opType: 'MatMul', name: 'node', inputs: ['x', 'w'], outputs: ['y'] }
        : { opType: 'Relu', name: 'node', inputs: ['x'], outputs: ['y'] },
    ],
    initializers,
  });
}

const one = 0x3c00; // 1 in float16.
const half = { name: 'w', dims: [4, 4], data: new Uint16Array(16).fill(one) };
const single = { name: 'w', dims: [4, 4], data: new Float32Array(16).fill(1) };
const shape = { name: 's', dims: [40], data: new BigInt64Array(40) };

describe('the precision of a file', () => {
  it('is that of most of its weights, whatever its integers', () => {
    expect(filePrecision(file('float32', [single, shape]))).toBe('fp32');
    expect(filePrecision(file('float16', [half, shape]))).toBe('fp16');
    const few = { name: 'v', dims: [2], data: new Float32Array(2) };
    expect(filePrecision(file('float16', [half, few]))).toBe('fp16');
  });

  it('is its input’s where it has no weights', () => {
    expect(filePrecision(file('float16', [shape]))).toBe('fp16');
    expect(filePrecision(file('float32', []))).toBe('fp32');
  });

  it('cannot be read from what is no file', () => {
    expect(() => filePrecision(new Uint8Array([1, 2, 3]))).toThrow(InvalidFileError);
  });
});

describe('the precision of a measurement', () => {
  it('is the file’s, asked for or not', () => {
    expect(precisionOn('cuda', file('float16', [half]), 'fp16')).toBe('fp16');
    expect(precisionOn('cuda', file('float16', [half]), undefined)).toBe('fp16');
    // The runtime says what is wrong with it.
    expect(precisionOn('cpu', new Uint8Array([1, 2, 3]), undefined)).toBe('fp32');
  });

  it.each(['fp16', 'int8'] as const)('is not %s on TensorRT through the Node binding, which says why', (asked) => {
    const ask = () => precisionOn('tensorrt', file('float32', [single]), asked);
    expect(ask).toThrow(ConfigError);
    expect(ask).toThrow(
      new RegExp(`expected fp32 on tensorrt, got ${asked}: .*device id only, no precision flag.*trtexec`),
    );
  });

  it('is not another one elsewhere either', () => {
    expect(() => precisionOn('webgpu', file('float32', [single]), 'fp16')).toThrow(
      /expected fp32 on webgpu, got fp16: a provider runs a file as it is/,
    );
  });

  it('fp16: the CPU runs such a file', async () => {
    const session = await onnxRuntimeAccelerator('cpu').open(file('float16', [half]), { threads: 1 });
    const { y } = await session.run({ x: { dtype: 'float16', dims: [1, 4], data: new Uint16Array(4).fill(one) } });
    await session.close();
    // Four ones: exactly 4.
    expect([...(y?.data ?? [])]).toEqual([0x4400, 0x4400, 0x4400, 0x4400]);
    expect(randomInputs([{ name: 'x', dtype: 'float16', dims: [1, 4] }], 1)['x']?.dtype).toBe('float16');
  });
});
