import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Session } from '../../accelerators/accelerator.ts';
import { detectAccelerators } from '../../accelerators/detect.ts';
import { onnxRuntimeAccelerator, UnsupportedModelError } from '../../accelerators/onnxruntime.ts';
import { verifyPlacement } from '../../accelerators/placement.ts';
import { convolutionKernel } from '../../accelerators/probe.ts';
import { InfeasibleModelError } from '../../core/errors.ts';
import { Random } from '../../core/random.ts';
import { type Meter, openMeter } from '../../latency/isolate.ts';
import { randomInputs } from '../../latency/inputs.ts';
import { protocols } from '../../latency/protocol.ts';
import { buildNetwork } from '../../models/build.ts';
import { exportOnnx } from '../../models/export.ts';
import { initialWeights } from '../../models/initialise.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import { differentiate } from '../../training/differentiate.ts';
import { plainLowering } from '../../training/plain/lower.ts';
import type { Recipe } from '../../training/trainer.ts';
import { openUpdater } from '../../training/updater.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { networkOf } from '../models/block-kinds.ts';

// Runs on a GPU, or without one on a software driver: `ridgepoint doctor` says how to get it.
const found = (await detectAccelerators()).find(({ id }) => id === 'webgpu');
const absent = found?.available ? undefined : `WebGPU does not run here: ${found?.reason}`;
if (absent) console.warn(`SKIPPED the WebGPU tests: ${absent}`);

const cpu = onnxRuntimeAccelerator('cpu');
const webgpu = onnxRuntimeAccelerator('webgpu');
const lockDirectory = fileFolder();

/** Few runs: what is asserted holds at any speed. */
const protocol = {
  ...protocols.quick,
  block: { ...protocols.quick.block, maxSamples: 3 },
  reference: { ...protocols.quick.reference, runs: 3, maxRejected: 0 },
  sessions: { min: 3, max: 3, blocks: 1, gapMs: 0 },
};

function exported(kind: Parameters<typeof networkOf>[0]): Uint8Array {
  const spec = networkOf(kind, 12);
  return exportOnnx(spec, initialWeights(buildNetwork(spec, 1), new Random(kind)), 'batch');
}

/** What a network of 3 constant inputs answers. */
async function logits(accelerator: typeof cpu, model: Uint8Array | undefined): Promise<Float32Array> {
  const session = await accelerator.open(model ?? new Uint8Array(), { threads: 1 });
  const outputs = await session.run(randomInputs(session.inputs, 3));
  await session.close();
  return outputs['logits']?.data as Float32Array;
}

