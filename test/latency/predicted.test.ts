import { describe, expect, it } from 'vitest';
import type { DeviceProfile } from '../../accelerators/device-profile.ts';
import { findProfile } from '../../accelerators/profile-file.ts';
import { Random } from '../../core/random.ts';
import { calibratedProfile } from '../../latency/calibrate.ts';
import { fingerprint } from '../../latency/fingerprint.ts';
import { programFeatures } from '../../latency/kernel-features.ts';
import { latencySchema } from '../../latency/latency.ts';
import { predictLatency } from '../../latency/predicted.ts';
import { programLatency } from '../../latency/roofline.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { onnxGraphOf, readKernels } from '../../models/kernels.ts';
import { loadNetwork } from '../../scaling/built-in-networks.ts';
import { draws, lawMs, observed } from './synthetic-device.ts';

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
    const profile = {
      ...(await findProfile('t4')),
      calibration: { precision: 'fp16' as const, points: 10, logDeviation: 0.1 },
    };
    const { latency } = predictLatency(programOf('efficientnet-b0', profile, 1), profile, 'fp16');
    expect(latency.calibrated).toBe(true);
    expect(Math.log(latency.intervalMs.hi / latency.intervalMs.lo)).toBeCloseTo(2 * 1.96 * 0.1, 9);
  });

  it('in another precision than the profile was calibrated in is not calibrated, nor is any where it does not say', async () => {
    const t4 = await findProfile('t4');
    const [points, logDeviation] = [10, 0.1];
    const program = programOf('efficientnet-b0', t4, 1);
    const predicted = (calibration: DeviceProfile['calibration']) =>
      predictLatency(program, { ...t4, calibration }, 'fp16').latency;
    for (const calibration of [
      { precision: 'fp32' as const, points, logDeviation },
      { points, logDeviation },
    ])
      expect(predicted(calibration)).toEqual(predicted(undefined));
    expect(predicted(undefined).calibrated).toBe(false);
    const only = { ...t4, peakTflops: { fp16: 65 }, calibration: { points, logDeviation } };
    expect(predictLatency(program, only, 'fp16').latency.calibrated).toBe(true);
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

describe('a prediction by a learned model', () => {
  const random = new Random('learned');
  const networks = draws(16, 'learned');
  const observations = networks.map((network, index) => observed(network, random.child(index), { session: 0.01 }));
  const identity = { id: 'learned', threads: 1, fingerprint: fingerprint('cpu'), seed: '0' };
  const profile = calibratedProfile(observations, identity, { maxPoints: 30, evidenceSamples: 30 });
  const program = programOf('mobilenet-v2', profile, 1);
  const { latency, kernels, unseen } = predictLatency(program, profile, 'fp32');

  it('is calibrated, sums its kernels, and keeps an interval around them', () => {
    expect(latencySchema.parse(latency)).toMatchObject({ calibrated: true, threads: 1, precision: 'fp32' });
    expect(kernels.reduce((sum, { ms }) => sum + ms, 0)).toBeCloseTo(latency.p50Ms, 9);
    const truth = programFeatures(program).reduce((sum, features) => sum + lawMs(features), 0);
    expect(latency.p50Ms / truth).toBeGreaterThan(0.8);
    expect(latency.p50Ms / truth).toBeLessThan(1.25);
    expect(latency.intervalMs.lo).toBeLessThan(latency.p50Ms);
    expect(latency.intervalMs.hi).toBeGreaterThan(latency.p50Ms);
    expect(unseen).toEqual([]);
  });

  it('takes kernels it never saw from the roofline, names them, and is less sure', () => {
    const groups = Object.fromEntries(
      Object.entries(profile.learned?.groups ?? {}).filter(([group]) => !group.startsWith('Conv pointwise')),
    );
    const without = { ...profile, learned: profile.learned && { ...profile.learned, groups } };
    const partly = predictLatency(program, without, 'fp32');
    expect(partly.unseen).toEqual(['Conv pointwise blocked']);
    const width = ({ latency: { intervalMs } }: typeof partly) => Math.log(intervalMs.hi / intervalMs.lo);
    expect(width(partly)).toBeGreaterThan(1.5 * width(predictLatency(program, profile, 'fp32')));
    const analytic = predictLatency(program, { ...profile, learned: undefined }, 'fp32');
    const names = new Set(analytic.kernels.filter(({ kind }) => kind === 'pointwise').map(({ name }) => name));
    for (const [index, kernel] of partly.kernels.entries())
      if (names.has(kernel.name) && kernel.kind === 'pointwise') expect(kernel).toEqual(analytic.kernels[index]);
  });

  it('is refused in a precision nobody measured, and with a model of other features', () => {
    expect(() => predictLatency(program, profile, 'fp16')).toThrow(/among fp32, got fp16/);
    const other = { ...profile, learned: profile.learned && { ...profile.learned, features: ['batch'] } };
    expect(() => predictLatency(program, other, 'fp32')).toThrow(/got one of batch; calibrate again/);
  });

  it('falls back to the roofline for kernels of another fusion', () => {
    const generic = readKernels(onnxGraphOf(buildNetwork(loadNetwork('mobilenet-v2'), 'batch')), 'epilogue', {}, 'x');
    const prediction = predictLatency(generic, profile, 'fp32');
    expect(prediction.unseen.length).toBeGreaterThan(0);
    expect(prediction.latency.p50Ms).toBeCloseTo(programLatency(generic, profile, 'fp32').ms, 9);
  });
});
