import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { profiled } from '../../accelerators/runtime-profile.ts';
import { agreement } from '../../latency/calibration.ts';
import { randomInputs } from '../../latency/inputs.ts';
import { kernelTimesOf } from '../../latency/kernel-times.ts';
import { buildNetwork } from '../../models/build.ts';
import { type Fusion, onnxGraphOf, readKernels } from '../../models/kernels.ts';
import { type NetworkSpec, networkSpecSchema, parseNetworkSpec } from '../../models/spec.ts';
import { applyMultipliers } from '../../scaling/apply.ts';
import { loadNetwork } from '../../scaling/built-in-networks.ts';
import { networkModel } from '../../study/evaluation/calibration-networks.ts';
import { arbitrarySpec } from './arbitrary-spec.ts';
import { blockKinds, endKinds, networkOf } from './block-kinds.ts';

/** What the runtime itself says it ran. */
async function ranKernels(model: Uint8Array, batch: number) {
  const profile = await profiled(onnxRuntimeAccelerator('cpu'), model, { threads: 1 }, async (session) => {
    await session.run(randomInputs(session.inputs, batch));
  });
  return kernelTimesOf(profile, 0).map(({ key, count, ms }): [string, number, number] => [key, count, ms]);
}

const programOf = (spec: NetworkSpec, batch: number, fusion: Fusion) =>
  readKernels(onnxGraphOf(buildNetwork(spec, 'batch')), fusion, { batch }, 'network');
const fusions = ['onnxruntime-16', 'onnxruntime-8', 'onnxruntime-1'] as const;

/** How wide this processor's blocks are: what a network of channels by sixteen cannot tell apart, odd ones can. */
async function hostFusion(): Promise<Fusion> {
  const spec = loadNetwork('mobilenet-v3-small');
  const small = { ...spec, input: { ...spec.input, resolution: 32 } };
  const ran = await ranKernels(networkModel(small), 1);
  const shares = fusions.map((fusion) => agreement(programOf(small, 1, fusion), ran));
  return fusions[shares.indexOf(Math.max(...shares))] as Fusion;
}

async function expectForetold(spec: NetworkSpec, batch: number, fusion: Fusion): Promise<void> {
  const ran = await ranKernels(networkModel(spec), batch);
  const program = programOf(spec, batch, fusion);
  expect(agreement(program, ran)).toBe(1);
  expect(program.kernels).toHaveLength(ran.reduce((sum, [, count]) => sum + count, 0));
}

describe('the kernels of onnxruntime', () => {
  it('are foretold exactly for every kind of block', async () => {
    const fusion = await hostFusion();
    for (const kind of [...blockKinds, ...endKinds]) await expectForetold(networkOf(kind, 24), 2, fusion);
  });

  it('are foretold exactly for networks of all families', async () => {
    const fusion = await hostFusion();
    const names = ['efficientnet-b0', 'efficientnet-x-b0', 'efficientnetv2-b0', 'mobilenet-v2', 'mobilenet-v3-small'];
    for (const name of [...names, 'resnet-18', 'resnet-50', 'regnet-x-400mf', 'regnet-y-400mf']) {
      const base = loadNetwork(name);
      // Thin and small, for speed: widths by 8 are as many cases as the published ones.
      const multipliers = { width: 0.25, depth: 0.5, resolution: 32 / base.input.resolution };
      await expectForetold(applyMultipliers(base, multipliers, { maxResolution: 32 }).spec, 1, fusion);
    }
  });

  it('are foretold exactly for odd widths, strides and dilations', async () => {
    const fusion = await hostFusion();
    const property = fc.asyncProperty(arbitrarySpec, (spec) =>
      expectForetold(parseNetworkSpec(spec, 'drawn'), 1, fusion),
    );
    await fc.assert(property, { numRuns: 25, seed: 1 });
  });

  it('cost what the same network costs without a runtime', () => {
    const spec = networkSpecSchema.parse(loadNetwork('efficientnet-b0'));
    const macs = (fusion: Fusion) => programOf(spec, 2, fusion).kernels.reduce((sum, kernel) => sum + kernel.macs, 0);
    for (const fusion of fusions) expect(macs(fusion)).toBe(macs('epilogue'));
  });

  it('are fewer without a blocked layout, which changes back and forth', () => {
    const spec = loadNetwork('efficientnet-b0');
    const operators = (fusion: Fusion) => programOf(spec, 1, fusion).kernels.map(({ runtime }) => runtime?.operator);
    expect(operators('onnxruntime-16')).toContain('ReorderOutput');
    expect(operators('onnxruntime-1')).not.toContain('ReorderOutput');
    expect(operators('onnxruntime-1').length).toBeLessThan(operators('onnxruntime-16').length);
  });
});
