import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { ConfigError } from '../../core/errors.ts';
import { Random } from '../../core/random.ts';
import { kerasSource } from '../../handover/keras.ts';
import { inputName, parityInput, storedParity } from '../../handover/parity.ts';
import { pytorchSource } from '../../handover/pytorch.ts';
import type { SourceOptions } from '../../handover/source.ts';
import { stateDict, stateKey } from '../../handover/state-dict.ts';
import { timmKey, timmSource } from '../../handover/timm.ts';
import { buildNetwork } from '../../models/build.ts';
import { exportOnnx } from '../../models/export.ts';
import { initialWeights } from '../../models/initialise.ts';
import { encodeSafetensors } from '../../models/safetensors.ts';
import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';
import { isTransformer, type ModelSpec, parseTransformerSpec } from '../../models/transformer.ts';
import { loadNetwork } from '../../scaling/built-in-networks.ts';
import { decode, sampleChoices } from '../../search/space.ts';
import { builtInSpace, builtInSpaceNames } from '../../search/spaces.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { arbitrarySpec, type SpecInput } from '../models/arbitrary-spec.ts';
import { blockKinds, endKinds, networkOf } from '../models/block-kinds.ts';
import { trainedLikeWeights } from '../models/fixture.ts';
import { absent, checkAll, pythonWith } from './python.ts';

/**
 * What fp32 may make of small networks by another order of its sums: 3e-6 was the most seen, of the largest logit. An
 * error in the source moves a logit by 2e-3 at least (docs/handover.md).
 */
const tolerance = 5e-5;

const sources = { pytorch: pytorchSource, timm: timmSource, keras: kerasSource };
const options: SourceOptions = { withWeights: true, tolerance };
const folder = fileFolder();

function weightsOf(spec: ModelSpec) {
  return isTransformer(spec) ? initialWeights(buildNetwork(spec, 1), new Random(0)) : trainedLikeWeights(spec);
}

/** The source of a network in a folder with weights and what onnxruntime makes of them. */
async function written(spec: ModelSpec, framework: keyof typeof sources, name: string): Promise<string> {
  const place = join(folder, framework, name.replaceAll(/\W+/g, '-'));
  mkdirSync(place, { recursive: true });
  const weights = weightsOf(spec);
  const keyOf = framework === 'timm' && !isTransformer(spec) ? timmKey(spec) : undefined;
  const input = parityInput(spec);
  const session = await onnxRuntimeAccelerator('cpu').open(exportOnnx(spec, weights, 'batch'), { threads: 1 });
  const { logits } = await session.run({ [inputName(spec)]: input });
  await session.close();
  const parity = { input, logits: logits?.data as Float32Array, dims: logits?.dims ?? [], tolerance };
  writeFileSync(join(place, 'model.py'), sources[framework](spec, options));
  writeFileSync(
    join(place, 'weights.safetensors'),
    encodeSafetensors(stateDict(buildNetwork(spec, 1), weights, {}, keyOf)),
  );
  writeFileSync(join(place, 'parity.safetensors'), encodeSafetensors(storedParity(spec, parity)));
  return place;
}

/** Writes all and expects each to compute what its ONNX file does. */
async function expectParity(
  python: string,
  framework: keyof typeof sources,
  specs: readonly (readonly [string, ModelSpec])[],
): Promise<void> {
  const places: string[] = [];
  for (const [name, spec] of specs) places.push(await written(spec, framework, name));
  const differences = checkAll(python, places);
  expect(differences).toHaveLength(specs.length);
  specs.forEach(([name], index) => expect(differences[index], name).toBeLessThan(tolerance));
}

const kinds = [...blockKinds, ...endKinds].flatMap((kind) =>
  // An even and an odd side: padding of a stride depends on it.
  [12, 15].map((side) => [`${kind} ${side}`, networkOf(kind, side)] as const),
);

/** A network of the literature, small enough to be compared in a moment. */
function small(name: string): NetworkSpec {
  return { ...loadNetwork(name), input: { channels: 3, resolution: 33 }, classes: 7 };
}

function sampled(space: string): readonly (readonly [string, NetworkSpec])[] {
  const tree = builtInSpace(space, { classes: 5, channels: 3, nativeResolution: 32, scale: 'tiny' });
  const random = new Random('handover');
  return Array.from({ length: 6 }, (_, index) => [`${space} ${index}`, decode(tree, sampleChoices(tree, random))]);
}

const transformer = (changes: object): ModelSpec =>
  parseTransformerSpec(
    { kind: 'transformer', vocabulary: 19, context: 9, layers: 2, width: 16, heads: 2, ...changes },
    't',
  );
