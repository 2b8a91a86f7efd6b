import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { exportOnnx } from '../../models/export.ts';
import { initialWeights } from '../../models/initialise.ts';
import {
  type Fusion,
  type Kernel,
  type KernelProgram,
  type MatrixProducts,
  onnxGraphOf,
  readKernels,
  type Traffic,
} from '../../models/kernels.ts';
import { type OnnxAttribute, type OnnxGraph, type OnnxNode, readOnnx } from '../../models/onnx.ts';
import { type NetworkSpec, networkSpecSchema, parseNetworkSpec } from '../../models/spec.ts';
import { loadNetwork } from '../../scaling/built-in-networks.ts';
import { arbitrarySpec } from './arbitrary-spec.ts';
import { blockKinds, endKinds, networkOf } from './block-kinds.ts';
import { everyBlock } from './fixture.ts';

const programOf = (spec: NetworkSpec, batch = 1, fusion: Fusion = 'epilogue') =>
  readKernels(onnxGraphOf(buildNetwork(spec, 'batch')), fusion, { batch }, 'network');
const sum = (kernels: readonly Kernel[], of: (kernel: Kernel) => number) =>
  kernels.reduce((total, kernel) => total + of(kernel), 0);

type Attributes = Readonly<Record<string, OnnxAttribute>>;

/** A graph on an image `x` of 1 × 8 × 6 × 6 with weights by their extents. */
function graphOf(
  nodes: readonly (readonly [string, readonly string[], string, Attributes?])[],
  constants: Readonly<Record<string, readonly number[]>> = {},
  outputs: readonly string[] = [nodes.at(-1)?.[2] ?? ''],
): OnnxGraph {
  return {
    name: 'graph',
    inputs: [{ name: 'x', dtype: 'float32', shape: ['batch', 8, 6, 6] }],
    outputs,
    nodes: nodes.map(([opType, inputs, output, attributes = {}]): OnnxNode => {
      return { opType, name: output, inputs, outputs: [output], attributes };
    }),
    constants: new Map(Object.entries(constants).map(([name, dims]) => [name, { dtype: 'float32', dims }])),
  };
}
const kernelsOf = (graph: OnnxGraph, fusion: Fusion = 'epilogue') => readKernels(graph, fusion, {}, 'graph').kernels;
const shapeOf = ({ name, kind, operators }: Kernel) => ({ name, kind, operators });

const block = (squeezeExcite: number) =>
  parseNetworkSpec(
    {
      input: { channels: 8, resolution: 6 },
      classes: 2,
      stem: { kernel: 1, stride: 1, width: 8 },
      stages: [
        {
          operator: 'mbconv',
          kernel: 3,
          stride: 1,
          expansion: 2,
          width: 8,
          repeats: 1,
          squeezeExcite,
          activation: 'silu',
        },
      ],
      head: { width: 0 },
    },
    'block',
  );

const inBlock = (squeezeExcite: number) =>
  programOf(block(squeezeExcite)).kernels.filter(({ name }) => name.startsWith('stage0'));

const sizes = (list: readonly Traffic[]) => list.map(({ elements }) => elements);

/** A program without the names in it: a folded norm leaves the convolution's output under another name. */
function costsOf({ kernels, ...rest }: KernelProgram) {
  return {
    ...rest,
    kernels: kernels.map(({ kind, macs, products, reads, writes, weightElements }) => {
      return { kind, macs, products, reads: sizes(reads), writes: sizes(writes), weightElements };
    }),
  };
}

