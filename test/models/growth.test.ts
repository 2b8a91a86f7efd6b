import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { ConfigError } from '../../core/errors.ts';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import { exportOnnx } from '../../models/export.ts';
import { elements, type Graph, type Weights } from '../../models/graph.ts';
import { type Growth, growthBetween, haveSameParameters } from '../../models/growth.ts';
import { grownMoments, grownWeights } from '../../models/grown-weights.ts';
import { initialWeights } from '../../models/initialise.ts';
import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';
import { type ModelSpec, parseTransformerSpec } from '../../models/transformer.ts';
import { plainLowering } from '../../training/plain/lower.ts';
import { draw, loweredGradients } from '../training/graphs.ts';

const accelerator = onnxRuntimeAccelerator('cpu');
const batch = 2;

/** A network around stages of the kind in question: two, of which the second changes width and stride. */
function specOf(stage: object, others: object = {}): NetworkSpec {
  return parseNetworkSpec(
    {
      input: { channels: 3, resolution: 8 },
      classes: 3,
      stem: { kernel: 3, stride: 1, width: 6, activation: 'hard-swish' },
      stages: [
        { kernel: 3, stride: 1, width: 10, repeats: 1, ...stage },
        { kernel: 3, stride: 2, width: 12, repeats: 2, ...stage },
      ],
      head: { width: 7 },
      ...others,
    },
    'test network',
  );
}

interface Factors {
  readonly width: (channels: number) => number;
  readonly repeats: number;
}

/** Ours, not the product's rounding: channels that are no multiples, copied unevenly. */
function larger({ stem, stages, head, ...spec }: NetworkSpec, { width, repeats }: Factors): NetworkSpec {
  return parseNetworkSpec(
    {
      ...spec,
      stem: { ...stem, width: width(stem.width) },
      stages: stages.map((stage) => ({ ...stage, width: width(stage.width), repeats: stage.repeats + repeats })),
      head: { ...head, width: width(head.width), hidden: head.hidden && width(head.hidden) },
    },
    'larger network',
  );
}

/** 6 → 11, 10 → 18, 12 → 22, so that some channels have two copies and others three or one. */
const wider = (channels: number): number => Math.ceil(1.8 * channels);
const factors: readonly [string, Factors][] = [
  ['width', { width: wider, repeats: 0 }],
  ['depth', { width: (channels) => channels, repeats: 2 }],
  ['width and depth', { width: (channels) => 3 * channels, repeats: 1 }],
];

const squeezeExcite = { ratio: 0.25, of: 'expanded', activation: 'relu' };
const kinds: readonly [string, NetworkSpec][] = [
  [
    'mbconv with squeeze-excite',
    specOf({ operator: 'mbconv', expansion: 2.5, squeezeExcite: 0.3, activation: 'silu' }),
  ],
  ['mbconv without expansion', specOf({ operator: 'mbconv', expansion: 1, squeezeExcite, kernel: 5 })],
  ['fused-mbconv', specOf({ operator: 'fused-mbconv', expansion: 2, squeezeExcite: 0.5, strideAt: 'project' })],
  ['fused-mbconv without projection', specOf({ operator: 'fused-mbconv', expansion: 1, activation: 'silu' })],
  ['basic', specOf({ operator: 'basic' })],
  [
    'basic after average pools, behind a max-pooled stem',
    specOf(
      { operator: 'basic', shortcut: 'average-pool', activation: 'relu6' },
      { stem: { kernel: 3, stride: 1, width: 6, maxPool: {} } },
    ),
  ],
  ['bottleneck', specOf({ operator: 'bottleneck', bottleneckRatio: 0.5, squeezeExcite: 0.25 })],
  [
    'learned space-to-depth, on pixel blocks, with a head of means, maxima and a hidden layer',
    parseNetworkSpec(
      {
        input: { channels: 3, resolution: 16 },
        classes: 3,
        stem: { kernel: 3, stride: 1, width: 4, spaceToDepth: 2 },
        stages: [
          {
            operator: 'mbconv',
            kernel: 3,
            stride: 1,
            expansion: 2,
            width: 4,
            repeats: 1,
            squeezeExcite: 0.5,
            learnedSpaceToDepth: true,
          },
          { operator: 'fused-mbconv', kernel: 3, stride: 2, expansion: 4, width: 8, repeats: 2 },
        ],
        head: { width: 6, pooling: 'average-max', hidden: 5 },
      },
      'test network',
    ),
  ],
];

