import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import type { Graph } from '../../models/graph.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import {
  type ConvShape,
  type Drawn,
  draw,
  gradientErrors,
  largestDistance,
  loweredGradients,
  lowerings,
  randomValues,
  TestGraph,
} from './graphs.ts';
import { batchStatistics, kinks, referenceForward, referenceGradient, type Tensor64 } from './reference.ts';

/** Float32 against central differences in double precision, as a relative L2 distance. */
const tolerance = 1e-4;

async function expectGradients(graph: Graph, drawn: Drawn = randomValues(graph, 1)): Promise<void> {
  for (const { error, lossError, worst } of await gradientErrors(graph, drawn)) {
    expect(lossError).toBeLessThan(1e-5);
    expect(error, worst).toBeLessThan(tolerance);
  }
}

/** 1×1 → the convolution under test → a full-size one, so that its input, weight and bias gradients all show. */
function aroundConv(
  [batch, height, width]: readonly [number, number, number],
  conv: ConvShape,
  channels = conv.depthwise ? conv.width : 3,
): Graph {
  const graph = new TestGraph(batch, 2, height, width);
  return finish(graph, graph.conv(graph.conv('image', { width: channels, kernel: 1 }), conv));
}

/** SiLU, a convolution over the whole plane, classifier: every element of x counts differently. */
function finish(graph: TestGraph, x: string): Graph {
  const [, , height, width] = graph.shape(x) as [number, number, number, number];
  const kernel = Math.max(height, width);
  const pads = [0, 0, kernel - height, kernel - width] as const;
  return graph.classify(graph.conv(graph.add('silu', [x], {}), { width: 4, kernel, pads }), 3);
}

