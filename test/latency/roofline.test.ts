import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DeviceProfile } from '../../accelerators/device-profile.ts';
import { deviceProfiles } from '../../accelerators/profiles.ts';
import {
  kernelLatency,
  kernelRoofs,
  paddedMacs,
  programLatency,
  programRoofs,
  roofsMs,
} from '../../latency/roofline.ts';
import { buildNetwork } from '../../models/build.ts';
import { type Kernel, kernelKinds, type KernelProgram, onnxGraphOf, readKernels } from '../../models/kernels.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { efficiencyOf } from './efficiency.ts';

/** 1 TFLOP/s, 100 GFLOP/s of vectors, 10 GB/s, 1 ms a kernel. */
const device: DeviceProfile = {
  id: 'unit',
  name: 'unit',
  peakTflops: { fp32: 1, fp16: 2 },
  vectorTflops: { fp32: 0.1 },
  memory: { gigabytes: 1, gigabytesPerS: 10 },
  kernelOverheadUs: 1000,
  dispatchUs: 0,
  runOverheadUs: 0,
  efficiency: efficiencyOf(0.5, 0.8),
  fusion: 'epilogue',
};

const kernel: Kernel = {
  name: 'k',
  kind: 'conv',
  operators: ['Conv'],
  macs: 1e9,
  products: { rows: 1e4, inner: 100, columns: 1000, count: 1 },
  reads: [{ name: 'x', elements: 1e6 }],
  writes: [{ name: 'y', elements: 1e7 }],
  weightElements: 1e5,
};
const latency = (one: Kernel, profile = device, precision: 'fp32' | 'fp16' = 'fp32', isResident = false) =>
  kernelLatency(kernelRoofs(one, profile, precision, isResident), profile);
const ms = (one: Kernel, profile = device, precision: 'fp32' | 'fp16' = 'fp32') => latency(one, profile, precision).ms;

describe('time of a kernel', () => {
  it('is arithmetic over the reached peak where that is longest', () => {
    const dense = { ...kernel, macs: 1e10, products: { ...kernel.products, rows: 1e5 } } as Kernel;
    // 2e10 FLOP at 0.5 TFLOP/s are 40 ms; 11.1e6 values of 4 bytes at 8 GB/s are 5.55 ms.
    expect(latency(dense, device)).toMatchObject({ bound: 'compute', bytes: 44.4e6, useful: 1 });
    expect(ms(dense)).toBeCloseTo(40 + 1, 9);
    expect(ms(dense, device, 'fp16')).toBeCloseTo(20 + 1, 9);
  });

  it('is bytes over the reached bandwidth where that is longest, fewer in half precision', () => {
    expect(latency(kernel, device).bound).toBe('memory');
    expect(ms(kernel)).toBeCloseTo(5.55 + 1, 9);
    expect(ms(kernel, device, 'fp16')).toBeCloseTo(2.775 + 1, 9);
  });

  it('is the fixed time of starting it where there is hardly any work', () => {
    const tiny = { ...kernel, macs: 0, products: undefined, reads: [], writes: [], weightElements: 0 };
    expect(latency(tiny, device)).toMatchObject({ ms: 1, bound: 'overhead', useful: 1 });
  });

  it('of a depthwise convolution is of the vector unit', () => {
    // 2e9 FLOP at 0.1 × 0.5 TFLOP/s.
    expect(ms({ ...kernel, kind: 'depthwise' })).toBeCloseTo(40 + 1, 9);
  });

  it('goes to the cache only while its own activations fit there, and for weights only where the whole network stays', () => {
    const cached = { ...device, cache: { megabytes: 45, gigabytesPerS: 100 } };
    const light = { ...kernel, macs: 0, products: undefined };
    expect(ms(light, cached)).toBeCloseTo(44e6 / 80e6 + 0.4e6 / 8e6 + 1, 9);
    expect(ms(light, { ...device, cache: { megabytes: 44, gigabytesPerS: 100 } })).toBeCloseTo(5.55 + 1, 9);
    expect(latency(light, cached, 'fp32', true).ms).toBeCloseTo(44.4e6 / 80e6 + 1, 9);
  });

  it('applies no bound that is not known', () => {
    const unknown: DeviceProfile = {
      ...device,
      memory: undefined,
      kernelOverheadUs: undefined,
      vectorTflops: undefined,
    };
    expect(ms(kernel, unknown)).toBeCloseTo(4, 9);
    // A vector unit that is not known is at least not faster than the matrix unit.
    expect(ms({ ...kernel, kind: 'depthwise' }, unknown)).toBeCloseTo(4, 9);
  });
});

