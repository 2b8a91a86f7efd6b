import { describe, expect, it } from 'vitest';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';
import { applyMultipliers } from '../../scaling/apply.ts';
import { everyBlock } from './fixture.ts';

const rows = [
  [1, 3, 1, 1, 16],
  [2, 3, 2, 6, 24],
  [2, 5, 2, 6, 40],
  [3, 3, 2, 6, 80],
  [3, 5, 1, 6, 112],
  [4, 5, 2, 6, 192],
  [1, 3, 1, 6, 320],
];
const efficientNetB0: NetworkSpec = parseNetworkSpec(
  {
    input: { resolution: 224 },
    classes: 1000,
    stem: { kernel: 3, stride: 2, width: 32, activation: 'silu' },
    stages: rows.map(([repeats, kernel, stride, expansion, width]) => ({
      operator: 'mbconv',
      repeats,
      kernel,
      stride,
      expansion,
      width,
      squeezeExcite: 0.25,
      activation: 'silu',
    })),
    head: { width: 1280, activation: 'silu', dropout: 0.2 },
  },
  'EfficientNet-B0',
);

describe('counts', () => {
  // Trainable parameters of Tan & Le's release, exact; multiply-adds (G) and convolution activations (M) counted from it.
  it.each([
    ['B0', 1.0, 1.0, 224, 5_288_548, 0.3858, 6.75],
    ['B1', 1.0, 1.1, 240, 7_794_184, 0.6868, 10.88],
    ['B2', 1.1, 1.2, 260, 9_109_994, 0.9936, 13.83],
    ['B3', 1.2, 1.4, 300, 12_233_232, 1.8271, 23.83],
    ['B4', 1.4, 1.8, 380, 19_341_616, 4.3938, 49.49],
    ['B5', 1.6, 2.2, 456, 30_389_784, 10.2664, 98.86],
    ['B6', 1.8, 2.6, 528, 43_040_704, 19.0676, 167.39],
    ['B7', 2.0, 3.1, 600, 66_347_960, 37.7459, 289.94],
  ])(
    'of EfficientNet-%s, scaled from B0, are the published ones',
    (_name, width, depth, resolution, params, gigaMacs, megaActivations) => {
      const { spec } = applyMultipliers(
        efficientNetB0,
        { depth, width, resolution: resolution / 224 },
        { maxResolution: 1000 },
      );
      const count = countGraph(buildNetwork(spec, 1));
      expect(count.params).toBe(params);
      expect(Number((count.macs / 1e9).toFixed(4))).toBe(gigaMacs);
      expect(Number((count.activations / 1e6).toFixed(2))).toBe(megaActivations);
    },
  );

  it('by group sum to the total', () => {
    const { groups, params, macs, activations } = countGraph(buildNetwork(everyBlock, 1));
    const sum = (key: 'params' | 'macs' | 'activations') =>
      Object.values(groups).reduce((total, group) => total + group[key], 0);
    expect([sum('params'), sum('macs'), sum('activations')]).toEqual([params, macs, activations]);
    expect(Object.keys(groups)).toEqual(['stem', 'stage0', 'stage1', 'stage2', 'stage3', 'head', 'classifier']);
  });

  it('do not depend on the batch', () => {
    expect(countGraph(buildNetwork(everyBlock, 7))).toEqual(countGraph(buildNetwork(everyBlock, 'batch')));
  });

  it('give the peak of the widest moment: a stem whose input and output are alive together', () => {
    const spec = parseNetworkSpec(
      {
        input: { channels: 1, resolution: 8 },
        classes: 2,
        stem: { kernel: 1, stride: 1, width: 4 },
        stages: [{ operator: 'fused-mbconv', kernel: 1, stride: 4, expansion: 1, width: 2, repeats: 1 }],
        head: { width: 0 },
      },
      'tiny',
    );
    expect(countGraph(buildNetwork(spec, 1)).peakBytes).toBe(4 * 8 * 8 * (1 + 4));
  });
});