describe('gradients of a convolution agree with finite differences', () => {
  const cases: [string, readonly [number, number, number], ConvShape][] = [
    ['dense 3×3 at stride 1', [2, 5, 4], { width: 4, kernel: 3 }],
    ['dense 3×3 at stride 2, even size', [2, 6, 6], { width: 4, kernel: 3, stride: 2 }],
    ['dense 3×3 at stride 2, odd size', [2, 7, 5], { width: 4, kernel: 3, stride: 2 }],
    ['dense 5×5, larger than its input', [2, 3, 2], { width: 2, kernel: 5 }],
    ['dense 7×7 at stride 2, larger than its input', [2, 2, 3], { width: 2, kernel: 7, stride: 2 }],
    ['dense 2×2 at stride 2 (space to depth)', [2, 5, 6], { width: 4, kernel: 2, stride: 2 }],
    ['dense 1×1 at stride 2', [2, 5, 4], { width: 4, kernel: 1, stride: 2 }],
    ['dense 2×2 at stride 3, skipping pixels', [2, 8, 7], { width: 4, kernel: 2, stride: 3 }],
    ['dense 3×3 with a bias', [2, 4, 4], { width: 2, kernel: 3, bias: true }],
    ['1×1 with a bias on a 1×1 map', [3, 1, 1], { width: 5, kernel: 1, bias: true }],
    ['without padding', [2, 5, 6], { width: 2, kernel: 3, pads: [0, 0, 0, 0] }],
    ['lopsided padding', [2, 5, 6], { width: 2, kernel: 3, pads: [2, 0, 1, 2] }],
    ['depthwise 3×3 at stride 1', [2, 5, 4], { width: 3, kernel: 3, depthwise: true }],
    ['depthwise 3×3 at stride 2, even size', [2, 6, 8], { width: 3, kernel: 3, stride: 2, depthwise: true }],
    ['depthwise 5×5 at stride 2, odd size', [2, 7, 5], { width: 3, kernel: 5, stride: 2, depthwise: true }],
    ['depthwise 5×5, larger than its input', [2, 3, 2], { width: 3, kernel: 5, depthwise: true }],
    ['depthwise 5×5 on a 1×1 map', [2, 1, 1], { width: 3, kernel: 5, depthwise: true }],
    ['depthwise 3×3 cut into bands of rows', [1, 16, 12], { width: 3, kernel: 3, depthwise: true }],
    ['depthwise 5×5 at stride 2 cut into bands', [1, 16, 16], { width: 3, kernel: 5, stride: 2, depthwise: true }],
    ['depthwise with lopsided padding', [2, 6, 5], { width: 3, kernel: 3, depthwise: true, pads: [0, 2, 2, 1] }],
    ['dense 3×3, dilation 2', [2, 6, 7], { width: 3, kernel: 3, dilation: 2 }],
    ['dense 3×3, dilation 3 at stride 2', [2, 7, 6], { width: 3, kernel: 3, dilation: 3, stride: 2 }],
    ['dense 2×2, dilation 2 at stride 4, skipping pixels', [2, 9, 8], { width: 3, kernel: 2, dilation: 2, stride: 4 }],
    ['dense 3×3, dilation 4, larger than its input', [2, 3, 2], { width: 3, kernel: 3, dilation: 4 }],
    ['depthwise 3×3, dilation 2', [2, 6, 5], { width: 3, kernel: 3, dilation: 2, depthwise: true }],
    [
      'depthwise 3×3, dilation 3 at stride 2',
      [2, 9, 8],
      { width: 3, kernel: 3, dilation: 3, stride: 2, depthwise: true },
    ],
    ['depthwise 3×3, dilation 2, cut into bands', [1, 16, 12], { width: 3, kernel: 3, dilation: 2, depthwise: true }],
  ];
  it.each(cases)('%s', async (_, extents, conv) => expectGradients(aroundConv(extents, conv)));

  const grouped: [string, readonly [number, number, number], ConvShape & { groups: number }, number][] = [
    ['3×3 in 2 groups', [2, 5, 4], { width: 6, kernel: 3, groups: 2 }, 4],
    ['3×3 in 3 groups at stride 2, odd size', [2, 7, 5], { width: 6, kernel: 3, stride: 2, groups: 3 }, 6],
    ['1×1 in 2 groups', [2, 3, 4], { width: 2, kernel: 1, groups: 2 }, 4],
    ['1×1 in 2 groups at stride 2', [2, 5, 4], { width: 4, kernel: 1, stride: 2, groups: 2 }, 4],
    ['3×3 with two outputs a channel', [2, 4, 5], { width: 6, kernel: 3, groups: 3 }, 3],
    ['3×3 with a bias', [2, 4, 4], { width: 4, kernel: 3, groups: 2, bias: true }, 4],
    ['5×5, larger than its input', [2, 3, 2], { width: 4, kernel: 5, groups: 2 }, 2],
    ['3×3, dilation 2 at stride 2', [2, 8, 7], { width: 4, kernel: 3, groups: 2, dilation: 2, stride: 2 }, 4],
    ['3×3, dilation 2 at stride 1', [2, 6, 5], { width: 4, kernel: 3, groups: 2, dilation: 2 }, 6],
  ];
  it('depthwise ones that differ in nothing but their dilation', async () => {
    const graph = new TestGraph(2, 3, 6, 6);
    const conv = { width: 3, kernel: 3, stride: 3, depthwise: true, pads: [1, 1, 1, 1] } as const;
    const branches = [1, 2].map((dilation) => graph.conv('image', { ...conv, dilation }));
    await expectGradients(finish(graph, graph.add('add', branches, {})));
  });

  it.each(grouped)('grouped %s', async (_, extents, conv, channels) =>
    expectGradients(aroundConv(extents, conv, channels)),
  );

  it('of random extents, kernels, strides, dilations and groups', async () => {
    const extent = fc.integer({ min: 1, max: 7 });
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(fc.integer({ min: 1, max: 3 }), extent, extent),
        fc.record({
          kernel: fc.integer({ min: 1, max: 6 }),
          stride: fc.integer({ min: 1, max: 3 }),
          dilation: fc.constantFrom(1, 1, 2, 3),
          groups: fc.integer({ min: 1, max: 3 }),
        }),
        fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 })),
        async (extents, conv, [inPerGroup, outPerGroup]) => {
          const width = conv.groups * outPerGroup;
          await expectGradients(aroundConv(extents, { ...conv, width }, conv.groups * inPerGroup));
        },
      ),
      { numRuns: 40, seed: 1 },
    );
  });
});

type PoolShape = Parameters<TestGraph['windowPool']>[2];