/** Values for every parameter, none of them neutral. */
function weightsOf(graph: Graph, seed: string): Weights {
  const random = new Random(seed);
  const drawn = initialWeights(graph, random.child('weights'));
  return new Map(
    graph.parameters.map(({ name, role, shape }) => {
      const values = drawn.get(name) as Float32Array;
      if (role === 'weight' || role === 'embedding') return [name, values];
      const stream = random.child(name);
      const base = role === 'scale' || role === 'running-variance' ? 1 : 0;
      return [name, Float32Array.from({ length: elements(shape) }, () => base + 0.4 * (stream.uniform() - 0.5))];
    }),
  );
}

function grow(growth: Growth, graph: Graph, weights: Weights, deviation?: number): Weights {
  const noise = deviation === undefined ? {} : { noise: { random: new Random('noise'), deviation } };
  return grownWeights(growth, graph.parameters, weights, { drawn: weightsOf(graph, 'new'), ...noise });
}

async function logitsOf(spec: ModelSpec, weights: Weights): Promise<Float32Array> {
  const session = await accelerator.open(exportOnnx(spec, weights, batch), { threads: 1 });
  const random = new Random('inputs');
  const [{ name, dtype, shape }] = buildNetwork(spec, batch).inputs as [Graph['inputs'][number]];
  const dims = shape as readonly number[];
  const values = Array.from({ length: elements(dims) }, () =>
    dtype === 'int64' ? random.integer(5) : random.normal(),
  );
  const feed =
    dtype === 'int64'
      ? { dtype: 'int64' as const, dims, data: BigInt64Array.from(values, BigInt) }
      : { dtype: 'float32' as const, dims, data: Float32Array.from(values) };
  try {
    return (await session.run({ [name]: feed }))['logits']?.data as Float32Array;
  } finally {
    await session.close();
  }
}

function relativeDifference(actual: Iterable<number>, expected: Iterable<number>): number {
  const [a, b] = [[...actual], [...expected]];
  expect(a.length).toBe(b.length);
  return Math.hypot(...a.map((value, index) => value - (b[index] as number))) / Math.hypot(...b);
}

/** How far a grown network's logits are from those of the one it grew out of. */
async function logitsMoved(small: ModelSpec, large: ModelSpec, deviation?: number): Promise<number> {
  const [from, to] = [buildNetwork(small, batch), buildNetwork(large, batch)];
  const weights = weightsOf(from, 'small');
  const grown = grow(growthBetween(from, to), to, weights, deviation);
  return relativeDifference(await logitsOf(large, grown), await logitsOf(small, weights));
}

describe.each(kinds)('a network of %s', (_kind, spec) => {
  it.each(factors)('computes what it computed, after it has grown in %s', async (_what, how) => {
    expect(await logitsMoved(spec, larger(spec, how))).toBeLessThan(1e-5);
  });

  it.each(factors)(
    'has after growing in %s the gradients that the optimizer’s state is grown by',
    async (_what, how) => {
      const [from, to] = [buildNetwork(spec, batch), buildNetwork(larger(spec, how), batch)];
      const growth = growthBetween(from, to);
      const drawn = draw(from, new Random('gradients'));
      const weights = weightsOf(from, 'small');
      const valuesFor = (graph: Graph, own: Weights) => {
        const inputs = graph.inputs.map(({ name }) => [name, drawn.values.get(name)] as const);
        const parameters = graph.parameters.map(({ name, shape }) => {
          return [name, { shape, data: Float64Array.from(own.get(name) as Float32Array) }] as const;
        });
        return { ...drawn, values: new Map([...inputs, ...parameters]) as typeof drawn.values };
      };
      const before = await loweredGradients(from, valuesFor(from, weights), plainLowering);
      const after = await loweredGradients(to, valuesFor(to, grow(growth, to, weights)), plainLowering);
      expect(after.loss).toBeCloseTo(before.loss, 5);
      const inherited = to.parameters.filter(
        ({ name }) => after.gradients.has(name) && typeof growth.parameters.get(name) !== 'string',
      );
      const expected = grownMoments(growth, inherited, before.gradients, { power: 1, initial: 0 });
      const all = (gradients: Weights) => inherited.flatMap(({ name }) => [...(gradients.get(name) as Float32Array)]);
      expect(relativeDifference(all(after.gradients), all(expected))).toBeLessThan(1e-4);
      // New branches are at zero, and will not stay there.
      const zeros = to.parameters.filter(({ name }) => growth.parameters.get(name) === 'zero');
      expect(zeros.length > 0).toBe(how.repeats > 0);
      for (const { name } of zeros)
        expect(Math.hypot(...(after.gradients.get(name) as Float32Array))).toBeGreaterThan(0);
    },
  );
});