describe.skipIf(absent)('WebGPU', () => {
  // While a session is open its compiled kernels are kept, for others too.
  let kept: Session;
  let meter: Meter;
  beforeAll(async () => {
    kept = await webgpu.open(convolutionKernel(8, 8).model, { threads: 1 });
    meter = openMeter({ lockDirectory });
  });
  afterAll(async () => {
    await meter?.close();
    await kept?.close();
  });

  it.each(['mbconv', 'EfficientNet-X', 'bottleneck of RegNetY', 'the head of MobileNetV3'] as const)(
    'computes what the CPU computes of %s, every node of it',
    async (kind) => {
      const model = exported(kind);
      const [mine, theirs] = [await webgpu.open(model, { threads: 1 }), await cpu.open(model, { threads: 1 })];
      const feeds = randomInputs(mine.inputs, 3);
      const actual = (await mine.run(feeds))['logits']?.data as Float32Array;
      const expected = (await theirs.run(feeds))['logits']?.data as Float32Array;
      await Promise.all([mine.close(), theirs.close()]);
      const largest = Math.max(...expected.map(Math.abs));
      const error = Math.max(...expected.map((value, index) => Math.abs(value - (actual[index] as number))));
      // Sums of some hundred products in another order: about a hundred roundings of 6e-8. 6e-7 was seen.
      expect(error / largest).toBeLessThan(6e-6);
      const placement = await verifyPlacement(webgpu, model, { feeds: () => feeds, threads: 1 });
      expect(Object.keys(placement.byProvider)).toEqual(['webgpu']);
    },
  );

  it('is measured like any accelerator, and says where the network ran and whether a GPU did', async () => {
    const setting = { accelerator: 'webgpu', batch: 2, threads: 1 };
    // As a ledger asks, before anything is measured.
    const foretold = await meter.fingerprint('webgpu');
    const latency = await meter.measure({ model: exported('fused-mbconv'), setting, protocol });
    expect(latency).toMatchObject({ accelerator: 'webgpu', source: 'measured', precision: 'fp32', sessions: 3 });
    expect(latency.placement).toEqual({ webgpu: expect.any(Number) });
    expect(latency.fingerprint?.software).toBe(found?.software);
    expect(foretold).toEqual(latency.fingerprint);
  });

  it('refuses an operator that it lacks, by name, and runs it on the CPU only if that is allowed', async () => {
    const setting = { accelerator: 'webgpu', batch: 1, threads: 1 };
    const request = { model: exported('pixel blocks'), setting, protocol };
    const failure = await meter.measure(request).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(InfeasibleModelError);
    expect(failure).toMatchObject({ reason: 'unsupported' });
    expect((failure as Error).message).toContain("'stem.space-to-depth' (SpaceToDepth) on cpu");
    const { placement } = await meter.measure({ ...request, allowFallback: true });
    expect(placement).toEqual({ webgpu: expect.any(Number), cpu: 1 });
  });

  it('fp16 is computed where the adapter has it, and is infeasible elsewhere, not an absent device', async () => {
    const spec = networkOf('mbconv', 12);
    const weights = initialWeights(buildNetwork(spec, 1), new Random('fp16'));
    const [single, half] = (['fp32', 'fp16'] as const).map((precision) =>
      exportOnnx(spec, weights, 'batch', undefined, precision),
    );
    const computed = await logits(webgpu, half).catch((error: unknown) => error);
    if (computed instanceof Float32Array) {
      const expected = await logits(cpu, single);
      const largest = Math.max(...expected.map(Math.abs));
      for (const [index, value] of expected.entries())
        expect(Math.abs(value - (computed[index] ?? NaN))).toBeLessThan(0.02 * largest);
    } else {
      expect(computed).toBeInstanceOf(UnsupportedModelError);
      expect((computed as Error).message).toContain('f16');
    }
  });

  it('out of memory is infeasible, and the device goes on', async () => {
    // 1.6 TB between two nodes.
    const model = encodeOnnx({
      name: 'vast',
      inputs: [{ name: 'x', dtype: 'float32', shape: [1, 1] }],
      outputs: [{ name: 'y', dtype: 'float32', shape: [1, 1] }],
      nodes: [
        { opType: 'Expand', name: 'grow', inputs: ['x', 'shape'], outputs: ['grown'] },
        {
          opType: 'ReduceMax',
          name: 'shrink',
          inputs: ['grown'],
          outputs: ['y'],
          attributes: { axes: { ints: [0, 1] } },
        },
      ],
      initializers: [{ name: 'shape', dims: [2], data: BigInt64Array.of(20_000n, 20_000_000n) }],
    });
    const session = await webgpu.open(model, { threads: 1 });
    const x = { dtype: 'float32' as const, dims: [1, 1], data: Float32Array.of(2) };
    await expect(session.run({ x })).rejects.toBeInstanceOf(InfeasibleModelError);
    await session.close();
    const kernel = convolutionKernel(8, 8);
    expect((await kept.run(kernel.feeds))['y']?.data).toHaveLength(8);
  });

  it('does not run a training step in the operators of other providers, and says so', async () => {
    const graph = buildNetwork(networkOf('basic', 8), 2);
    const training = differentiate(graph, { kind: 'softmax-cross-entropy', labelSmoothing: 0, targets: 'target' });
    const recipe: Recipe = {
      optimizer: 'sgd-momentum',
      batchSize: 2,
      learningRate: 0.1,
      momentum: 0.9,
      weightDecay: 0,
      labelSmoothing: 0,
      warmup: 0,
    };
    const opening = openUpdater(webgpu, training, { recipe, lowering: plainLowering, threads: 1 });
    await expect(opening).rejects.toBeInstanceOf(UnsupportedModelError);
  });
});