describe('kernels of our networks', () => {
  it('carry the multiply-accumulates and the weights that counting gives', () => {
    const b0 = loadNetwork('efficientnet-b0');
    const count = countGraph(buildNetwork(b0, 1));
    for (const fusion of ['epilogue', 'none'] as const)
      expect(sum(programOf(b0, 1, fusion).kernels, ({ macs }) => macs)).toBe(385_814_752);
    expect(programOf(b0).weightElements * 4).toBe(count.weightBytes);
    expect(count.macs).toBe(385_814_752);
  });

  it('do so for every kind of block, at every batch', () => {
    fc.assert(
      fc.property(arbitrarySpec, fc.integer({ min: 1, max: 3 }), (drawn, batch) => {
        const spec = networkSpecSchema.parse(drawn);
        const count = countGraph(buildNetwork(spec, 1));
        const program = programOf(spec, batch);
        expect(sum(program.kernels, ({ macs }) => macs)).toBe(batch * count.macs);
        expect(program.weightElements * 4).toBe(count.weightBytes);
        expect(program.batch).toBe(batch);
      }),
      { numRuns: 60 },
    );
  });

  const specs = [everyBlock, ...[...blockKinds, ...endKinds].map((kind) => networkOf(kind, 12))];
  it.each(specs.map((spec) => [spec.name ?? 'every block', spec] as const))(
    'are those of their exported files, whose batch norms are folded already: %s',
    (_, spec) => {
      const weights = initialWeights(buildNetwork(spec, 1), new Random(0));
      const file = readKernels(readOnnx(exportOnnx(spec, weights, 'batch'), 'f'), 'epilogue', { batch: 3 }, 'f');
      expect(costsOf(file)).toEqual(costsOf(programOf(spec, 3)));
    },
  );

  it('of an inverted bottleneck are three, and four more with squeeze-excite, whose gate waits for the plane', () => {
    const silu = ['Sigmoid', 'Mul'];
    const plain = inBlock(0);
    expect(plain.map(({ kind, operators }) => [kind, ...operators])).toEqual([
      ['pointwise', 'Conv', 'BatchNormalization', ...silu],
      ['depthwise', 'Conv', 'BatchNormalization', ...silu],
      ['pointwise', 'Conv', 'BatchNormalization', 'Add'],
    ]);
    const plane = 6 * 6;
    // The projection reads what it projects and the residual, and writes their sum only.
    expect(plain[2]?.reads.map(({ elements }) => elements)).toEqual([16 * plane, 8 * plane]);
    expect(plain[2]?.writes.map(({ elements }) => elements)).toEqual([8 * plane]);
    expect(inBlock(0.5).map(({ kind }) => kind)).toEqual([
      'pointwise',
      'depthwise',
      'reduction',
      'pointwise',
      'pointwise',
      'elementwise',
      'pointwise',
    ]);
  });
});

describe('fusion', () => {
  const conv = ['Conv', ['x', 'w'], 'c'] as const;
  const w = [8, 8, 1, 1];

  it('leaves every operator alone in a runtime that fuses nothing', () => {
    const graph = graphOf([conv, ['Relu', ['c'], 'r'], ['Add', ['r', 'x'], 'y']], { w });
    expect(kernelsOf(graph, 'none').map(({ kind }) => kind)).toEqual(['pointwise', 'elementwise', 'elementwise']);
    expect(kernelsOf(graph).map(shapeOf)).toEqual([
      { name: 'c', kind: 'pointwise', operators: ['Conv', 'Relu', 'Add'] },
    ]);
  });

  it('joins the later of two branches, which then writes what others read, too', () => {
    const graph = graphOf(
      [
        conv,
        ['Conv', ['x', 'v'], 'd'],
        ['Add', ['c', 'd'], 's'],
        ['Relu', ['s'], 'r'],
        ['Conv', ['r', 'w'], 'e'],
        ['Add', ['e', 's'], 'y'],
      ],
      { w, v: w },
    );
    const kernels = kernelsOf(graph);
    expect(kernels.map(({ operators }) => operators)).toEqual([['Conv'], ['Conv', 'Add', 'Relu'], ['Conv', 'Add']]);
    expect(kernels[1]?.reads.map(({ name }) => name)).toEqual(['x', 'c']);
    expect(kernels[1]?.writes.map(({ name }) => name)).toEqual(['s', 'r']);
  });

  it('does not take in what has other extents, nor join a copy or a reduction', () => {
    const broadcast = graphOf(
      [
        ['GlobalAveragePool', ['x'], 'p'],
        ['Conv', ['p', 'w'], 'g'],
        ['Mul', ['x', 'g'], 'y'],
      ],
      { w },
    );
    expect(kernelsOf(broadcast).map(({ kind }) => kind)).toEqual(['reduction', 'pointwise', 'elementwise']);
    const copy = graphOf([
      ['Concat', ['x', 'x'], 'k', { axis: { int: 1 } }],
      ['Relu', ['k'], 'r'],
      ['MaxPool', ['r'], 'm', { kernel_shape: { ints: [2, 2] } }],
      ['Relu', ['m'], 'y'],
    ]);
    expect(kernelsOf(copy).map(({ kind }) => kind)).toEqual(['movement', 'elementwise', 'reduction', 'elementwise']);
  });

  it('sees through views, and finds no kernel in what is known before the run', () => {
    const graph: OnnxGraph = {
      ...graphOf([
        ['Shape', ['x'], 'extents'],
        ['Relu', ['weights'], 'prepared'],
        ['Reshape', ['x', 'flat'], 'f'],
        ['Transpose', ['f'], 't', { perm: { ints: [0, 1] } }],
        ['MatMul', ['t', 'prepared'], 'y'],
      ]),
      constants: new Map([
        ['weights', { dtype: 'float32', dims: [288, 5] }],
        ['flat', { dtype: 'int64', dims: [2], values: [1, -1] }],
      ]),
    };
    const [kernel, ...others] = kernelsOf(graph);
    expect(others).toEqual([]);
    expect(kernel).toMatchObject({
      kind: 'matmul',
      macs: 288 * 5,
      products: { rows: 1, inner: 288, columns: 5, count: 1 },
      reads: [{ name: 'x', elements: 288 }],
      weightElements: 288 * 5,
    });
  });
});

