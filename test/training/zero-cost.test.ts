import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { Random } from '../../core/random.ts';
import type { Graph, Weights } from '../../models/graph.ts';
import { activationCodes } from '../../training/zero-cost/activation-codes.ts';
import { gradientNorms } from '../../training/zero-cost/gradient-norm.ts';
import { logSynflow } from '../../training/zero-cost/synflow.ts';
import { draw, type Drawn, randomValues, targetFeed, TestGraph } from './graphs.ts';
import { referenceForward, referenceGradient, type Tensor64 } from './reference.ts';

const cpu = onnxRuntimeAccelerator('cpu');
const oneThread = { threads: 1 };

const weightsOf = ({ values }: Pick<Drawn, 'values'>): Weights =>
  new Map([...values].map(([name, { data }]) => [name, Float32Array.from(data)]));
const valueOf = (values: ReadonlyMap<string, Tensor64>, name: string): Tensor64 => values.get(name) as Tensor64;
const total = (values: ArrayLike<number>): number => Array.from(values).reduce((sum, value) => sum + value, 0);

function startOf(drawn: Drawn) {
  const { shape, data } = valueOf(drawn.values, 'image');
  const { labels, classes } = drawn.loss;
  const target = targetFeed(labels, classes);
  return {
    weights: weightsOf(drawn),
    batch: {
      image: { dtype: 'float32' as const, shape, data: Float32Array.from(data) },
      target: { dtype: 'float32' as const, shape: target.dims, data: target.data as Float32Array },
    },
  };
}

/** Batch norm, stochastic depth, squeeze-and-excite and a residual sum, as the networks of a search have them. */
function blockNetwork(batch: number, activation: 'relu' | 'silu' | 'hard-swish'): Graph {
  const graph = new TestGraph(batch, 2, 6, 5);
  const stem = graph.add(activation, [graph.batchNorm(graph.conv('image', { width: 4, kernel: 3, stride: 2 }))], {});
  const deep = graph.add(activation, [graph.batchNorm(graph.conv(stem, { width: 4, kernel: 3, depthwise: true }))], {});
  const squeezed = graph.add(activation, [graph.conv(graph.pool(deep), { width: 2, kernel: 1, bias: true })], {});
  const gate = graph.add('sigmoid', [graph.conv(squeezed, { width: 4, kernel: 1, bias: true })], {});
  const gated = graph.add('gate', [deep, gate], {}, graph.shape(deep));
  const branch = graph.add('drop', [graph.batchNorm(graph.conv(gated, { width: 4, kernel: 1 }))], {
    rate: 0.5,
    unit: 'example',
  });
  return graph.classify(graph.add('add', [stem, branch], {}), 3);
}

describe('the gradient norm', () => {
  it('is the sum of the norms of the weights’ gradients by finite differences, with nothing dropped', async () => {
    const graph = blockNetwork(3, 'silu');
    const drawn = randomValues(graph, 5);
    const kept = new Map(
      [...drawn.values].map(([name, tensor]) => [
        name,
        name.endsWith('.mask') ? { ...tensor, data: tensor.data.map(() => 1) } : tensor,
      ]),
    );
    const loss = { ...drawn.loss, labelSmoothing: 0 };
    const norms = graph.parameters
      .filter(({ role }) => role === 'weight')
      .map(({ name }) => Math.sqrt(total(referenceGradient(graph, kept, loss, name).map((value) => value ** 2))));
    const [found = 0] = await gradientNorms(
      cpu,
      graph,
      { kind: 'softmax-cross-entropy', labelSmoothing: 0, targets: 'target' },
      [startOf(drawn)],
      oneThread,
    );
    expect(norms).toHaveLength(6);
    expect(found / total(norms)).toBeCloseTo(1, 4);
  });
});

