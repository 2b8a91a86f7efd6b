import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { convolutionKernel } from '../../accelerators/probe.ts';
import { encodeOnnx, type OnnxNode } from '../../models/onnx.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { ridgepoint } from './ridgepoint.ts';

const cwd = fileFolder();
const absent = process.platform === 'darwin' ? 'dml' : 'coreml';

function write(name: string, bytes: Uint8Array): void {
  writeFileSync(join(cwd, name), bytes);
}

const oneNode = (node: Pick<OnnxNode, 'opType' | 'inputs'>, shape: readonly (number | string)[]) =>
  encodeOnnx({
    name: 'one-node',
    inputs: [{ name: 'image', dtype: 'float32', shape }],
    outputs: [{ name: 'y', dtype: 'float32', shape }],
    nodes: [{ ...node, name: 'node', outputs: ['y'] }],
    initializers: [],
  });

beforeAll(() => {
  const whole = convolutionKernel(2, 3).model;
  write('whole.onnx', whole);
  write('half.onnx', whole.slice(0, 60));
  write('unknown.onnx', oneNode({ opType: 'Frobnicate', inputs: ['image'] }, [1]));
  write('dynamic.onnx', oneNode({ opType: 'Relu', inputs: ['image'] }, ['batch', 3, 'height', 8]));
  write('any-batch.onnx', oneNode({ opType: 'Relu', inputs: ['image'] }, ['batch', 3, 8, 8]));
});

describe('ridgepoint measure refuses, with what was expected and what was got,', () => {
  it.each([
    ['a file that is cut off', ['half.onnx'], 2, /half\.onnx: expected an ONNX model, got 60 bytes that/],
    ['an operator that nobody has', ['unknown.onnx'], 2, /unknown\.onnx: .*Frobnicate/],
    ['an axis without a value', ['dynamic.onnx'], 2, /input 'image': .*the symbolic axis 'height' \(axis 2\)/],
    ['a batch that is not the file’s', ['whole.onnx', '--batch=4'], 2, /input 'x': expected batch 4, got .*fixed at 1/],
    [
      'a batch that no memory holds',
      ['any-batch.onnx', '--batch=1000000000000'],
      2,
      /input 'image': expected values that fit in \d+ bytes of memory, got \[1000000000000, 3, 8, 8\], 768000000000000 bytes/,
    ],
    [
      'a provider that is not here',
      ['whole.onnx', `--on=${absent}`],
      5,
      new RegExp(`${absent}: expected a usable device`),
    ],
    ['a precision that is not the file’s', ['whole.onnx', '--precision=fp16'], 2, /expected fp32 on cpu, got fp16/],
    ['fp16 on TensorRT', ['whole.onnx', '--on=tensorrt', '--precision=fp16'], 2, /no precision flag.*trtexec/],
    [
      'a scaled file',
      ['whole.onnx', '--width=2'],
      2,
      /whole\.onnx: expected a spec .*--width and --depth, .*got an ONNX/,
    ],
    [
      'a resized file',
      ['whole.onnx', '--resolution=64'],
      2,
      /whole\.onnx: expected a spec .*--resolution, got an ONNX/,
    ],
    ['entries without a ledger to verify', ['whole.onnx', '--entries=3'], 2, /--entries: expected --verify beside it/],
    ['int8 on TensorRT', ['whole.onnx', '--on=tensorrt', '--precision=int8'], 2, /no precision flag.*trtexec/],
  ])('%s', async (_what, args, exitCode, message) => {
    const { code, stdout, stderr } = await ridgepoint(['measure', ...args, '--protocol=quick'], cwd);
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});

it('ridgepoint measure takes any precision that is the file’s own', async () => {
  const args = ['measure', 'whole.onnx', '--protocol=quick', '--precision=fp32', '--json'];
  const { code, stdout } = await ridgepoint(args, cwd);
  expect(code).toBe(0);
  const { latencies } = JSON.parse(stdout) as { latencies: Record<string, unknown>[] };
  expect(latencies).toMatchObject([{ accelerator: 'cpu', precision: 'fp32' }]);
  // The CPU is what others fall back to.
  expect(latencies[0]).not.toHaveProperty('placement');
  expect(readFileSync(join(cwd, 'whole.onnx'))).toHaveLength(convolutionKernel(2, 3).model.length);
});

it('ridgepoint measure takes a network by name or spec, scaled, at every batch', async () => {
  const args = ['mobilenet-v3-small', '--width=0.5', '--resolution=32', '--batch=1,2', '--protocol=quick', '--json'];
  const { code, stdout } = await ridgepoint(['measure', ...args], cwd);
  expect(code).toBe(0);
  const { latencies } = JSON.parse(stdout) as { latencies: { batch: number; p50Ms: number }[] };
  expect(latencies).toMatchObject([{ batch: 1 }, { batch: 2 }]);
});

it('ridgepoint measure --verify refuses options that its entries answer', async () => {
  const { code, stderr } = await ridgepoint(['measure', '--verify', '--batch=4'], cwd);
  expect({ code, stderr }).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/--verify: expected no --batch/) as string,
  });
});