const transformers = [
  ['a transformer', transformer({ biases: true })],
  ['a gated transformer', transformer({ gated: true, norm: 'rms-norm', tiedHead: false, learnedPositions: false })],
] as const;

function keys(spec: ModelSpec): string[] {
  const graph = buildNetwork(spec, 1);
  return graph.parameters.map((parameter) => stateKey(graph, parameter));
}

describe('the state dict', () => {
  it('calls parameters as PyTorch would, blocks behind a learned space-to-depth one on', () => {
    expect(keys(networkOf('EfficientNet-X', 12))).toEqual(
      expect.arrayContaining([
        'stem.norm.running_mean',
        'stages.0.0.conv.weight',
        'stages.0.1.depthwise.norm.bias',
        'stages.0.1.squeeze_excite.excite.bias',
        'stages.1.0.fused.conv.weight',
        'classifier.weight',
      ]),
    );
    expect(keys(transformers[0][1])).toContain('layers.1.feed_forward.norm.weight');
  });

  it('gives no two parameters one key', () => {
    for (const [name, spec] of [...kinds, ...transformers])
      expect(new Set(keys(spec)).size, name).toBe(keys(spec).length);
  });

  it('keeps matrices by rows of outputs', () => {
    const spec = networkOf('mbconv', 12);
    const graph = buildNetwork(spec, 1);
    const weights = trainedLikeWeights(spec);
    const { weights: values, shapes } = stateDict(graph, weights, {});
    expect(shapes.get('classifier.weight')).toEqual([4, 12]);
    expect(values.get('classifier.weight')?.[1 * 12 + 5]).toBe(weights.get('classifier.weight')?.[5 * 4 + 1]);
  });
});

describe('PyTorch source', () => {
  const python = pythonWith('torch', 'safetensors');
  const skip = absent(python, 'torch', 'safetensors');

  it.skipIf(skip)(
    `of every kind of block, stem and head, and of transformers, does what the ONNX file does${skip}`,
    () => expectParity(python as string, 'pytorch', [...kinds, ...transformers]),
  );

  it.skipIf(skip)(`of networks of the built-in spaces and of any other does what the ONNX file does${skip}`, () => {
    const anyOther = fc.sample(arbitrarySpec, { numRuns: 24, seed: 7 }).map((input: SpecInput, index) => {
      return [`any ${index}`, parseNetworkSpec(input, 'any')] as const;
    });
    return expectParity(python as string, 'pytorch', [...builtInSpaceNames.flatMap(sampled), ...anyOther]);
  });
});

describe('timm source', () => {
  const python = pythonWith('timm', 'safetensors');
  const skip = absent(python, 'timm', 'safetensors');
  const fitting = ['efficientnet-b0', 'efficientnet-lite0', 'mobilenet-v2'].map((name) => [name, small(name)] as const);
  const base: SpecInput = {
    input: { resolution: 17 },
    classes: 3,
    stem: { kernel: 5, stride: 2, width: 8, activation: 'silu' },
    stages: [
      {
        operator: 'mbconv',
        kernel: 4,
        stride: 1,
        expansion: 1,
        width: 8,
        repeats: 2,
        activation: 'hard-swish',
        skip: false,
      },
      { operator: 'fused-mbconv', kernel: 3, stride: 2, expansion: 1, width: 16, repeats: 2, activation: 'relu6' },
      { operator: 'fused-mbconv', kernel: 3, stride: 2, expansion: 2, width: 32, repeats: 2, squeezeExcite: 0.3 },
      { operator: 'mbconv', kernel: 3, stride: 2, expansion: 1.5, width: 16, repeats: 3, squeezeExcite: 0.2 },
      { operator: 'mbconv', kernel: 3, stride: 2, expansion: 2, width: 16, repeats: 1 },
      { operator: 'mbconv', kernel: 3, stride: 2, expansion: 2, width: 16, repeats: 1 },
    ],
    head: { width: 24, activation: 'silu', pooling: 'average-max', dropout: 0.1 },
    survival: 0.9,
  };
  const odd = parseNetworkSpec(base, 'odd');

  it.skipIf(skip)(`has its weights taken strictly and does what the ONNX file does${skip}`, () =>
    expectParity(python as string, 'timm', [...fitting, ['odd', odd]]),
  );

  it('writes block strings as people write them', () => {
    expect(timmSource(small('efficientnet-b0'), options)).toContain('["ir_r4_k5_s2_e6_c192_se0.25"]');
    expect(timmSource(odd, options)).toContain('["ds_r2_k4_s1_c8_nhs_noskip"]');
  });

  const [first, ...others] = base.stages;
  it.each([
    ['head: expected no hidden layer', loadNetwork('mobilenet-v3-small')],
    ['stem: expected no max-pooling', loadNetwork('resnet-50')],
    ['stem: expected stride 2, got stride 1', networkOf('mbconv', 12)],
    ['stage0.block0: expected no learned space-to-depth', loadNetwork('efficientnet-x-b0')],
    ['stage1.block0: expected the stride in the fused convolution', loadNetwork('efficientnet-edgetpu-s')],
    [
      'stage1.block0: expected mbconv or fused-mbconv, got basic',
      parseNetworkSpec(
        { ...base, stages: [first, { operator: 'basic', kernel: 3, stride: 1, width: 8, repeats: 1 }] } as SpecInput,
        't',
      ),
    ],
    [
      'stage1.block0: expected expanded channels in multiples of 8, as timm rounds them, got 12',
      parseNetworkSpec({ ...base, stages: [first, { ...others[2], expansion: 1.5, stride: 1 }] } as SpecInput, 't'),
    ],
    ['the network: expected one of pictures, got a transformer', transformers[0][1]],
  ])('refuses what timm has no form for: %s', (message, spec) => {
    expect(() => timmSource(spec, options)).toThrow(ConfigError);
    expect(() => timmSource(spec, options)).toThrow(`--format timm: ${message}`);
  });
});

