import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, test } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { elements } from '../../models/graph.ts';
import { networkSpecSchema, type NetworkSpec } from '../../models/spec.ts';
import { convolutions, shapeOf } from '../models/fixture.ts';
import { builtInNetwork, builtInNetworkNames, loadNetwork } from '../../scaling/built-in-networks.ts';
import { type Multipliers, power } from '../../scaling/multipliers.ts';
import { efficientNetXGpuCoefficients } from '../../scaling/rules.ts';
import { roundFilters, roundRepeats, roundResolution } from '../../scaling/rounding.ts';

function built(name: string): NetworkSpec {
  const spec = builtInNetwork(name);
  if (!spec) throw new Error(`no built-in network ${name}`);
  return spec;
}

function graphOf(name: string) {
  return buildNetwork(built(name), 1);
}

describe('built-in networks have the published counts:', () => {
  // Trainable parameters, exact; multiply-adds (G) and convolution outputs (M), counted from the release.
  test.each([
    ['efficientnet-b0', 5_288_548, 0.3858, 6.75],
    ['efficientnet-b1', 7_794_184, 0.6868, 10.88],
    ['efficientnet-b2', 9_109_994, 0.9936, 13.83],
    ['efficientnet-b3', 12_233_232, 1.8271, 23.83],
    ['efficientnet-b4', 19_341_616, 4.3938, 49.49],
    ['efficientnet-b5', 30_389_784, 10.2664, 98.86],
    ['efficientnet-b6', 43_040_704, 19.0676, 167.39],
    ['efficientnet-b7', 66_347_960, 37.7459, 289.94],
    ['efficientnet-b8', 87_413_142, 62.6, 442.9],
    ['efficientnet-l2', 480_309_308, 475.7, 1707],
    // The release's own test of the Lite models.
    ['efficientnet-lite0', 4_652_008],
    ['efficientnet-lite1', 5_416_680],
    ['efficientnet-lite2', 6_092_072],
    ['efficientnet-lite3', 8_197_096],
    ['efficientnet-lite4', 13_006_568],
    ['efficientnet-x-b0', 7_584_104, 0.9204],
    ['efficientnet-x-b1', 9_571_024, 1.6062],
    ['efficientnet-x-b2', 9_974_470, 2.3069],
    ['efficientnet-x-b3', 13_293_970, 4.3336],
    ['efficientnet-x-b4', 21_144_322, 10.5217],
    ['efficientnet-x-b5', 33_433_452, 24.5564],
    ['efficientnet-x-b6', 47_653_344, 47.4767],
    ['efficientnet-x-b7', 73_156_704, 91.7871, 216.86],
    ['efficientnet-x-tpu-b0', 7_584_104],
    ['efficientnet-x-tpu-b1', 10_419_068],
    ['efficientnet-x-tpu-b2', 11_493_130],
    ['efficientnet-x-tpu-b3', 15_768_856],
    ['efficientnet-x-tpu-b4', 33_978_936],
    ['efficientnet-x-tpu-b5', 59_919_646],
    ['efficientnet-x-tpu-b6', 137_204_266],
    ['efficientnet-x-tpu-b7', 198_638_730, 85.4716, 126.8],
    ['efficientnet-x-gpu-b0', 7_584_104],
    ['efficientnet-x-gpu-b1', 10_419_068],
    ['efficientnet-x-gpu-b2', 10_753_924],
    ['efficientnet-x-gpu-b3', 16_807_232],
    ['efficientnet-x-gpu-b4', 37_106_070],
    ['efficientnet-x-gpu-b5', 72_087_216],
    ['efficientnet-x-gpu-b6', 122_194_334],
    ['efficientnet-x-gpu-b7', 196_730_150, 84.5384, 151.36],
    // Parameters that torchvision's documentation states, where its networks are the papers'.
    ['mobilenet-v2', 3_504_872],
    ['mobilenet-v3-large', 5_483_032],
    ['mobilenet-v3-small', 2_542_856],
    ['resnet-18', 11_689_512],
    ['resnet-34', 21_797_672],
    ['resnet-50', 25_557_032],
    ['resnet-101', 44_549_160],
    ['resnet-152', 60_192_808],
    ['regnet-x-800mf', 7_259_656],
    ['regnet-x-1.6gf', 9_190_136],
    ['regnet-x-3.2gf', 15_296_552],
    ['regnet-y-400mf', 4_344_144],
    ['regnet-y-1.6gf', 11_202_430],
    ['regnet-y-3.2gf', 19_436_338],
  ] as const)('%s', (name, params, gigaMacs?: number, megaActivations?: number) => {
    const count = countGraph(graphOf(name));
    expect(count.params).toBe(params);
    if (gigaMacs !== undefined) expect(roundedLike(gigaMacs, count.macs / 1e9)).toBe(gigaMacs);
    if (megaActivations !== undefined)
      expect(roundedLike(megaActivations, count.activations / 1e6)).toBe(megaActivations);
  });

  // The release's own test, which counts the running statistics of batch norms as parameters too.
  test.each([
    ['efficientnetv2-b0', 7_200_312],
    ['efficientnetv2-b1', 8_212_124],
    ['efficientnetv2-b2', 10_178_374],
    ['efficientnetv2-b3', 14_467_622],
    ['efficientnetv2-s', 21_612_360],
    ['efficientnetv2-m', 54_431_388],
    ['efficientnetv2-l', 119_027_848],
  ])('%s', (name, everything) => {
    const { parameters } = graphOf(name);
    expect(parameters.reduce((sum, { shape }) => sum + elements(shape), 0)).toBe(everything);
  });

  // Known to three digits only: millions of parameters; multiply-adds (M) that the papers name their networks for.
  test.each([
    ['efficientnet-edgetpu-s', 5.44],
    ['efficientnet-edgetpu-m', 6.9],
    ['efficientnet-edgetpu-l', 10.59],
    ['regnet-x-400mf', 5.16],
    ['regnet-y-800mf', 6.26],
  ])('%s within 0.5 %', (name, millions) => {
    expect(Math.abs(countGraph(graphOf(name)).params / (millions * 1e6) - 1)).toBeLessThan(0.005);
  });
});