/** ln Σ |θ| · ∂R ÷ ∂|θ| by central differences of an independent forward pass; exact up to rounding, for R is linear in each θ. */
function slowSynflow(graph: Graph, weights: Weights): number {
  const shapes = new Map(graph.parameters.map(({ name, shape }) => [name, shape]));
  const values = new Map<string, Tensor64>();
  for (const { name, shape } of graph.inputs) {
    const fixed = shape as readonly number[];
    values.set(name, { shape: fixed, data: new Float64Array(fixed.reduce((a, b) => a * b, 1)).fill(1) });
  }
  for (const [name, shape] of shapes) {
    const isBias = graph.parameters.some((parameter) => parameter.name === name && parameter.role === 'bias');
    values.set(name, {
      shape,
      data: Float64Array.from(weights.get(name) ?? [], (value) => (isBias ? 0 : Math.abs(value))),
    });
  }
  const sumWith = (name: string, data: Float64Array): number => {
    const changed = new Map([...values, [name, { ...valueOf(values, name), data }]]);
    return total(valueOf(referenceForward(graph, changed), graph.outputs[0] as string).data);
  };
  let flow = 0;
  for (const { name, role } of graph.parameters) {
    if (role !== 'weight') continue;
    const { data } = valueOf(values, name);
    data.forEach((value, index) => {
      const [up, down] = [data.slice(), data.slice()];
      up[index] = value * 1.5;
      down[index] = value * 0.5;
      flow += sumWith(name, up) - sumWith(name, down);
    });
  }
  return Math.log(flow);
}

/** Names of the weights of its convolutions and its classifier, in order. */
const convolutions = (of: Graph) =>
  of.nodes.filter(({ op }) => op === 'conv' || op === 'dense').map(({ inputs }) => inputs[1] as string);

describe('synflow', () => {
  it('is the sum over weights of the products of absolute weights along every path through them', async () => {
    const test = new TestGraph(1, 2, 1, 1);
    const graph = test.classify(test.conv(test.conv('image', { width: 3, kernel: 1 }), { width: 2, kernel: 1 }), 3);
    const drawn = randomValues(graph, 3);
    const [first, second, last] = graph.parameters
      .filter(({ role }) => role === 'weight')
      .map(({ name }) => valueOf(drawn.values, name).data.map(Math.abs)) as [Float64Array, Float64Array, Float64Array];
    let paths = 0;
    for (let input = 0; input < 2; input++)
      for (let a = 0; a < 3; a++)
        for (let b = 0; b < 2; b++)
          for (let output = 0; output < 3; output++)
            paths += (first[a * 2 + input] ?? 0) * (second[b * 3 + a] ?? 0) * (last[b * 3 + output] ?? 0);
    const [found] = await logSynflow(cpu, graph, [weightsOf(drawn)], oneThread);
    // Every path goes through one weight of each of the three layers.
    expect(found).toBeCloseTo(Math.log(3 * paths), 5);
  });

  it('agrees with finite differences where branches of unlike scale meet, windows overlap and pools choose', async () => {
    const test = new TestGraph(1, 2, 6, 6);
    const stem = test.add('relu', [test.conv('image', { width: 3, kernel: 3, stride: 2 })], {});
    const wide = test.conv(test.conv(stem, { width: 6, kernel: 3 }), { width: 3, kernel: 3, depthwise: false });
    const sum = test.add('add', [stem, wide], {});
    const pooled = test.windowPool('max-pool', sum, { kernel: 2, stride: 1 });
    const joined = test.concat(
      test.windowPool('average-pool', pooled, { kernel: 3 }),
      test.conv(sum, { width: 3, kernel: 3, depthwise: true }),
    );
    const graph = test.classify(joined, 3);
    for (const seed of [1, 2]) {
      const weights = weightsOf(draw(graph, new Random(seed)));
      const [found] = await logSynflow(cpu, graph, [weights], oneThread);
      expect(found).toBeCloseTo(slowSynflow(graph, weights), 4);
    }
  });

  it('looks past norms, activations and gates', async () => {
    const graph = blockNetwork(1, 'hard-swish');
    const plain = new TestGraph(1, 2, 6, 5);
    const stem = plain.conv('image', { width: 4, kernel: 3, stride: 2 });
    const branch = plain.conv(plain.conv(stem, { width: 4, kernel: 3, depthwise: true }), { width: 4, kernel: 1 });
    const bare = plain.classify(plain.add('add', [stem, branch], {}), 3);
    const weights = weightsOf(draw(graph, new Random(4)));
    // The third and fourth are squeeze-and-excite's.
    const kept = convolutions(graph).filter((_, index) => index !== 2 && index !== 3);
    const same: Weights = new Map([
      ...convolutions(bare).map(
        (name, index) => [name, weights.get(kept[index] as string) ?? new Float32Array()] as const,
      ),
      ['classifier.b', new Float32Array(3)],
    ]);
    const [found] = await logSynflow(cpu, graph, [weights], oneThread);
    expect(found).toBeCloseTo(slowSynflow(bare, same), 4);
  });

  it('does not overflow where float32 would', async () => {
    const test = new TestGraph(1, 8, 1, 1);
    let x = 'image';
    for (let layer = 0; layer < 60; layer++) x = test.conv(x, { width: 8, kernel: 1 });
    const graph = test.classify(x, 2);
    const weights = new Map(
      graph.parameters.map(({ name, shape, role }) => {
        const random = new Random(name);
        const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 10 * random.normal());
        return [name, role === 'bias' ? data.fill(0) : data] as const;
      }),
    );
    // By hand, rescaled after every layer: 61 layers, each of which every path goes through once.
    let [values, log] = [Array.from({ length: 8 }, () => 1), 0];
    for (const { name, role, shape } of graph.parameters) {
      if (role !== 'weight') continue;
      const data = weights.get(name) as Float32Array;
      const width = shape.length === 4 ? (shape[0] as number) : (shape[1] as number);
      const at = (o: number, i: number) => Math.abs((shape.length === 4 ? data[o * 8 + i] : data[i * width + o]) ?? 0);
      values = Array.from({ length: width }, (_, o) => total(values.map((value, i) => at(o, i) * value)));
      const scale = Math.max(...values);
      values = values.map((value) => value / scale);
      log += Math.log(scale);
    }
    const expected = Math.log(61 * total(values)) + log;
    expect(expected).toBeGreaterThan(Math.log(3.4e38));
    const [found] = await logSynflow(cpu, graph, [weights], oneThread);
    expect(found).toBeCloseTo(expected, 3);
  });
});