describe('a network that grows', () => {
  const [, spec] = kinds[0] as (typeof kinds)[number];
  const [from, to] = [spec, larger(spec, { width: wider, repeats: 0 })].map((each) => buildNetwork(each, batch)) as [
    Graph,
    Graph,
  ];
  const growth = growthBetween(from, to);

  it('moves little by the noise that tells copies apart, the same noise every time', async () => {
    const large = larger(spec, { width: wider, repeats: 0 });
    const [moved, again] = [await logitsMoved(spec, large, 0.02), await logitsMoved(spec, large, 0.02)];
    expect(moved).toBeGreaterThan(1e-4);
    expect(moved).toBeLessThan(0.05);
    expect(again).toBe(moved);
  });

  it('keeps the first copy of every channel as it was', () => {
    const weights = weightsOf(from, 'small');
    const grown = grow(growth, to, weights, 0.02);
    expect(grown.get('stem.conv.weight')?.slice(0, 6 * 27)).toEqual(weights.get('stem.conv.weight'));
    const copy = (grown.get('stem.conv.weight') as Float32Array).slice(6 * 27, 7 * 27);
    copy.forEach((value, index) => {
      const origin = weights.get('stem.conv.weight')?.[index] as number;
      expect(value).not.toBe(origin);
      expect(Math.abs(value - origin)).toBeLessThan(0.12 * Math.abs(origin)); // Six deviations.
    });
  });

  it('copies statistics and divides no more than weights', () => {
    const weights = weightsOf(from, 'small');
    const grown = grow(growth, to, weights);
    for (const suffix of ['scale', 'shift', 'mean', 'variance']) {
      const values = weights.get(`stem.norm.${suffix}`) as Float32Array;
      const expected = Array.from({ length: 11 }, (_, channel) => values[channel % 6]);
      expect([...(grown.get(`stem.norm.${suffix}`) as Float32Array)], suffix).toEqual(expected);
    }
  });

  it('starts what is new as if it had been there from the start, and its moments anew', () => {
    const deeper = buildNetwork(larger(spec, { width: (channels) => channels, repeats: 1 }), batch);
    const grown = growthBetween(from, deeper);
    const name = 'stage0.block1.expand.conv.weight';
    expect(grow(grown, deeper, weightsOf(from, 'small')).get(name)).toEqual(weightsOf(deeper, 'new').get(name));
    const moments = grownMoments(grown, deeper.parameters, weightsOf(from, 'small'), { power: 2, initial: 1 });
    expect(new Set(moments.get(name))).toEqual(new Set([1]));
  });

  it('tells networks of the same parameters', () => {
    expect(haveSameParameters(from, buildNetwork({ ...spec, survival: 0.5 }, 7))).toBe(true);
    expect(haveSameParameters(from, to)).toBe(false);
  });

  it('grows through dropping, which stages differ in', async () => {
    const dropped = {
      ...larger(spec, { width: wider, repeats: 1 }),
      survival: 0.5,
      head: { ...spec.head, width: 13, dropout: 0.2 },
    };
    expect(await logitsMoved({ ...spec, survival: 0.9 }, dropped)).toBeLessThan(1e-5);
    expect(await logitsMoved(spec, dropped)).toBeLessThan(1e-5);
  });

  it('grows in groups of equal width', async () => {
    const grouped = specOf({ operator: 'bottleneck', bottleneckRatio: 1, groupWidth: 2, width: 10 });
    expect(
      await logitsMoved(grouped, larger(grouped, { width: (channels) => 2 * wider(channels), repeats: 1 })),
    ).toBeLessThan(1e-5);
  });
});

function transformer(keys: object): ModelSpec {
  const base = { kind: 'transformer', vocabulary: 5, context: 4, layers: 2, width: 8, heads: 2 };
  return parseTransformerSpec({ ...base, ...keys }, 'test transformer');
}