/** A value with the decimals of another. */
function roundedLike(published: number, value: number): number {
  return Number(value.toFixed(String(published).split('.')[1]?.length ?? 0));
}

/** What coefficients give at φ, as a release's table states it. */
function entry(coefficients: Multipliers, phi: number): readonly number[] {
  const { depth, width, resolution } = power(coefficients, phi);
  return [Number(depth.toFixed(2)), Number(width.toFixed(2)), roundResolution(224, resolution)];
}

describe('built-in networks', () => {
  it('are specs in the form that parsing gives, so that a file of one is that network', () => {
    for (const name of builtInNetworkNames) {
      const spec = built(name);
      expect(networkSpecSchema.parse(JSON.parse(JSON.stringify(spec))), name).toEqual(spec);
    }
  });

  it('end in a plane of 7 pixels at 224', () => {
    for (const name of builtInNetworkNames.filter((name) => built(name).input.resolution === 224)) {
      const graph = graphOf(name);
      const pool = graph.nodes.find((node) => node.name === 'head.pool');
      expect(shapeOf(graph, pool?.inputs[0]).slice(2), name).toEqual([7, 7]);
    }
  });

  it('EfficientNet-X B0 is the network of the release, tensor by tensor in its space-to-depth region', () => {
    const rows = convolutions(graphOf('efficientnet-x-b0')).map(({ layer, kernel, width, side, groups }) => {
      return [layer, kernel, width, side, groups];
    });
    expect(rows.slice(0, 17)).toEqual([
      ['stem', 3, 32, 112, 1],
      ['stage0.block0.space-to-depth', 2, 128, 56, 1],
      ['stage0.block0.depthwise', 2, 128, 56, 128],
      ['stage0.block0.squeeze-excite.squeeze', 1, 32, 1, 1],
      ['stage0.block0.squeeze-excite.excite', 1, 128, 1, 1],
      ['stage0.block0.project', 1, 64, 56, 1],
      ['stage1.block0.fused', 3, 96, 56, 1],
      ['stage1.block0.squeeze-excite.squeeze', 1, 16, 1, 1],
      ['stage1.block0.squeeze-excite.excite', 1, 96, 1, 1],
      ['stage1.block0.project', 1, 24, 56, 1],
      ['stage1.block1.fused', 3, 144, 56, 1],
      ['stage1.block1.squeeze-excite.squeeze', 1, 24, 1, 1],
      ['stage1.block1.squeeze-excite.excite', 1, 144, 1, 1],
      ['stage1.block1.project', 1, 24, 56, 1],
      ['stage2.block0.fused', 5, 144, 28, 1],
      ['stage2.block0.squeeze-excite.squeeze', 1, 24, 1, 1],
      ['stage2.block0.squeeze-excite.excite', 1, 144, 1, 1],
    ]);
  });

  it('EdgeTPU expands as if its stem had 24 channels, and strides in the projection', () => {
    const graph = graphOf('efficientnet-edgetpu-l');
    expect(shapeOf(graph, 'stage0.block0.fused.conv.weight').slice(0, 2)).toEqual([128, 40]);
    expect(shapeOf(graph, 'stage1.block0.fused.conv.weight').slice(0, 2)).toEqual([128, 32]);
    const strides = convolutions(graph).filter(({ layer }) => layer.startsWith('stage2.block0.'));
    expect(strides.map(({ layer, stride }) => [layer.split('.')[2], stride])).toEqual([
      ['fused', 1],
      ['project', 2],
    ]);
  });

  it('MobileNetV3 squeezes to a multiple of 8 and gates with a hard sigmoid', () => {
    const graph = graphOf('mobilenet-v3-large');
    const squeezed = convolutions(graph).flatMap(({ layer, width }) => (layer.endsWith('.squeeze') ? [width] : []));
    expect(squeezed).toEqual([24, 32, 32, 120, 168, 168, 240, 240]);
    expect(graph.nodes.filter(({ op }) => op === 'hard-sigmoid')).toHaveLength(squeezed.length);
  });
});