describe('gradients of a pool agree with finite differences', () => {
  const around = (
    op: 'max-pool' | 'average-pool',
    [batch, height, width]: readonly [number, number, number],
    window: PoolShape,
  ) => {
    const graph = new TestGraph(batch, 2, height, width);
    return finish(graph, graph.windowPool(op, graph.conv('image', { width: 3, kernel: 1 }), window));
  };
  const cases: [string, readonly [number, number, number], PoolShape][] = [
    ['3×3 at stride 2, odd size', [2, 7, 5], { kernel: 3, stride: 2 }],
    ['3×3 at stride 2, even size', [2, 6, 8], { kernel: 3, stride: 2 }],
    ['2×2 at stride 2 without padding, a row left over', [2, 5, 6], { kernel: 2, stride: 2, pads: [0, 0, 0, 0] }],
    ['3×3 at stride 1', [2, 4, 5], { kernel: 3 }],
    ['5×5, larger than its input', [2, 3, 2], { kernel: 5, stride: 2 }],
    ['2×2 at stride 3, skipping pixels', [2, 8, 7], { kernel: 2, stride: 3 }],
    ['lopsided padding', [2, 5, 6], { kernel: 3, stride: 2, pads: [2, 0, 1, 2] }],
    ['one window over the whole plane', [3, 4, 4], { kernel: 4, pads: [0, 0, 0, 0] }],
  ];
  describe.each(['max-pool', 'average-pool'] as const)('%s', (op) => {
    it.each(cases)('%s', async (_, extents, window) => expectGradients(around(op, extents, window)));

    it('of random extents, kernels and strides', async () => {
      const extent = fc.integer({ min: 1, max: 7 });
      await fc.assert(
        fc.asyncProperty(
          fc.tuple(fc.integer({ min: 1, max: 3 }), extent, extent),
          fc.record({ kernel: fc.integer({ min: 1, max: 5 }), stride: fc.integer({ min: 1, max: 3 }) }),
          async (extents, window) => expectGradients(around(op, extents, window)),
        ),
        { numRuns: 15, seed: 1 },
      );
    });
  });
});

/** conv → build → classify */
const graphOf = (build: (graph: TestGraph, x: string) => string): Graph => {
  const graph = new TestGraph(4, 2, 4, 3);
  return graph.classify(build(graph, graph.conv('image', { width: 3, kernel: 3 })), 3);
};

/** An image of two channels whose sum is 10 at every pixel; how it is made up tells the pixels apart. */
const sumsOfTen = (side: number) =>
  Float64Array.from({ length: 2 * side ** 2 }, (_, i) => (i < side ** 2 ? i + 1 : 9 - (i - side ** 2)));

/** conv with a bias → batch norm → silu → classifier, the bias given. */
function normed(bias: readonly number[]): { graph: Graph; drawn: Drawn } {
  const test = new TestGraph(8, 4, 6, 6);
  const mapped = test.conv('image', { width: bias.length, kernel: 1, bias: true });
  const graph = test.classify(test.add('silu', [test.batchNorm(mapped)], {}), 3);
  const drawn = draw(graph, new Random(1));
  drawn.values.set('b0', { shape: [bias.length], data: Float64Array.from(bias) });
  return { graph, drawn };
}

