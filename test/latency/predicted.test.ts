import { describe, expect, it } from 'vitest';
import type { DeviceProfile } from '../../accelerators/device-profile.ts';
import { findProfile } from '../../accelerators/profile-file.ts';
import { latencySchema } from '../../latency/latency.ts';
import { predictLatency } from '../../latency/predicted.ts';
import { programLatency } from '../../latency/roofline.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { onnxGraphOf, readKernels } from '../../models/kernels.ts';
import { loadNetwork } from '../../scaling/built-in-networks.ts';

const programOf = (name: string, profile: DeviceProfile, batch: number) =>
  readKernels(onnxGraphOf(buildNetwork(loadNetwork(name), 'batch')), profile.fusion, { batch }, name);

describe('a prediction', () => {
  it('is the record a measurement gives, marked as predicted and not calibrated, with an interval that admits it', async () => {
    const profile = await findProfile('tpu-v5e');
    const { latency, kernels, unknown } = predictLatency(programOf('efficientnet-b0', profile, 8), profile, 'bf16');
    expect(latencySchema.parse(latency)).toEqual(latency);
    expect(latency).toMatchObject({
      source: 'predicted',
      accelerator: 'tpu-v5e',
      batch: 8,
      precision: 'bf16',
      calibrated: false,
      samples: 0,
    });
    expect(latency.intervalMs.hi / latency.p50Ms).toBeGreaterThan(2);
    expect(latency.p50Ms / latency.intervalMs.lo).toBeGreaterThan(2);
    expect(kernels.reduce((sum, { ms }) => sum + ms, 0)).toBeCloseTo(latency.p50Ms, 9);
    expect(unknown).toEqual(['peak of the vector unit']);
  });

  it('by a calibrated profile says so, and how far off it was on what it had not seen', async () => {
    const profile = { ...(await findProfile('t4')), calibration: { points: 10, logDeviation: 0.1 } };
    const { latency } = predictLatency(programOf('efficientnet-b0', profile, 1), profile, 'fp16');
    expect(latency.calibrated).toBe(true);
    expect(Math.log(latency.intervalMs.hi / latency.intervalMs.lo)).toBeCloseTo(2 * 1.96 * 0.1, 9);
  });

  it('counts weights and activations against the memory', async () => {
    const profile = await findProfile('t4');
    const small = predictLatency(programOf('efficientnet-b7', profile, 16), profile, 'fp16').footprint;
    expect(small).toMatchObject({
      weightBytes: countGraph(buildNetwork(loadNetwork('efficientnet-b7'), 1)).weightBytes / 2,
      capacityBytes: 16e9,
      fits: true,
    });
    const large = predictLatency(programOf('efficientnet-b7', profile, 512), profile, 'fp16').footprint;
    expect(large.fits).toBe(false);
    expect(large.weightBytes).toBe(small.weightBytes);
    expect(large.activationBytes).toBe(32 * small.activationBytes);
    const unsaid = await findProfile('hailo-8');
    const { footprint } = predictLatency(programOf('efficientnet-b0', unsaid, 1), unsaid, 'int8');
    expect(footprint).toMatchObject({ capacityBytes: null, fits: null });
  });

  it('is refused for a precision the device has no peak of', async () => {
    const profile = await findProfile('v100-sxm');
    expect(() => predictLatency(programOf('efficientnet-b0', profile, 1), profile, 'int8')).toThrow(
      'v100-sxm: expected a precision among fp32, fp16, got int8',
    );
  });

  it('is refused where nothing that is known of the device takes time', async () => {
    const profile = await findProfile('hailo-8');
    const pool = { opType: 'Relu', name: 'y', inputs: ['x'], outputs: ['y'] };
    const graph = {
      name: 'g',
      inputs: [{ name: 'x', dtype: 'float32', shape: [1, 8] }],
      outputs: ['y'],
      nodes: [pool],
      constants: new Map(),
    } as const;
    expect(() => predictLatency(readKernels(graph, 'epilogue', {}, 'g'), profile, 'int8')).toThrow(
      /hailo-8: expected a network with convolutions or matrix products, or a profile with a bandwidth/,
    );
  });
});

const time = async (name: string, changes: Partial<DeviceProfile>) => {
  const profile = { ...(await findProfile('v100-sxm')), ...changes };
  return programLatency(programOf(name, profile, 128), profile, 'fp16').ms;
};

describe('dense fused stages against depthwise ones', () => {
  it('run faster with 2.4 times the multiply-adds where every operator is a kernel, as in the framework that measured it', async () => {
    // EfficientNet-B0 and EfficientNet-X-B0 on a V100, batch 128: 38.1 and 22.5 ms.
    const [thin, dense] = await Promise.all(
      ['efficientnet-b0', 'efficientnet-x-b0'].map((name) => time(name, { fusion: 'none' })),
    );
    expect((thin as number) / (dense as number)).toBeGreaterThan(1.3);
  });

  it('lose most of that where norms and activations are fused', async () => {
    const [thin, dense] = await Promise.all(['efficientnet-b0', 'efficientnet-x-b0'].map((name) => time(name, {})));
    expect((thin as number) / (dense as number)).toBeLessThan(1.2);
  });
});