/** ln |det| by elimination with pivots. */
function logDeterminant(matrix: readonly (readonly number[])[]): number {
  const rows = matrix.map((row) => [...row]);
  let log = 0;
  for (let column = 0; column < rows.length; column++) {
    const at = (row: number): number => Math.abs(rows[row]?.[column] ?? 0);
    let pivot = column;
    for (let row = column; row < rows.length; row++) if (at(row) > at(pivot)) pivot = row;
    [rows[column], rows[pivot]] = [rows[pivot] as number[], rows[column] as number[]];
    log += Math.log(at(column));
    for (const row of rows.slice(column + 1)) {
      const factor = (row[column] ?? 0) / (rows[column]?.[column] ?? 1);
      row.forEach((value, k) => (row[k] = value - factor * (rows[column]?.[k] ?? 0)));
    }
  }
  return log;
}

describe('NASWOT', () => {
  it.each(['relu', 'silu', 'hard-swish'] as const)(
    'is the log-determinant of how %s codes agree',
    async (activation) => {
      const graph = blockNetwork(5, activation);
      const drawn = randomValues(graph, 2);
      const kept = new Map(
        [...drawn.values].map(([name, tensor]) => [
          name,
          name.endsWith('.mask') ? { ...tensor, data: tensor.data.map(() => 1) } : tensor,
        ]),
      );
      const known = referenceForward(graph, kept);
      const codes = Array.from({ length: 5 }, (_, example) =>
        graph.nodes.flatMap(({ op, inputs }) => {
          if (op !== activation) return [];
          const { data } = valueOf(known, inputs[0] as string);
          const each = data.length / 5;
          return Array.from(data.slice(example * each, (example + 1) * each), (value) => value > 0);
        }),
      );
      const kernel = codes.map((a) => codes.map((b) => a.filter((bit, index) => bit === b[index]).length));
      const [found] = await activationCodes(cpu, graph, [startOf(drawn)], oneThread);
      expect(found).toBeCloseTo(logDeterminant(kernel), 8);
    },
  );

  it('is −∞ where two examples are the same', async () => {
    const graph = blockNetwork(3, 'relu');
    const start = startOf(randomValues(graph, 2));
    const image = start.batch.image.data;
    image.set(image.subarray(0, image.length / 3), image.length / 3);
    expect(await activationCodes(cpu, graph, [start], oneThread)).toEqual([Number.NEGATIVE_INFINITY]);
  });
});
