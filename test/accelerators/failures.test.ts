import { describe, expect, it } from 'vitest';
import { DeviceLostError, explainRun, onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { InfeasibleModelError, InvalidFileError } from '../../core/errors.ts';
import { encodeOnnx } from '../../models/onnx.ts';

/** One node that takes its shape from a constant. */
const oneNode = (opType: string, shape: readonly number[]) =>
  encodeOnnx({
    name: opType,
    inputs: [{ name: 'x', dtype: 'float32', shape: ['batch', 1] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: shape.map((_, axis) => `axis${axis}`) }],
    nodes: [{ opType, name: 'node', inputs: ['x', 'shape'], outputs: ['y'] }],
    initializers: [
      { name: 'shape', dims: [shape.length], data: BigInt64Array.from(shape, (extent) => BigInt(extent)) },
    ],
  });

/** Its run on one value. */
const run = async (model: Uint8Array) => {
  const session = await onnxRuntimeAccelerator('cpu').open(model, { threads: 1 });
  try {
    return await session.run({ x: { dtype: 'float32', dims: [1, 1], data: new Float32Array([2]) } });
  } finally {
    await session.close();
  }
};

describe('a run that fails', () => {
  // Texts as onnxruntime, Dawn, CUDA and DirectX give them; the first three were seen on this project's machines.
  it.each([
    [
      'cpu',
      "Non-zero status code returned while running Expand node. Name:'grow' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 16000000000000\n",
      16e12,
    ],
    ['webgpu', 'WebGPU validation failed. [Invalid Buffer (unlabeled)] is invalid due to a previous error.', undefined],
    ['webgpu', 'vkAllocateMemory failed with VK_ERROR_OUT_OF_DEVICE_MEMORY', undefined],
    ['cuda', 'CUDA failure 2: out of memory ; GPU=0', undefined],
    ['cuda', 'CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED', undefined],
    ['cpu', 'std::bad_alloc', undefined],
  ])('for want of memory is infeasible: %s, %s', (id, text, observed) => {
    const error = explainRun(id, new Error(text));
    expect(error).toBeInstanceOf(InfeasibleModelError);
    expect(error).toMatchObject({ reason: 'out-of-memory', observed, retry: false });
  });

  it.each([
    ['webgpu', 'Device was lost: A valid external Instance reference no longer exists.'],
    ['webgpu', 'vkQueueSubmit failed with VK_ERROR_DEVICE_LOST'],
    ['dml', '887A0005: The GPU device instance has been suspended. DXGI_ERROR_DEVICE_REMOVED'],
    ['cuda', 'CUDA failure 700: an illegal memory access was encountered ; GPU=0'],
    ['cuda', 'CUDA failure 719: unspecified launch failure ; out of memory'],
  ])('because its device went away is another try’s: %s, %s', (id, text) => {
    const error = explainRun(id, new Error(text));
    expect(error).toBeInstanceOf(DeviceLostError);
    expect(error).toMatchObject({ code: 'device-lost', retry: true });
  });

  it('in a node that only this provider cannot run is the network’s on this target, with the node’s name', () => {
    const text =
      "Non-zero status code returned while running Split node. Name:'split' Status Message: /onnxruntime_src/onnxruntime/core/providers/webgpu/shader_helper.cc:306 void AddVariableImpl(bool, uint32_t) numbers_storage_buffers_ <= limits_.maxStorageBuffersPerShaderStage was false. Too many storage buffers in shader. Current: 13, Max is 12\n";
    const error = explainRun('webgpu', new Error(text));
    expect(error).toMatchObject({ code: 'infeasible-model', reason: 'unsupported' });
    expect(error.message).toBe(
      "webgpu: expected a model it runs, got: node 'split' (Split): Too many storage buffers in shader. Current: 13, Max is 12",
    );
  });

  it('on the CPU for real: too large an allocation is infeasible, a reshape that cannot be is the file’s', async () => {
    // 6.4 petabytes.
    const vast = await run(oneNode('Expand', [40_000_000, 40_000_000])).catch((error: unknown) => error);
    expect(vast).toBeInstanceOf(InfeasibleModelError);
    expect(vast).toMatchObject({ reason: 'out-of-memory', observed: 6.4e15 });
    const misfit = await run(oneNode('Reshape', [2, 2])).catch((error: unknown) => error);
    expect(misfit).toBeInstanceOf(InvalidFileError);
    expect((misfit as Error).message).toMatch(/got one that fails: node 'node' \(Reshape\):/);
  });
});
