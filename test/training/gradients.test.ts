import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildNetwork } from '../../models/build.ts';
import type { Graph } from '../../models/graph.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { type ConvShape, gradientError, TestGraph } from './graphs.ts';

/** Float32 against central differences in double precision, as a relative L2 distance. */
const tolerance = 1e-4;

async function expectGradients(graph: Graph, seed = 1): Promise<void> {
  const { error, lossError, worst } = await gradientError(graph, seed);
  expect(lossError).toBeLessThan(1e-5);
  expect(error, worst).toBeLessThan(tolerance);
}

/** 1×1 → the convolution under test → a full-size one, so that its input, weight and bias gradients all show. */
function aroundConv([batch, height, width]: readonly [number, number, number], conv: ConvShape): Graph {
  const graph = new TestGraph(batch, 2, height, width);
  const first = graph.conv('image', { width: 3, kernel: 1 });
  const tested = graph.conv(first, conv.depthwise ? { ...conv, width: 3 } : conv);
  const [, , outHeight, outWidth] = graph.shape(tested) as [number, number, number, number];
  const spread = graph.add('silu', [tested], {});
  const kernel = Math.max(outHeight, outWidth);
  const pads = [0, 0, kernel - outHeight, kernel - outWidth] as const;
  return graph.classify(graph.conv(spread, { width: 4, kernel, pads }), 3);
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
  ];
  it.each(cases)('%s', async (_, extents, conv) => expectGradients(aroundConv(extents, conv)));

  it('of random extents, kernels, strides and kinds', async () => {
    const extent = fc.integer({ min: 1, max: 7 });
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(fc.integer({ min: 1, max: 3 }), extent, extent),
        fc.record({
          width: fc.integer({ min: 1, max: 3 }),
          kernel: fc.integer({ min: 1, max: 6 }),
          stride: fc.integer({ min: 1, max: 3 }),
          depthwise: fc.boolean(),
        }),
        async (extents, conv) => expectGradients(aroundConv(extents, conv)),
      ),
      { numRuns: 25, seed: 1 },
    );
  });
});

/** conv → build → classify */
const graphOf = (build: (graph: TestGraph, x: string) => string): Graph => {
  const graph = new TestGraph(4, 2, 4, 3);
  return graph.classify(build(graph, graph.conv('image', { width: 3, kernel: 3 })), 3);
};

describe('gradients of an operator agree with finite differences', () => {
  it('batch norm on batch statistics', () => expectGradients(graphOf((g, x) => g.add('silu', [g.batchNorm(x)], {}))));
  it('batch norm whose only reader is a relu', () =>
    expectGradients(graphOf((g, x) => g.add('relu', [g.batchNorm(x)], {}))));
  it('batch norm read by a relu and by something else', () =>
    expectGradients(
      graphOf((g, x) => {
        const normed = g.batchNorm(x);
        return g.add('add', [g.add('relu', [normed], {}), normed], {});
      }),
    ));
  it('relu', () => expectGradients(graphOf((g, x) => g.add('relu', [x], {}))));
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
