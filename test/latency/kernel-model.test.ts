import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import type { KernelFeatures } from '../../latency/kernel-features.ts';
import { estimateKernel, fitKernelModel, type KernelObservation } from '../../latency/kernel-model.ts';

const random = new Random('kernel-model');
const options = { maxPoints: 80, evidenceSamples: 60 };

function kernel(group: string): KernelFeatures {
  const [macs, bytes] = [10 ** (4 + 4 * random.uniform()), 10 ** (3 + 3 * random.uniform())];
  return { group, macs, bytes, x: [Math.log(macs), Math.log(bytes), 0] };
}
const timeMs = ({ macs, bytes }: KernelFeatures) =>
  (macs / 2e7 + bytes / 5e6 + 0.003) * (1 + 0.2 * Math.sin(Math.log(macs)));
const observations = (group: string, count: number): KernelObservation[] =>
  Array.from({ length: count }, () => kernel(group)).map((features) => ({ features, ms: timeMs(features) }));

describe('a model of kernels', () => {
  const model = fitKernelModel([...observations('a', 120), ...observations('b', 3)], options);

  it('learns what a roofline misses', () => {
    const errors = observations('a', 50).map(({ features, ms }) =>
      Math.abs((estimateKernel(model, features)?.ms ?? 0) / ms - 1),
    );
    expect(errors.toSorted((x, y) => x - y)[45]).toBeLessThan(0.05);
  });

  it('has a model for each group, of the features that vary in it, and none for others', () => {
    expect(Object.keys(model.groups)).toEqual(['a', 'b']);
    expect(model.groups['a']?.active).toEqual([0, 1]);
    expect(estimateKernel(model, kernel('c'))).toBeUndefined();
  });

  it('holds rates that are the device', () => {
    const [perMac, perByte, fixed] = model.groups['a']?.roofline ?? [0, 0, 0];
    expect(perMac).toBeGreaterThan(35);
    expect(perMac).toBeLessThan(65);
    expect(perByte).toBeGreaterThan(120);
    expect(perByte).toBeLessThan(280);
    expect(fixed).toBeGreaterThan(1);
    expect(fixed).toBeLessThan(6);
  });

  it('takes equal kernels as one of their geometric mean', () => {
    const [one] = observations('a', 1);
    if (!one) throw new Error('expected an observation');
    const twice = fitKernelModel(
      [
        { ...one, ms: 1 },
        { ...one, ms: 4 },
      ],
      options,
    );
    expect(estimateKernel(twice, one.features)?.ms).toBeCloseTo(2, 1);
  });
});
