import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { exportOnnx } from '../../models/export.ts';
import { initialWeights } from '../../models/initialise.ts';
import { parseTransformerSpec, type TransformerSpec } from '../../models/transformer.ts';
import { forwardFlops, transformerParams } from '../../scaling/transformer-shape.ts';
import { referenceForward, type Tensor64 } from '../training/reference.ts';

const spec = (changes: object): TransformerSpec =>
  parseTransformerSpec(
    { kind: 'transformer', vocabulary: 11, context: 6, layers: 2, width: 8, heads: 2, ...changes },
    'test',
  );
const peak = (context: number): number => countGraph(buildNetwork(spec({ context }), 1)).peakBytes;
const gpt2 = { vocabulary: 50_257, context: 1024, layers: 12, width: 768, heads: 12 };

describe('a transformer', () => {
  it('of GPT-2’s smallest shape has its parameters, without biases and with them', () => {
    for (const [biases, params] of [
      [false, 124_337_664],
      [true, 124_439_808],
    ] as const)
      expect(countGraph(buildNetwork(spec({ ...gpt2, biases }), 1)).params).toBe(params);
  });

  it.each([{}, { gated: true, norm: 'rms-norm', tiedHead: false }, { biases: true, learnedPositions: false }])(
    'counts as the formulas of its shape do: %j',
    (changes) => {
      const shape = spec(changes);
      const { params, macs, groups } = countGraph(buildNetwork(shape, 1));
      expect(params).toBe(transformerParams(shape).total);
      expect(2 * macs).toBe(forwardFlops(shape));
      expect(Object.keys(groups)).toContain('head');
    },
  );

  it('needs memory for the scores of its attention', () => {
    expect(peak(256)).toBeGreaterThan(4 * 2 * 256 ** 2);
    expect(peak(256)).toBeLessThan(2 * 4 * 2 * 256 ** 2);
  });

  it.each([
    [{ width: 9 }, /expected a multiple of the 2 heads, got 9.*width/s],
    [{ norm: 'rms-norm', biases: true }, /expected false with rms-norm.*biases/s],
    [{ layer: 2 }, /layer/],
  ])('is refused by name: %j', (changes, message) => {
    expect(() => spec(changes)).toThrow(message);
  });

  it.each([{ biases: true }, { gated: true, norm: 'rms-norm', tiedHead: false }])(
    'computes in its ONNX file, at any batch, what the reference computes: %j',
    async (changes) => {
      const shape = spec(changes);
      const graph = buildNetwork(shape, 3);
      const weights = initialWeights(graph, new Random('transformer'));
      const random = new Random('tokens');
      const tokens = Float64Array.from({ length: 3 * shape.context }, () => random.integer(shape.vocabulary));
      const values = new Map<string, Tensor64>([
        ['tokens', { shape: [3, shape.context], data: tokens }],
        ...graph.parameters.map(({ name, shape: dims }): [string, Tensor64] => [
          name,
          { shape: dims, data: Float64Array.from(weights.get(name) as Float32Array) },
        ]),
      ]);
      const expected = referenceForward(graph, values).get('logits') as Tensor64;
      const session = await onnxRuntimeAccelerator('cpu').open(exportOnnx(shape, weights, 'batch'), { threads: 1 });
      const { logits } = await session.run({
        tokens: { dtype: 'int64', dims: [3, shape.context], data: BigInt64Array.from(tokens, BigInt) },
      });
      await session.close();
      expect(logits?.dims).toEqual([3, shape.context, shape.vocabulary]);
      const scale = Math.max(...expected.data.map(Math.abs));
      expected.data.forEach((value, index) =>
        expect(Math.abs(value - (logits?.data[index] as number)) / scale).toBeLessThan(1e-5),
      );
    },
  );

  it('sees no token that comes later', async () => {
    const shape = spec({});
    const session = await onnxRuntimeAccelerator('cpu').open(
      exportOnnx(shape, initialWeights(buildNetwork(shape, 1), new Random(0)), 1),
      { threads: 1 },
    );
    const run = async (tokens: readonly number[]) => {
      const { logits } = await session.run({
        tokens: { dtype: 'int64', dims: [1, 6], data: BigInt64Array.from(tokens, BigInt) },
      });
      return Array.from(logits?.data as Float32Array);
    };
    const [a, b] = [await run([1, 2, 3, 4, 5, 6]), await run([1, 2, 3, 9, 9, 9])];
    await session.close();
    expect(a.slice(0, 33)).toEqual(b.slice(0, 33));
    expect(a.slice(33)).not.toEqual(b.slice(33));
  });
});
