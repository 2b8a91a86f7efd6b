import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import {
  agreement,
  detectFusion,
  errorsOf,
  estimateNetwork,
  fitModel,
  programOf,
  rooflineOf,
  sightingsOf,
  validate,
} from '../../latency/calibration.ts';
import { programFeatures } from '../../latency/kernel-features.ts';
import { estimateKernel } from '../../latency/kernel-model.ts';
import { draws, lawMs, observed } from './synthetic-device.ts';

const fusion = 'onnxruntime-16';
const random = new Random('calibration');
const networks = draws(40, 'calibration');
const observations = networks.map((network, index) => observed(network, random.child(index)));
const sightings = sightingsOf(observations, fusion);
const options = { maxPoints: 60, evidenceSamples: 40 };
const model = fitModel(sightings, options);

describe('calibration by observed networks', () => {
  it('takes out what a profile adds to every kernel', () => {
    for (const { kernels } of sightings.slice(0, 10))
      for (const { features, ms } of kernels) expect(ms / lawMs(features)).toBeCloseTo(1, 1);
  });

  it('brings times to the usual speed of the host', () => {
    const slow = networks.map((network, index) =>
      observed(network, random.child(index), { speed: index % 3 === 0 ? 0.8 : 1 }),
    );
    const both = [sightingsOf(slow, fusion), sightings];
    expect(both[0]?.[0]?.p50Ms).toBeCloseTo(both[1]?.[0]?.p50Ms ?? 0, 6);
    expect(slow[0]?.p50Ms).toBeCloseTo((observations[0]?.p50Ms ?? 0) / 0.8, 6);
  });

  it('foretells networks it has not seen within a few percent', () => {
    const ratios = draws(20, 'others').map((network) => {
      const program = programOf(network, fusion);
      const truth = programFeatures(program).reduce((sum, features) => sum + lawMs(features), 0);
      return estimateNetwork(model, program).ms / truth;
    });
    const { within10, medianError } = errorsOf(ratios);
    expect(within10).toBeGreaterThanOrEqual(0.9);
    expect(medianError).toBeLessThan(0.05);
  });

  it('knows nothing of kernels it never saw, and says how many', () => {
    const { groups } = model.kernels;
    const without = { ...model, kernels: { groups: { ...groups } as Record<string, (typeof groups)[string]> } };
    delete without.kernels.groups['Gemm'];
    const program = programOf({ spec: networks[0]?.spec ?? never(), batch: 1 }, fusion);
    const gemm = programFeatures(program).find(({ group }) => group === 'Gemm');
    expect(gemm && estimateKernel(without.kernels, gemm)).toBeUndefined();
    expect(estimateNetwork(without, program).unseen).toBeCloseTo(1 / program.kernels.length, 9);
    expect(estimateNetwork(model, program).unseen).toBe(0);
  });

  it('is less sure of kernels unlike those it saw', () => {
    const spec = networks.find(({ spec: { input } }) => input.resolution > 60)?.spec ?? never();
    const uncertainty = (batch: number) => estimateNetwork(model, programOf({ spec, batch }, fusion)).uncertainty;
    expect(uncertainty(4096)).toBeGreaterThan(1.5 * uncertainty(2));
  });

  it('states errors of networks left out, the ceiling that noise sets, and what each part of the budget brought', () => {
    const noisy = networks.flatMap((network, index) => [
      observed(network, random.child('first', index), { session: 0.02 }),
      ...(index % 4 === 0
        ? [
            {
              ...observed(network, random.child('again', index), { session: 0.02, role: 'repeat' as const }),
              kernels: [],
            },
          ]
        : []),
    ]);
    const {
      networks: heldOut,
      ceiling,
      byBudget,
      logDeviation,
      intervalFactor,
      kernelError,
    } = validate(noisy, sightingsOf(noisy, fusion), { ...options, like: model.kernels });
    expect(heldOut.networks).toBe(40);
    expect(heldOut.medianError).toBeLessThan(0.08);
    expect(ceiling).toMatchObject({ networks: 10, within10: 1 });
    expect(ceiling.medianError).toBeGreaterThan(0);
    expect(kernelError).toBeLessThan(0.1);
    expect(logDeviation).toBeGreaterThan(0);
    expect(intervalFactor).toBeGreaterThan(0);
    expect(byBudget).toHaveLength(4);
    expect(byBudget.map(({ seconds }) => seconds)).toEqual(
      byBudget.map(({ seconds }) => seconds).toSorted((a, b) => a - b),
    );
    expect(byBudget[0]?.medianError).toBeGreaterThan(byBudget[3]?.medianError ?? 1);
  });

  it('finds how wide the blocks of the processor are', () => {
    expect(detectFusion(observations[0] ?? never())).toBe(fusion);
    expect(agreement(sightings[0]?.program ?? never(), observations[0]?.kernels ?? [])).toBe(1);
    const other = programOf(observations[0] ?? never(), 'onnxruntime-1');
    expect(agreement(other, observations[0]?.kernels ?? [])).toBeLessThan(0.9);
  });

  it('leaves a roofline for what it does not know, no share above one', () => {
    const { peakTflops, memory, efficiency } = rooflineOf(sightings);
    expect(peakTflops.fp32).toBeGreaterThan(0.01);
    expect(peakTflops.fp32).toBeLessThan(0.04);
    expect(memory?.gigabytesPerS).toBeGreaterThan(4);
    expect(memory?.gigabytesPerS).toBeLessThan(12);
    for (const share of [...Object.values(efficiency.arithmetic), ...Object.values(efficiency.memory)]) {
      expect(share).toBeGreaterThan(0);
      expect(share).toBeLessThanOrEqual(1);
    }
  });
});

function never(): never {
  throw new Error('expected a network');
}