describe.each(lowerings)('lowered $id', (lowering) => {
  it.each([
    ['a window over the whole plane', 2, [1]],
    ['overlapping windows', 3, [1, 2, 4, 5]],
  ] as const)('max-pool gives the whole gradient to the first of equal values: %s', async (_, side, firsts) => {
    const test = new TestGraph(1, 2, side, side);
    const sums = test.conv('image', { width: 1, kernel: 1 });
    const graph = test.classify(test.windowPool('max-pool', sums, { kernel: 2, pads: [0, 0, 0, 0] }), 2);
    const { values, loss } = draw(graph, new Random(1));
    values.set('image', { shape: [1, 2, side, side], data: sumsOfTen(side) });
    values.set('w0', { shape: [1, 2, 1, 1], data: Float64Array.of(1, 1) });
    const { gradients } = await loweredGradients(graph, { values, loss }, lowering);
    const [first, second] = gradients.get('w0') as Float32Array as unknown as [number, number];
    const taken = firsts.reduce((sum, value) => sum + value, 0);
    expect(Math.abs(first)).toBeGreaterThan(0.01);
    expect(first / second).toBeCloseTo(taken / (10 * firsts.length - taken), 5);
  });

  it.each([
    ['a bias', 'b0', (c: number) => c],
    ['a channel of ones', 'w0', (c: number) => 4 * c + 3],
  ] as const)('batch norm keeps its digits where %s puts the mean 100 deviations from 0', async (_, source, at) => {
    const { graph, drawn } = normed([0, 0, 0]);
    const { values, loss } = drawn;
    const image = values.get('image') as Tensor64;
    values.set('image', { ...image, data: image.data.map((value, index) => (index % 144 < 108 ? value : 1)) });
    const { means, variances } = batchStatistics(referenceForward(graph, values).get('conv0') as Tensor64);
    const { shape, data } = values.get(source) as Tensor64;
    const raised = Float32Array.from(data);
    means.forEach(
      (mean, c) => (raised[at(c)] = (data[at(c)] as number) + 100 * Math.sqrt(variances[c] as number) - mean),
    );
    values.set(source, { shape, data: Float64Array.from(raised) });

    // The bias itself has gradient 0.
    const names = ['w0', 'scale1', 'shift1', 'classifier.w', 'classifier.b'];
    const expected = names.map((name) => [name, referenceGradient(graph, values, loss, name)] as const);
    const { gradients } = await loweredGradients(graph, drawn, lowering);
    const { error, worst } = largestDistance(new Map(expected), gradients);
    // Rounding x to float32 alone moves it by up to 100 · 2⁻²⁴ deviations; E[x²] − E[x]² would err by 1e-2.
    expect(error, worst).toBeLessThan(100 * 100 * 2 ** -24);
  });

  it.each([0, 6, 333.3])(
    'batch norm of a channel that is %d everywhere stays finite and at its shift',
    async (value) => {
      const { graph, drawn } = normed([value, 0, 0]);
      const weight = drawn.values.get('w0') as Tensor64;
      drawn.values.set('w0', { ...weight, data: weight.data.map((w, index) => (index < 4 ? 0 : w)) });
      const { gradients } = await loweredGradients(graph, drawn, lowering);
      for (const gradient of gradients.values()) expect(gradient.every(Number.isFinite)).toBe(true);
      // What remains is the rounding of the mean over a deviation of √ε.
      expect(Math.abs(gradients.get('scale1')?.[0] as number)).toBeLessThan(
        (value * 2 ** -22) / Math.sqrt(1e-3) + 1e-12,
      );
    },
  );
});