describe('the families of EfficientNet-X are powers of few coefficients', () => {
  // Nominal multipliers of the release, B1 to B7: depth, width, resolution.
  const gpu = [
    [1.09, 1.05, 229],
    [1.24, 1.13, 237],
    [1.63, 1.31, 255],
    [2.4, 1.63, 282],
    [3.29, 1.94, 306],
    [4.28, 2.25, 328],
    [5.46, 2.58, 350],
  ];
  const tpu = [
    [1.29, 1.13, 244],
    [1.62, 1.27, 263],
    [2.38, 1.54, 299],
    [2.76, 1.96, 332],
    [3.01, 2.75, 328],
    [3.44, 3.26, 350],
  ];
  it('on the GPU one triple gives 20 of its 21 entries; the depth of B5 comes out at 3.28', () => {
    const phis = [0.329, 0.826, 1.858, 3.337, 4.53, 5.538, 6.471];
    const regenerated = phis.map((phi) => entry(efficientNetXGpuCoefficients, phi));
    expect(regenerated).toEqual(gpu.with(4, [3.28, 1.94, 306]));
  });

  it('on the TPU B2 to B4 have one triple and B5 another', () => {
    const middle = { depth: 1.298, width: 1.138, resolution: 1.091 };
    expect([0.967, 1.849, 3.33].map((phi) => entry(middle, phi))).toEqual(tpu.slice(0, 3));
    expect(entry({ depth: 1.2505, width: 1.16, resolution: 1.0905 }, 4.54)).toEqual(tpu[3]);
  });

  it('on the TPU B6 and B7 grow wider than deeper: a third triple, known to two digits, and no power of the first', () => {
    const late = { depth: 1.21, width: 1.2, resolution: 1.07 };
    const distance = (coefficients: typeof late, phi: number, published: readonly number[] = []) =>
      Math.max(...entry(coefficients, phi).map((value, index) => Math.abs(value / (published[index] ?? 0) - 1)));
    expect(distance(late, 5.66, tpu[4])).toBeLessThan(0.025);
    expect(distance(late, 6.5, tpu[5])).toBeLessThan(0.01);
    for (let phi = 3; phi < 10; phi += 0.01)
      expect(distance({ depth: 1.298, width: 1.138, resolution: 1.091 }, phi, tpu[5])).toBeGreaterThan(0.2);
  });

  it('which are the multipliers that the built-in networks are built with', () => {
    const base = built('efficientnet-x-b0');
    const check = (name: string, [depth = 1, width = 1, resolution = 224]: readonly number[] = []) => {
      const spec = built(name);
      expect(spec.input.resolution).toBe(resolution);
      expect(spec.stages.map(({ repeats }) => repeats)).toEqual(
        base.stages.map(({ repeats }) => roundRepeats(repeats, depth)),
      );
      expect(spec.stages.map((stage) => stage.width)).toEqual(
        base.stages.map((stage) => roundFilters(stage.width, width)),
      );
    };
    gpu.forEach((multipliers, index) => check(`efficientnet-x-gpu-b${index + 1}`, multipliers));
    tpu.forEach((multipliers, index) => check(`efficientnet-x-tpu-b${index + 2}`, multipliers));
  });
});

describe('naming a network', () => {
  const data = { classes: 10, channels: 1, nativeResolution: 28 };

  it('a built-in one comes as published, or fitted to the data', () => {
    expect(loadNetwork('resnet-18')).toEqual(built('resnet-18'));
    expect(loadNetwork('resnet-18', { data })).toEqual({
      ...built('resnet-18'),
      classes: 10,
      input: { channels: 1, resolution: 28 },
    });
    expect(loadNetwork('resnet-18', { data: { ...data, nativeResolution: 512 } }).input.resolution).toBe(224);
  });

  it('a file is read as it is, from where relative paths start', () => {
    const examples = fileURLToPath(new URL('../../examples/', import.meta.url));
    const spec = loadNetwork('network.yaml', { baseDirectory: examples, data });
    expect(spec).toMatchObject({ name: 'small-mixed', classes: 10, input: { channels: 3, resolution: 32 } });
    expect(loadNetwork(join(examples, 'network.yaml'), { baseDirectory: '/elsewhere' })).toEqual(spec);
  });

  test.each([
    ['efficientnet-b9', 'efficientnet-b8'],
    ['resnet50', 'resnet-50'],
    ['EfficientNet-V2-S', 'efficientnetv2-s'],
    ['mobilenetv3large', 'mobilenet-v3-large'],
  ])('%s is refused with %s among the names near it', (given, near) => {
    expect(() => loadNetwork(given)).toThrow(ConfigError);
    expect(() => loadNetwork(given)).toThrow(
      new RegExp(`^expected a built-in network or .*, got "${given}"; near it: .*\\b${near}\\b`),
    );
  });

  it('a path that holds nothing is refused with the path', () => {
    expect(() => loadNetwork('missing.yaml', { baseDirectory: '/nowhere' })).toThrow(/^\/nowhere\/missing\.yaml: /);
    expect(() => loadNetwork('nets/resnet-18')).toThrow(/^nets\/resnet-18: /);
  });
});
