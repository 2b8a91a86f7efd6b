import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Command } from '../../commands/declaration.ts';
import { commandProtocols } from '../../commands/sampling.ts';
import { openFactory } from '../../commands/factory.ts';
import { openCommandTarget } from '../../commands/target.ts';
import { writeTrainingData } from '../../commands/training-data.ts';
import { digestBytes } from '../../core/digest.ts';
import { InfeasibleModelError } from '../../core/errors.ts';
import { writeDatasetFile } from '../../data/cache.ts';
import { loadDataset } from '../../data/load.ts';
import { dataSourceSchema } from '../../data/source.ts';
import { encodeOnnx, readOnnx } from '../../models/onnx.ts';
import { conform } from '../../study/conform.ts';
import { scoreFile } from '../../study/evaluation/score.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { temporaryFilesIn } from '../cases/temporary-files.ts';

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const folder = fileFolder();
temporaryFilesIn(folder);

/** Whether `python3` is here and imports these. */
function hasPython(...modules: string[]): boolean {
  try {
    execFileSync('python3', ['-c', modules.map((name) => `import ${name}`).join('\n')], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
const absent = (...modules: string[]) =>
  hasPython(...modules) ? '' : ` (SKIPPED: no python3${modules.length > 0 ? ` with ${modules.join(' and ')}` : ''})`;

function python(script: string, args: string[], env: Record<string, string> = {}): Command {
  const command = ['python3', path(`../../examples/commands/${script}.py`), ...args, '{request}'];
  return { name: script, directory: folder, command, env, limits: {} };
}

function model(opType: string, shape: readonly (number | string)[] = [1, 3]): Uint8Array {
  return encodeOnnx({
    name: 'test',
    inputs: [{ name: 'x', dtype: 'float32', shape }],
    outputs: [{ name: 'y', dtype: 'float32', shape }],
    nodes: [{ opType, name: 'node', inputs: ['x'], outputs: ['y'] }],
    initializers: [],
  });
}

async function measure(command: Command, bytes: Uint8Array, precision: 'fp32' | 'fp16' = 'fp32') {
  const target = openCommandTarget(command, { lockDirectory: folder });
  const protocol = { ...commandProtocols.quick, sessions: { min: 3, max: 3, gapMs: 0 } };
  try {
    return await target.measure({ model: bytes, batch: 1, threads: 1, precision, protocol });
  } finally {
    target.close();
  }
}

describe('the trtexec adapter', () => {
  const skip = absent();
  const command = python('trtexec_target', [path('tools/trtexec')]);

  it.skipIf(skip)(`gives the host-to-host time of every run${skip}`, async () => {
    const latency = await measure(command, model('Relu'), 'fp16');
    // Copies .25 each way, computation 1.5 to 1.54.
    expect(latency.p50Ms).toBeCloseTo(2.02, 6);
    expect(latency).toMatchObject({
      precision: 'fp16',
      includesIo: true,
      samples: 60,
      fingerprint: { cpu: 'Fake T4', runtime: 'TensorRT 100800' },
    });
  });

  it.skipIf(skip)(`says which models TensorRT cannot run${skip}`, async () => {
    const error = await measure(command, model('Unknowable')).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(InfeasibleModelError);
    expect((error as Error).message).toContain('unsupported ([11/21/2026-10:00:00] [E] [TRT] ModelImporter.cpp:726');
  });

  it.skipIf(skip)(`says that a machine without trtexec is broken${skip}`, async () => {
    await expect(measure(python('trtexec_target', ['/no/trtexec']), model('Relu'))).rejects.toMatchObject({
      failure: 'environmentBroken',
    });
  });
});

describe('the benchmark_model adapter', () => {
  const skip = absent();
  const tools = [path('tools/convert'), path('tools/benchmark_model')];

  it.skipIf(skip)(`gives percentiles of the timed runs, in milliseconds, marked as reported${skip}`, async () => {
    const latency = await measure(python('tflite_target', tools), model('Relu'));
    expect(latency).toMatchObject({ reported: true, p99Ms: null, samples: 0, includesIo: false });
    expect(latency.p50Ms).toBeCloseTo(3.1, 12);
    expect(latency.p90Ms).toBeCloseTo(3.9, 12);
  });

  it.skipIf(skip)(`refuses versions that print an average only${skip}`, async () => {
    const old = python('tflite_target', tools, { CONVERT_TO: 'old' });
    await expect(measure(old, model('Relu'))).rejects.toThrow('this benchmark_model is too old');
  });
});

describe('the onnxruntime target', () => {
  const skip = absent('onnxruntime', 'numpy');

  it.skipIf(skip)(`keeps to the protocol${skip}`, async () => {
    const clauses = await conform(python('onnxruntime_target', []));
    expect(clauses.filter(({ verdict }) => verdict !== 'pass')).toEqual([]);
  });

  it.skipIf(skip)(`measures with the batch filled in${skip}`, async () => {
    const latency = await measure(python('onnxruntime_target', []), model('Relu', ['batch', 3]));
    expect(latency).toMatchObject({ source: 'command', sessions: 3 });
    expect(latency.p50Ms).toBeLessThan(10);
  });
});

describe('the target in docs/commands.md', () => {
  const skip = absent('onnxruntime', 'numpy');

  it.skipIf(skip)(`keeps to the protocol in twenty lines${skip}`, async () => {
    const [, code = ''] = /```python\n([^]*?)```/.exec(readFileSync(path('../../docs/commands.md'), 'utf8')) ?? [];
    expect(
      code
        .trim()
        .split('\n')
        .filter((line) => line !== '').length,
    ).toBeLessThanOrEqual(21);
    const script = join(folder, 'tiny.py');
    writeFileSync(script, code);
    const command = ['python3', script, '{request}'];
    const clauses = await conform({ name: 'tiny', directory: folder, command, limits: {} });
    expect(clauses.filter(({ verdict }) => verdict !== 'pass')).toEqual([]);
  });
});

describe('the PyTorch factory', () => {
  const skip = absent('torch', 'numpy');

  it.skipIf(skip)(
    `writes networks of what it is asked for, and trains them to what their files reach${skip}`,
    async () => {
      const program = { command: python('torch_factory', []), params: { width: 8 } };
      const factory = openFactory({
        factory: program,
        trainer: program,
        study: 'test',
        folder: join(folder, 'factory'),
      });
      const scaling = {
        multipliers: { depth: 1.25, width: 2, resolution: 1 },
        resolution: 16,
        channels: 3,
        classes: 4,
      };
      const built = await factory.build(scaling);
      if (built.status !== 'ok') throw new Error('expected a network');
      const { inputs, constants } = readOnnx(built.onnx, 'built');
      expect(inputs[0]?.shape).toEqual(['batch', 3, 16, 16]);
      // Of 8 channels, doubled; two blocks a stage, as depth rounds up: two convolutions each, one stem, two shortcuts.
      const kernels = [...constants.values()].filter(({ dims }) => dims.length === 4);
      expect(kernels[0]?.dims[0]).toBe(16);
      expect(kernels).toHaveLength(15);

      const source = dataSourceSchema.parse({ format: 'rendered', classes: 4, train: 200, test: 50, resolution: 16 });
      const dataset = await loadDataset(source, { baseDirectory: folder });
      const [dataFile, trainingFile, modelFile] = ['data.bin', 'training.bin', 'trained.onnx'].map((name) =>
        join(folder, name),
      ) as [string, string, string];
      await writeDatasetFile(dataset, dataFile);
      await writeTrainingData(dataset, 16, trainingFile);
      const { name, classNames, mean, std } = dataset;
      const trained = await factory.train({
        id: 'one',
        scaling,
        model: { onnx: join(folder, 'built.onnx'), digest: digestBytes(built.onnx) },
        data: {
          file: trainingFile,
          digest: digestBytes(built.onnx),
          name,
          classNames: [...classNames],
          mean: [...mean],
          std: [...std],
        },
        examples: 128,
        seed: 0,
      });
      if (trained.status !== 'ok') throw new Error('expected a trained network');
      writeFileSync(modelFile, trained.onnx);
      const { holdout } = await scoreFile({ modelFile, dataFile, splits: ['holdout'] });
      expect(holdout.accuracy).toBeCloseTo(trained.result.metrics.accuracy.value, 3);
    },
    120_000,
  );
});

describe('the PyTorch trainer', () => {
  const skip = absent('torch', 'numpy');

  it.skipIf(skip)(
    `keeps to the protocol, and its weights do in the exported file what it says${skip}`,
    async () => {
      const clauses = await conform(python('torch_trainer', []));
      expect(clauses.filter(({ verdict }) => verdict !== 'pass')).toEqual([]);
    },
    120_000,
  );
});