describe('gradients of an operator agree with finite differences', () => {
  it('batch norm on batch statistics', () => expectGradients(graphOf((g, x) => g.add('silu', [g.batchNorm(x)], {}))));
  it('batch norm read by a relu and by something else', () =>
    expectGradients(
      graphOf((g, x) => {
        const normed = g.batchNorm(x);
        return g.add('add', [g.add('relu', [normed], {}), normed], {});
      }),
    ));
  it('relu', () => expectGradients(graphOf((g, x) => g.add('relu', [x], {}))));
  it.each(['relu6', 'hard-swish', 'hard-sigmoid'] as const)('%s, on every side of its kinks', async (op) => {
    let wide = '';
    const graph = graphOf((g, x) => {
      wide = [1, 2, 3].reduce((sum) => g.add('add', [sum, sum], {}), x);
      return g.add(op, [wide], {});
    });
    const drawn = randomValues(graph, 1);
    const inputs = referenceForward(graph, drawn.values).get(wide)?.data as Float64Array;
    const sides = inputs.map((value) => kinks[op].filter((kink) => value > kink).length);
    expect(new Set(sides).size).toBe(kinks[op].length + 1);
    await expectGradients(graph, drawn);
  });
  it.each(['relu', 'relu6'] as const)(
    'batch norm whose only reader is a %s, on every side of its kinks',
    async (op) => {
      let normed = '';
      const graph = graphOf((g, x) => g.add(op, [(normed = g.batchNorm(x))], {}));
      const drawn = randomValues(graph, 1, (values) => {
        const scale = values.get('scale1') as Tensor64;
        values.set('scale1', { ...scale, data: scale.data.map((value) => 5 * value) });
      });
      const inputs = referenceForward(graph, drawn.values).get(normed)?.data as Float64Array;
      const sides = inputs.map((value) => kinks[op].filter((kink) => value > kink).length);
      expect(new Set(sides).size).toBe(kinks[op].length + 1);
      await expectGradients(graph, drawn);
    },
  );
  it('concat, of unequal widths and of one tensor twice', () =>
    expectGradients(
      graphOf((g, x) => {
        const other = g.conv(x, { width: 2, kernel: 1 });
        return g.conv(g.add('silu', [g.concat(x, other, x)], {}), { width: 2, kernel: 3 });
      }),
    ));
  it('concat read by a pool alone', () => expectGradients(graphOf((g, x) => g.concat(x, g.add('silu', [x], {})))));
  it.each([2, 3])('space to depth by blocks of %d', async (block) => {
    const graph = new TestGraph(2, 2, 2 * block, 3 * block);
    const deep = graph.spaceToDepth(graph.conv('image', { width: 2, kernel: 1 }), block);
    await expectGradients(finish(graph, deep));
  });
  it('space to depth of the image, whose gradient nobody wants', async () => {
    const graph = new TestGraph(2, 2, 4, 6);
    await expectGradients(finish(graph, graph.conv(graph.spaceToDepth('image', 2), { width: 3, kernel: 1 })));
  });
  it('silu', () => expectGradients(graphOf((g, x) => g.add('silu', [x], {}))));
  it('sigmoid', () => expectGradients(graphOf((g, x) => g.add('sigmoid', [x], {}))));
  it('a tensor used three times', () =>
    expectGradients(graphOf((g, x) => g.add('add', [g.add('add', [x, g.add('silu', [x], {})], {}), x], {}))));
  it('a tensor added to itself', () =>
    expectGradients(graphOf((g, x) => g.add('silu', [g.add('add', [x, x], {})], {}))));
  it('squeeze-excite', () =>
    expectGradients(
      graphOf((g, x) => {
        const squeezed = g.add('relu', [g.conv(g.pool(x), { width: 4, kernel: 1, bias: true })], {});
        const gate = g.add('sigmoid', [g.conv(squeezed, { width: 3, kernel: 1, bias: true })], {});
        return g.add('silu', [g.add('gate', [x, gate], {})], {});
      }),
    ));
  it('pooling a tensor that is also used whole', () =>
    expectGradients(graphOf((g, x) => g.add('gate', [g.add('silu', [x], {}), g.add('sigmoid', [g.pool(x)], {})], {}))));
  it('residual branch dropped by example', () =>
    expectGradients(
      graphOf((g, x) =>
        g.add(
          'add',
          [g.add('drop', [g.batchNorm(g.conv(x, { width: 3, kernel: 1 }))], { rate: 0.5, unit: 'example' }), x],
          {},
        ),
      ),
    ));
  it('elements of a map dropped', () =>
    expectGradients(graphOf((g, x) => g.add('drop', [x], { rate: 0.3, unit: 'element' }))));
  it('features dropped before the classifier', async () => {
    const graph = new TestGraph(4, 2, 3, 3);
    const pooled = graph.pool(graph.conv('image', { width: 6, kernel: 3 }));
    const flat = graph.add('flatten', [pooled], {}, [4, 6]);
    await expectGradients(graph.dense(graph.add('drop', [flat], { rate: 0.3, unit: 'element' }), 3));
  });
  it('features dropped by example', async () => {
    const graph = new TestGraph(4, 2, 3, 3);
    const pooled = graph.pool(graph.conv('image', { width: 6, kernel: 3 }));
    const flat = graph.add('flatten', [pooled], {}, [4, 6]);
    await expectGradients(graph.dense(graph.add('drop', [flat], { rate: 0.5, unit: 'example' }), 3));
  });
});

const network = (activation: 'relu' | 'silu') =>
  parseNetworkSpec(
    {
      input: { channels: 1, resolution: 8 },
      classes: 3,
      stem: { kernel: 2, stride: 2, width: 4, activation },
      stages: [
        { operator: 'fused-mbconv', kernel: 3, stride: 1, expansion: 2, width: 4, repeats: 1, activation },
        {
          operator: 'mbconv',
          kernel: 5,
          stride: 2,
          expansion: 2,
          width: 4,
          repeats: 2,
          squeezeExcite: 0.5,
          activation,
        },
      ],
      head: { width: 6, activation, dropout: 0.2 },
      survival: 0.5,
    },
    'test network',
  );

describe('gradients of a whole network agree with finite differences', () => {
  it('with silu, squeeze-excite, dropout and stochastic depth', () =>
    expectGradients(buildNetwork(network('silu'), 6)));
  it('with relu', () => expectGradients(buildNetwork(network('relu'), 6)));
});