describe('padding to a matrix unit', () => {
  const array = { rows: 8, inner: 128, columns: 128 };

  it('rounds both sides of the weights up to the array: ⌈k²·Cin ÷ 128⌉ · 128 by ⌈Cout ÷ 128⌉ · 128', () => {
    // 3 × 3 on 24 channels into 144: 216 → 256, 144 → 256.
    expect(paddedMacs({ rows: 3136, inner: 216, columns: 144, count: 1 }, array)).toBe(3136 * 256 * 256);
    expect(paddedMacs({ rows: 1, inner: 128, columns: 128, count: 1 }, array)).toBe(8 * 128 * 128);
  });

  it('costs up to four times as much on an array of twice the side', () => {
    const products = { rows: 64, inner: 96, columns: 100, count: 1 };
    expect(paddedMacs(products, { ...array, inner: 256, columns: 256 })).toBe(4 * paddedMacs(products, array));
  });

  it('packs small groups side by side', () => {
    // 128 ÷ 72 = 1 group a pass; 128 ÷ 18 = 7 groups of 2 channels, in ⌈32 ÷ 7⌉ = 5 passes.
    expect(paddedMacs({ rows: 64, inner: 72, columns: 8, count: 4 }, array)).toBe(4 * 64 * 128 * 128);
    expect(paddedMacs({ rows: 64, inner: 18, columns: 2, count: 32 }, array)).toBe(5 * 64 * 128 * 128);
  });

  it('shows in the time, and so do too few tiles for the units', () => {
    const unit: DeviceProfile = {
      ...device,
      memory: undefined,
      kernelOverheadUs: 0,
      matrixUnit: { ...array, units: 1 },
    };
    const exact = { ...kernel, products: { rows: 1000, inner: 128, columns: 128, count: 1 }, macs: 1000 * 128 * 128 };
    const wasteful = { ...kernel, products: { rows: 1000, inner: 64, columns: 32, count: 1 }, macs: 1000 * 64 * 32 };
    expect(ms(wasteful, unit)).toBeCloseTo(ms(exact, unit), 12);
    expect(latency(wasteful, unit).useful).toBeCloseTo(1 / 8, 12);
    // 125 tiles on 500 units leave three quarters of them idle.
    const idle = { ...unit, matrixUnit: { ...array, units: 500 } };
    expect(ms(exact, idle)).toBeCloseTo(4 * ms(exact, unit), 12);
  });
});

/** A small network of every kind of kernel. */
const network = (multiplier: number, resolution: number) =>
  parseNetworkSpec(
    {
      input: { resolution },
      classes: 10,
      stem: { kernel: 3, stride: 2, width: 8 * multiplier },
      stages: [
        { operator: 'fused-mbconv', kernel: 3, stride: 1, expansion: 2, width: 8 * multiplier, repeats: 1 },
        {
          operator: 'mbconv',
          kernel: 5,
          stride: 2,
          expansion: 4,
          width: 16 * multiplier,
          repeats: 2,
          squeezeExcite: 0.25,
        },
        {
          operator: 'bottleneck',
          kernel: 3,
          stride: 2,
          width: 16 * multiplier,
          repeats: 1,
          bottleneckRatio: 1,
          groupWidth: 8,
        },
      ],
      head: { width: 32 * multiplier },
    },
    'network',
  );

const time = (profile: DeviceProfile, batch: number, multiplier: number, resolution: number): number => {
  const graph = onnxGraphOf(buildNetwork(network(multiplier, resolution), 'batch'));
  const precision = profile.peakTflops.bf16
    ? 'bf16'
    : profile.peakTflops.fp16
      ? 'fp16'
      : profile.peakTflops.fp32
        ? 'fp32'
        : 'int8';
  return programLatency(readKernels(graph, profile.fusion, { batch }, 'network'), profile, precision).ms;
};

describe('time of a run', () => {
  const program: KernelProgram = { kernels: [kernel, kernel], batch: 1, weightElements: 2e5, peakElements: 1.1e7 };

  it('is that of its kernels, or of the host that starts them, and a fixed one', () => {
    expect(programLatency(program, device, 'fp32')).toMatchObject({
      hostMs: 0,
      deviceMs: expect.closeTo(13.1, 9),
      ms: expect.closeTo(13.1, 9),
    });
    const slowHost = { ...device, dispatchUs: 10_000, runOverheadUs: 500 };
    expect(programLatency(program, slowHost, 'fp32')).toMatchObject({ hostMs: 20, ms: 20.5 });
    expect(roofsMs(programRoofs(program, slowHost, 'fp32'), slowHost)).toBe(20.5);
  });

  it('never falls as the batch, the width or the resolution grows, on any device of the table', () => {
    const grown = fc.record({
      batch: fc.integer({ min: 0, max: 32 }),
      multiplier: fc.integer({ min: 0, max: 2 }),
      pixels: fc.integer({ min: 0, max: 64 }),
    });
    fc.assert(
      fc.property(fc.constantFrom(...deviceProfiles.values()), grown, grown, (profile, base, more) => {
        const small = time(profile, 1 + base.batch, 1 + base.multiplier, 32 + base.pixels);
        const large = time(
          profile,
          1 + base.batch + more.batch,
          1 + base.multiplier + more.multiplier,
          32 + base.pixels + more.pixels,
        );
        expect(large).toBeGreaterThanOrEqual(small * (1 - 1e-12));
      }),
      { numRuns: 60 },
    );
  });

  it('knows every kind of kernel on every device', () => {
    for (const profile of deviceProfiles.values())
      for (const kind of kernelKinds)
        expect(profile.efficiency.memory[kind], `${profile.id} ${kind}`).toBeGreaterThan(0);
  });
});
