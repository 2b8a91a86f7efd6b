import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  AcceleratorUnavailableError,
  onnxRuntimeAccelerator,
  runtimeVersion,
  UnsupportedModelError,
} from '../../accelerators/onnxruntime.ts';
import { convolutionKernel, runsCorrectly } from '../../accelerators/probe.ts';
import { InvalidFileError } from '../../core/errors.ts';
import { encodeOnnx, type OnnxNode } from '../../models/onnx.ts';

const cpu = onnxRuntimeAccelerator('cpu');
const oneNode = (node: Pick<OnnxNode, 'opType' | 'inputs'>, shape: (number | string)[] = [2]) =>
  encodeOnnx({
    name: 'one-node',
    inputs: [{ name: 'x', dtype: 'float32', shape }],
    outputs: [{ name: 'y', dtype: 'float32', shape }],
    nodes: [{ ...node, name: 'node', outputs: ['y'] }],
    initializers: [],
  });

describe('a session on the CPU', () => {
  // First on purpose: the first session of a process decides for the calling thread.
  it('flushes denormals to zero by default', async () => {
    const session = await cpu.open(oneNode({ opType: 'Add', inputs: ['x', 'x'] }), { threads: 1 });
    const { y } = await session.run({ x: { dtype: 'float32', dims: [2], data: new Float32Array([1e-40, 1.5]) } });
    expect(y).toEqual({ dtype: 'float32', dims: [2], data: new Float32Array([0, 3]) });
    await session.close();
  });

  it('declares its inputs with the names of symbolic axes, and its outputs', async () => {
    const session = await cpu.open(oneNode({ opType: 'Relu', inputs: ['x'] }, ['batch', 3]), { threads: 1 });
    expect(session.inputs).toEqual([{ name: 'x', dtype: 'float32', dims: ['batch', 3] }]);
    expect(session.outputs).toEqual(['y']);
    await session.close();
  });

  it.each(['all', 'disabled'] as const)('computes the same convolution with optimization %s', async (optimization) => {
    const kernel = convolutionKernel(2, 3);
    const session = await cpu.open(kernel.model, { threads: 1, optimization, spinning: false });
    expect(await runsCorrectly(session, kernel)).toBe(true);
    const { y } = await session.run(kernel.feeds);
    expect(y?.data[0]).toBeCloseTo(firstAverage(kernel.feeds['x']?.data as Float32Array), 5);
    await session.close();
  });

  it('writes a profile of its operators when it closes, if asked', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ridgepoint-profile-'));
    const options = { threads: 1, profilePrefix: join(folder, 'profile') };
    const session = await cpu.open(oneNode({ opType: 'Relu', inputs: ['x'] }), options);
    await session.run({ x: { dtype: 'float32', dims: [2], data: new Float32Array([-1, 1]) } });
    await session.close();
    const [file] = await readdir(folder);
    const events = JSON.parse(await readFile(join(folder, file as string), 'utf8')) as { args: { op_name?: string } }[];
    expect(events.map(({ args }) => args.op_name)).toContain('Relu');
    await rm(folder, { recursive: true });
  });

  it('keeps the outputs of one run when it runs again', async () => {
    const session = await cpu.open(oneNode({ opType: 'Relu', inputs: ['x'] }), { threads: 1 });
    const run = (value: number) =>
      session.run({ x: { dtype: 'float32', dims: [2], data: new Float32Array([value, value]) } });
    const first = await run(1);
    await run(2);
    expect(first['y']?.data).toEqual(new Float32Array([1, 1]));
    await session.close();
  });
});

/** The fixed ramp of the kernel's weights, for its first output channel. */
const weight = (channel: number, row: number, column: number): number =>
  (((channel * 9 + row * 3 + column) % 17) - 8.5) / 16;

/** What `convolutionKernel(2, 3)` computes for its first channel, by the definition of a padded convolution. */
function firstAverage(x: Float32Array): number {
  let sum = 0;
  for (const channel of [0, 1])
    for (const row of [0, 1, 2])
      for (const column of [0, 1, 2])
        for (const up of [-1, 0, 1])
          for (const left of [-1, 0, 1]) {
            const [i, j] = [row + up, column + left];
            if (i >= 0 && i < 3 && j >= 0 && j < 3)
              sum += (x[channel * 9 + i * 3 + j] as number) * weight(channel, up + 1, left + 1);
          }
  return sum / 9;
}

describe('a model that does not open', () => {
  it.each([
    ['no bytes', new Uint8Array(0), /0 bytes.*null/],
    ['a truncated file', convolutionKernel(2, 3).model.slice(0, 60), /60 bytes.*protobuf/],
    ['an unknown operator', oneNode({ opType: 'Foo', inputs: ['x'] }), /No Op registered for Foo/],
    ['a missing input', oneNode({ opType: 'Relu', inputs: ['q'] }), /'q' is not a graph input/],
  ])('is an invalid file that names what is wrong: %s', async (_, model, message) => {
    const failure = await cpu.open(model, { threads: 1 }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(InvalidFileError);
    expect((failure as Error).message).toMatch(message);
  });

  it('is unsupported when the file is sound but no kernel implements it', async () => {
    // `Unique` is standard, but has no CPU kernel for booleans.
    const model = encodeOnnx({
      name: 'unimplemented',
      inputs: [{ name: 'x', dtype: 'bool', shape: [2] }],
      outputs: [{ name: 'y', dtype: 'bool', shape: [2] }],
      nodes: [{ opType: 'Unique', name: 'node', inputs: ['x'], outputs: ['y'] }],
      initializers: [],
    });
    await expect(cpu.open(model, { threads: 1 })).rejects.toBeInstanceOf(UnsupportedModelError);
  });

  it('is the provider’s fault when the file is sound', async () => {
    const absent = process.platform === 'darwin' ? 'dml' : 'coreml';
    const failure = onnxRuntimeAccelerator(absent).open(convolutionKernel(2, 3).model, { threads: 1 });
    await expect(failure).rejects.toBeInstanceOf(AcceleratorUnavailableError);
  });

  it('is the file’s fault on every provider when the file is broken', async () => {
    const absent = process.platform === 'darwin' ? 'dml' : 'coreml';
    await expect(onnxRuntimeAccelerator(absent).open(new Uint8Array([1, 2, 3]), { threads: 1 })).rejects.toBeInstanceOf(
      InvalidFileError,
    );
  });
});

it('names the runtime with its version', () => {
  expect(runtimeVersion()).toMatch(/^onnxruntime-node \d+\.\d+\.\d+$/);
});
