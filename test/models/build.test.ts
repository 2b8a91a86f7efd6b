import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { foldForInference } from '../../models/fold.ts';
import { elements, type Graph } from '../../models/graph.ts';
import { initialWeights } from '../../models/initialise.ts';
import { blockCount, type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';
import { arbitrarySpec } from './arbitrary-spec.ts';
import { convolutions, shapeOf } from './fixture.ts';

const anyNetwork: fc.Arbitrary<NetworkSpec> = arbitrarySpec.map((input) => parseNetworkSpec(input, 'arbitrary'));

/** Layer, kernel, output channels, output side, groups, stride. */
function rows(graph: Graph) {
  return convolutions(graph).map(({ layer, kernel, width, side, groups, stride }) => {
    return [layer, kernel, width, side, groups, stride];
  });
}

/** Operators of the layers whose names start alike. */
function operators(graph: Graph, part: string) {
  return graph.nodes.filter(({ name }) => name.startsWith(part)).map(({ op }) => op);
}

function network(stages: readonly object[], rest: object = {}): Graph {
  const spec = {
    input: { resolution: 32 },
    classes: 10,
    stem: { kernel: 3, stride: 2, width: 16 },
    stages,
    head: { width: 0 },
    ...rest,
  };
  return buildNetwork(parseNetworkSpec(spec, 'test'), 1);
}

describe('any valid spec', () => {
  it('builds a graph in order, in which every name is one tensor of whole extents', () => {
    fc.assert(
      fc.property(anyNetwork, (spec) => {
        const { inputs, nodes, parameters, tensors, outputs } = buildNetwork(spec, 2);
        const known = new Set([...inputs, ...parameters].map(({ name }) => name));
        expect(known.size).toBe(inputs.length + parameters.length);
        for (const node of nodes) {
          expect(node.inputs.filter((name) => !known.has(name))).toEqual([]);
          for (const name of node.outputs) {
            expect(known.has(name)).toBe(false);
            known.add(name);
          }
        }
        for (const { shape } of tensors.values())
          expect(shape.every((extent) => Number.isInteger(extent) && (extent as number) > 0)).toBe(true);
        expect(outputs.map((name) => tensors.get(name)?.shape)).toEqual([[2, 3]]);
      }),
    );
  });

  it('has as many blocks as its stages say, each below its stage', () => {
    fc.assert(
      fc.property(anyNetwork, (spec) => {
        const names = buildNetwork(spec, 1).nodes.map(({ name }) => name.split('.').slice(0, 2).join('.'));
        const blocks = new Set(names.filter((name) => name.startsWith('stage')));
        expect(blocks.size).toBe(blockCount(spec));
      }),
    );
  });

  it('folds to inference: no batch norm, nothing dropped, and the parameters that were counted as stored', () => {
    fc.assert(
      fc.property(anyNetwork, (spec) => {
        const graph = buildNetwork(spec, 1);
        const folded = foldForInference({ graph, weights: initialWeights(graph, new Random(0)) });
        expect(folded.graph.nodes.filter(({ op }) => op === 'batch-norm' || op === 'drop')).toEqual([]);
        const stored = folded.graph.parameters.reduce((sum, { shape }) => sum + elements(shape), 0);
        expect(countGraph(graph).weightBytes).toBe(4 * stored);
        expect([...folded.weights.keys()].sort()).toEqual(folded.graph.parameters.map(({ name }) => name).sort());
      }),
      { numRuns: 50 },
    );
  });

  it('counts by group what it counts in all, whatever the batch', () => {
    fc.assert(
      fc.property(anyNetwork, (spec) => {
        const count = countGraph(buildNetwork(spec, 1));
        expect(countGraph(buildNetwork(spec, 'batch'))).toEqual(count);
        for (const key of ['params', 'macs', 'activations'] as const)
          expect(Object.values(count.groups).reduce((sum, group) => sum + group[key], 0)).toBe(count[key]);
      }),
    );
  });
});

describe('a block of', () => {
  const shape = { kernel: 3, stride: 2, width: 32, repeats: 2 };

  it('basic has two convolutions, the first strided, and a strided shortcut where shapes change', () => {
    expect(rows(network([{ operator: 'basic', ...shape }])).slice(1)).toEqual([
      ['stage0.block0.first', 3, 32, 8, 1, 2],
      ['stage0.block0.second', 3, 32, 8, 1, 1],
      ['stage0.block0.shortcut', 1, 32, 8, 1, 2],
      ['stage0.block1.first', 3, 32, 8, 1, 1],
      ['stage0.block1.second', 3, 32, 8, 1, 1],
    ]);
  });

  it('bottleneck strides and groups its k×k convolution', () => {
    const stage = { operator: 'bottleneck', ...shape, bottleneckRatio: 0.5, groupWidth: 4, squeezeExcite: 0.25 };
    expect(rows(network([stage])).slice(1, 7)).toEqual([
      ['stage0.block0.reduce', 1, 16, 16, 1, 1],
      ['stage0.block0.spatial', 3, 16, 8, 4, 2],
      ['stage0.block0.squeeze-excite.squeeze', 1, 4, 1, 1, 1],
      ['stage0.block0.squeeze-excite.excite', 1, 16, 1, 1, 1],
      ['stage0.block0.expand', 1, 32, 8, 1, 1],
      ['stage0.block0.shortcut', 1, 32, 8, 1, 2],
    ]);
  });

  it('ResNet-D pools its shortcut where it has a stride, and only there', () => {
    const graph = network([
      { operator: 'basic', ...shape, repeats: 1, shortcut: 'average-pool' },
      { operator: 'basic', ...shape, stride: 1, width: 40, repeats: 1, shortcut: 'average-pool' },
    ]);
    const pools = graph.nodes.filter(({ op }) => op === 'average-pool');
    expect(pools).toMatchObject([{ name: 'stage0.block0.shortcut.pool', attributes: { kernel: 2, stride: 2 } }]);
    const shortcuts = convolutions(graph).filter(({ layer }) => layer.endsWith('.shortcut'));
    expect(shortcuts.map(({ layer, kernel, stride }) => [layer, kernel, stride])).toEqual([
      ['stage0.block0.shortcut', 1, 1],
      ['stage1.block0.shortcut', 1, 1],
    ]);
  });

  it('any kind spreads the taps of its k×k convolutions', () => {
    const settings = { kernel: 3, stride: 1, width: 16, repeats: 1, dilation: 2 };
    const graph = network([
      { operator: 'mbconv', expansion: 2, ...settings },
      { operator: 'fused-mbconv', expansion: 2, ...settings },
      { operator: 'basic', ...settings },
      { operator: 'bottleneck', ...settings },
    ]);
    const spread = convolutions(graph).flatMap(({ layer, dilation, pads }) => (dilation === 2 ? [[layer, pads]] : []));
    expect(spread).toEqual(
      ['0.block0.depthwise', '1.block0.fused', '2.block0.first', '2.block0.second', '3.block0.spatial'].map((name) => [
        `stage${name}`,
        [2, 2, 2, 2],
      ]),
    );
  });

  it('any kind may lose its branch in training, later ones more often', () => {
    const settings = { kernel: 3, stride: 1, width: 16, repeats: 1 };
    const graph = network(
      [
        { operator: 'mbconv', expansion: 2, ...settings },
        { operator: 'basic', ...settings, width: 24 },
        { operator: 'bottleneck', ...settings, width: 24 },
      ],
      { survival: 0.7 },
    );
    const drops = graph.nodes.flatMap((node) => (node.op === 'drop' ? [[node.name, node.attributes.rate]] : []));
    expect(drops).toEqual([
      ['stage0.block0.drop', expect.closeTo(0.1)],
      ['stage1.block0.drop', expect.closeTo(0.2)],
      ['stage2.block0.drop', expect.closeTo(0.3)],
    ]);
  });
});

describe('stem and head', () => {
  const stage = { operator: 'mbconv', kernel: 3, stride: 1, expansion: 1, width: 16, repeats: 1 };

  it('the stem may rearrange pixels first and pool last', () => {
    const stem = { kernel: 3, stride: 1, width: 16, spaceToDepth: 4, maxPool: {} };
    const graph = network([stage], { stem });
    expect(operators(graph, 'stem')).toEqual(['space-to-depth', 'conv', 'batch-norm', 'relu', 'max-pool']);
    expect(shapeOf(graph, 'stem.space-to-depth')).toEqual([1, 48, 8, 8]);
    expect(shapeOf(graph, 'stem.pool')).toEqual([1, 16, 4, 4]);
  });

  it('the head may pool twice and have a hidden layer', () => {
    const graph = network([stage], {
      head: { width: 24, pooling: 'average-max', hidden: 12, activation: 'hard-swish' },
    });
    expect(operators(graph, 'head').slice(3)).toEqual([
      'global-average-pool',
      'max-pool',
      'concat',
      'conv',
      'hard-swish',
      'flatten',
    ]);
    expect(shapeOf(graph, 'head.features')).toEqual([1, 48, 1, 1]);
    expect(shapeOf(graph, 'classifier.weight')).toEqual([12, 10]);
  });
});