describe('a kernel', () => {
  const filters: readonly [string, readonly number[], number, MatrixProducts][] = [
    ['conv', [16, 8, 3, 3], 1, { rows: 36, inner: 72, columns: 16, count: 1 }],
    ['pointwise', [16, 8, 1, 1], 1, { rows: 36, inner: 8, columns: 16, count: 1 }],
    ['grouped', [16, 4, 3, 3], 2, { rows: 36, inner: 36, columns: 8, count: 2 }],
    ['depthwise', [16, 1, 3, 3], 8, { rows: 36, inner: 9, columns: 2, count: 8 }],
  ];
  it.each(filters)('that is a %s convolution lowers to these matrix products', (kind, weight, group, products) => {
    const attributes = { group: { int: group }, auto_pad: { string: 'SAME_UPPER' } };
    const [kernel] = kernelsOf(graphOf([['Conv', ['x', 'w'], 'y', attributes]], { w: weight }));
    expect(kernel).toMatchObject({ kind, products, weightElements: weight.reduce((a, b) => a * b, 1) });
  });

  it('of a transposed convolution multiplies every input pixel with the whole filter', () => {
    const [kernel] = kernelsOf(
      graphOf([['ConvTranspose', ['x', 'w'], 'y', { strides: { ints: [2, 2] } }]], { w: [8, 3, 2, 2] }),
    );
    expect(kernel?.macs).toBe(36 * 8 * 3 * 2 * 2);
    expect(kernel?.writes).toEqual([{ name: 'y', elements: 3 * 12 * 12 }]);
  });

  it('of attention is one product a head, read from both sides', () => {
    const graph = graphOf([
      ['Transpose', ['x'], 't', { perm: { ints: [0, 1, 3, 2] } }],
      ['MatMul', ['x', 't'], 's'],
      ['Softmax', ['s'], 'y'],
    ]);
    const [transpose, product, softmax] = kernelsOf(graph);
    expect(transpose?.kind).toBe('movement');
    expect(product).toMatchObject({
      kind: 'matmul',
      macs: 8 * 6 * 6 * 6,
      products: { rows: 6, inner: 6, columns: 6, count: 8 },
    });
    expect(product?.reads.map(({ name }) => name)).toEqual(['x', 't']);
    expect(softmax?.kind).toBe('reduction');
  });

  it('that looks rows up reads those rows, while the table counts as weights of the network', () => {
    const graph: OnnxGraph = {
      name: 'lookup',
      inputs: [{ name: 'tokens', dtype: 'int64', shape: ['batch', 4] }],
      outputs: ['y'],
      nodes: [{ opType: 'Gather', name: 'y', inputs: ['table', 'tokens'], outputs: ['y'] }],
      constants: new Map([['table', { dtype: 'float32', dims: [1000, 16] }]]),
    };
    const program = readKernels(graph, 'epilogue', { batch: 2 }, 'lookup');
    expect(program.weightElements).toBe(16_000);
    expect(program.kernels[0]).toMatchObject({ kind: 'movement', weightElements: 0 });
    expect(program.kernels[0]?.reads.map(({ elements }) => elements)).toEqual([2 * 4 * 16, 8]);
  });

  it('that cuts something out reads no more than that', () => {
    const graph: OnnxGraph = {
      ...graphOf([['Slice', ['x', 'from', 'to', 'axis'], 'y']]),
      constants: new Map(
        Object.entries({ from: 2, to: 5, axis: 3 }).map(([name, value]) => [
          name,
          { dtype: 'int64', dims: [1], values: [value] },
        ]),
      ),
    };
    expect(kernelsOf(graph)).toMatchObject([
      { kind: 'movement', reads: [{ name: 'x', elements: 8 * 6 * 3 }], writes: [{ elements: 8 * 6 * 3 }] },
    ]);
  });
});

describe('the most elements alive at once', () => {
  it('are inputs and outputs of the widest kernel and what waits for later ones', () => {
    const graph = graphOf(
      [
        ['Conv', ['x', 'wide'], 'a'],
        ['Conv', ['a', 'narrow'], 'b'],
        ['Add', ['b', 'x'], 'y'],
      ],
      { wide: [32, 8, 1, 1], narrow: [8, 32, 1, 1] },
    );
    const plane = 36;
    // While the second convolution runs: x waits for the sum, a is read, y is written.
    expect(readKernels(graph, 'epilogue', {}, 'graph').peakElements).toBe((8 + 32 + 8) * plane);
  });
});