/** One network of many kinds: backends of Keras compile every operator for every shape. */
function composed(
  stem: (typeof endKinds)[number],
  head: (typeof endKinds)[number],
  blocks: readonly (typeof blockKinds)[number][],
): NetworkSpec {
  return {
    ...networkOf(stem, 45),
    stages: blocks.flatMap((kind) => networkOf(kind, 45).stages.map((stage) => ({ ...stage, repeats: 1 }))),
    head: networkOf(head, 45).head,
  };
}

describe('Keras source', () => {
  const python = pythonWith('keras', 'safetensors');
  const skip = absent(python, 'keras', 'safetensors');
  const networks = [
    [
      'inverted',
      composed('pixel blocks', 'the head of MobileNetV3', [
        'EfficientNet-X',
        'mbconv of MobileNetV3',
        'mbconv without expansion',
        'dilated mbconv',
        'fused-mbconv without expansion',
        'fused-mbconv of EdgeTPU',
      ]),
    ],
    [
      'residual',
      composed('a max-pooled stem', 'means and maxima', [
        'basic',
        'dilated basic',
        'bottleneck of RegNetY',
        'bottleneck of ResNet-D',
        'depthwise bottleneck',
      ]),
    ],
  ] as const;

  it.skipIf(skip)(`of every kind of block, stem and head does what the ONNX file does${skip}`, () =>
    expectParity(python as string, 'keras', networks),
  );

  it('refuses a transformer', () => {
    expect(() => kerasSource(transformers[0][1], options)).toThrow('expected a network of pictures, got a transformer');
  });
});

describe('source', () => {
  const python = pythonWith('ast');
  const skip = absent(python, 'ast');

  it.skipIf(skip)(`is Python in lines of 120 characters at most, whatever a network is called${skip}`, () => {
    const name = 'a "quoted"\\ name\n"""end';
    const named = kinds.map(([, spec]) => ({ ...spec, name }));
    const texts = [
      ...named.flatMap((spec) => [pytorchSource(spec, options), kerasSource(spec, options)]),
      pytorchSource({ ...transformers[0][1], name }, { ...options, withWeights: false }),
      timmSource({ ...small('efficientnetv2-s'), name }, { ...options, withWeights: false }),
      ...['mobilenet-v3-large', 'efficientnet-x-b7', 'regnet-y-3.2gf'].map((network) =>
        pytorchSource(loadNetwork(network), options),
      ),
    ];
    const parse = 'import ast, json, sys\nfor text in json.load(sys.stdin): ast.parse(text)';
    execFileSync(python as string, ['-c', parse], { input: JSON.stringify(texts) });
    for (const line of texts.flatMap((text) => text.split('\n'))) expect(line.length, line).toBeLessThanOrEqual(120);
  });

  it('names only what it needs where there are no weights', () => {
    const text = pytorchSource(networkOf('mbconv', 12), { ...options, withWeights: false });
    expect(text).not.toMatch(/safetensors|Bottleneck|load\(/);
  });
});