describe('a transformer', () => {
  it.each([
    ['a tied head', {}],
    ['gates, biases and its own head', { gated: true, biases: true, tiedHead: false }],
    ['RMSNorm', { norm: 'rms-norm', learnedPositions: false }],
  ])('with %s computes what it computed, after it has got layers', async (_name, keys) => {
    expect(await logitsMoved(transformer(keys), transformer({ ...keys, layers: 4 }))).toBeLessThan(1e-5);
  });

  it.each([
    ['layer norms', { biases: true }],
    ['RMSNorm and gates', { norm: 'rms-norm', gated: true }],
  ])('with %s computes what it computed, after it has got more heads', async (_name, keys) => {
    const small = transformer({ ...keys, tiedHead: false, feedForward: 12 });
    const large = transformer({ ...keys, tiedHead: false, width: 24, heads: 6, feedForward: 40, layers: 3 });
    expect(await logitsMoved(small, large)).toBeLessThan(1e-5);
  });

  it.each([
    [
      'a tied head',
      {},
      { width: 16, heads: 4 },
      'logits: expected weights of its own where the width grows, got embedding.weight',
    ],
    [
      'uneven copies',
      { tiedHead: false },
      { width: 12, heads: 3 },
      'layer0.self.norm: expected a multiple of the smaller network’s 8 channels',
    ],
    ['wider heads', { tiedHead: false }, { width: 16 }, 'layer0.self.attention: expected heads of 4 channels, got 8'],
  ])('does not grow in width with %s', (_name, keys, change, said) => {
    const [small, large] = [transformer(keys), transformer({ ...keys, ...change })].map((spec) =>
      buildNetwork(spec, batch),
    ) as [Graph, Graph];
    expect(() => growthBetween(small, large)).toThrow(ConfigError);
    expect(() => growthBetween(small, large)).toThrow(said);
  });
});

describe('a network that cannot grow so is refused where it', () => {
  const grouped = { operator: 'bottleneck', bottleneckRatio: 1, width: 12 };
  it.each<[string, NetworkSpec, NetworkSpec, string]>([
    [
      'gets blocks without a residual connection',
      specOf({ operator: 'mbconv', expansion: 2, skip: false }),
      specOf({ operator: 'mbconv', expansion: 2, skip: false, repeats: 3 }),
      'stage1.block0.expand.conv: expected a residual connection around every new layer, or one that leaves what comes in as it is, got none around stage0.block2.project.norm',
    ],
    [
      'gets blocks whose activation changes what comes in',
      specOf({ operator: 'basic', activation: 'silu' }),
      specOf({ operator: 'basic', activation: 'silu', repeats: 3 }),
      'got none around stage0.block2.activation',
    ],
    [
      'gets branches that would stay at zero',
      specOf({ operator: 'fused-mbconv', expansion: 1 }),
      specOf({ operator: 'fused-mbconv', expansion: 1, repeats: 3 }),
      'stage0.block1.fused.activation: expected a new branch that ends in a norm',
    ],
    [
      'gets wider groups',
      specOf({ ...grouped, groupWidth: 2 }),
      specOf({ ...grouped, groupWidth: 4 }),
      'stage0.block0.spatial.conv: expected groups of whole groups of the smaller network, 6 of 2 channels, got 3 of 4',
    ],
    [
      'has a residual connection that it had not',
      specOf({ operator: 'mbconv', expansion: 2, width: 10 }, { stem: { kernel: 3, stride: 1, width: 8 } }),
      specOf({ operator: 'mbconv', expansion: 2, width: 10 }, { stem: { kernel: 3, stride: 1, width: 10 } }),
      'stage0.block0.residual: expected a residual connection in both networks or in none, got one in the larger alone',
    ],
    [
      'has lost a residual connection',
      specOf({ operator: 'mbconv', expansion: 2, width: 10 }, { stem: { kernel: 3, stride: 1, width: 10 } }),
      specOf({ operator: 'mbconv', expansion: 2, width: 12 }, { stem: { kernel: 3, stride: 1, width: 10 } }),
      'stage1.block0.expand.conv: expected to take stage0.block0.residual, as in the smaller network, got stage0.block0.project.norm',
    ],
    [
      'is narrower',
      specOf({ operator: 'basic' }),
      specOf({ operator: 'basic', width: 8 }),
      'stage0.block0.first.conv: expected at least the 10 channels of the smaller network, got 8',
    ],
    [
      'has other kernels',
      specOf({ operator: 'basic' }),
      specOf({ operator: 'basic', kernel: 5 }),
      'stage0.block0.first.conv: expected kernels of 9 taps, got 25',
    ],
    [
      'has other strides',
      specOf({ operator: 'basic', stride: 1 }),
      specOf({ operator: 'basic', stride: 2 }),
      'stage0.block0.first.conv: expected stride 1, got 2',
    ],
    [
      'has other classes',
      specOf({ operator: 'basic' }),
      specOf({ operator: 'basic' }, { classes: 4 }),
      'logits: expected 3 outputs, got 4',
    ],
  ])('%s', (_why, small, large, said) => {
    const grown = () => growthBetween(buildNetwork(small, batch), buildNetwork(large, batch));
    expect(grown).toThrow(ConfigError);
    expect(grown).toThrow(said);
  });
});
