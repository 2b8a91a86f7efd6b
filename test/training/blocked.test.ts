import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import type { Graph, Pads } from '../../models/graph.ts';
import { initialWeights } from '../../models/initialise.ts';
import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';
import { blockedLowering } from '../../training/blocked/lower.ts';
import { differentiate } from '../../training/differentiate.ts';
import { unpackParameters } from '../../training/flat-parameters.ts';
import type { Lowering } from '../../training/lowering.ts';
import { drawMasks } from '../../training/masks.ts';
import { plainLowering } from '../../training/plain/lower.ts';
import { estimateRunningStatistics } from '../../training/running-statistics.ts';
import { lowerGradients } from '../../training/step.ts';
import { stepNames } from '../../training/step-names.ts';
import type { Recipe } from '../../training/trainer.ts';
import { initialVectors, openUpdater } from '../../training/updater.ts';
import { blocked } from './blocked-kernels.ts';
import { type ConvShape, largestDistance, loweredGradients, randomValues, targetFeed, TestGraph } from './graphs.ts';

// What gradients.test.ts asks of every lowering is not asked again: here are sizes it is too slow for.

const accelerator = onnxRuntimeAccelerator('cpu');
const lowering = blocked as Lowering;

/** Both lowerings hold float32 rounding of sums over some thousand values. */
const tolerance = 2e-5;

async function expectAgreement(graph: Graph, seed = 1): Promise<void> {
  const drawn = randomValues(graph, seed);
  const expected = await loweredGradients(graph, drawn, plainLowering);
  const actual = await loweredGradients(graph, drawn, lowering);
  expect(Math.abs(actual.loss - expected.loss)).toBeLessThan(1e-5 * expected.loss);
  const { error, worst } = largestDistance(expected.gradients, actual.gradients);
  expect(error, worst).toBeLessThan(tolerance);
}

const extent = fc.integer({ min: 1, max: 11 });
const pad = fc.integer({ min: 0, max: 4 });
const width = fc.integer({ min: 1, max: 40 });

describe.skipIf(blocked === undefined)('the blocked lowering gives the plain one’s gradients', () => {
  it('of convolutions of any width, kernel, stride and padding, within a network', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({ batch: fc.integer({ min: 1, max: 20 }), height: extent, breadth: extent }),
        fc.record({
          before: width,
          width,
          kernel: fc.integer({ min: 1, max: 7 }),
          stride: fc.integer({ min: 1, max: 3 }),
          depthwise: fc.boolean(),
          bias: fc.boolean(),
        }),
        fc.option(fc.tuple(pad, pad, pad, pad)),
        async ({ batch, height, breadth }, { before, depthwise, ...conv }, drawn) => {
          // No more than leaves every window a pixel.
          const pads = drawn?.map((extra) => Math.min(extra, conv.kernel - 1)) as unknown as Pads | undefined;
          const graph = new TestGraph(batch, 3, height, breadth);
          const first = graph.add('silu', [graph.conv('image', { width: before, kernel: 1 })], {});
          const shape: ConvShape = { ...conv, depthwise, ...(depthwise && { width: before }), ...(pads && { pads }) };
          fc.pre(Math.min(...outExtents(shape, height, breadth)) > 0);
          const tested = graph.add('silu', [graph.conv(first, shape)], {});
          await expectAgreement(graph.classify(graph.conv(tested, { width: 5, kernel: 1 }), 3));
        },
      ),
      { numRuns: 60, seed: 1 },
    ));

  // 8 and 40 channels: half of a block of 16 is padding; 4 and 36: of a block of 8 too.
  it.each(
    [4, 8, 24, 36, 40].flatMap((before) => [
      { before, kernel: 3, stride: 1 },
      { before, kernel: 5, stride: 2 },
      { before, kernel: 5, stride: 1 },
    ]),
  )('of a dense $kernel×$kernel convolution of $before channels at stride $stride', async ({ before, ...conv }) => {
    const graph = new TestGraph(5, 3, 7, 8);
    const first = graph.add('silu', [graph.conv('image', { width: before, kernel: 1 })], {});
    const normed = graph.batchNorm(graph.conv(first, { width: 40, ...conv }));
    const second = graph.conv(graph.add('silu', [normed], {}), { width: 7, kernel: 3 });
    await expectAgreement(graph.classify(graph.add('silu', [second], {}), 3));
  });

  it('of a 1×1 convolution that widens for a batch norm, with and without a gradient for its input', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({ batch: fc.integer({ min: 3, max: 20 }), side: fc.integer({ min: 3, max: 8 }) }),
        fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 1, max: 36 }) }, fc.constant(70)),
        fc.boolean(),
        async ({ batch, side }, narrow, isFirst) => {
          const graph = new TestGraph(batch, isFirst ? narrow : 3, side, side);
          const x = isFirst ? 'image' : graph.add('silu', [graph.conv('image', { width: narrow, kernel: 3 })], {});
          const wide = graph.batchNorm(graph.conv(x, { width: 4 * narrow, kernel: 1 }));
          await expectAgreement(graph.classify(graph.add('silu', [wide], {}), 3));
        },
      ),
      { numRuns: 20, seed: 1 },
    ));

  it('of residual sums and rectified residual sums of batch norms', async () => {
    const graph = new TestGraph(6, 3, 7, 7);
    const x = graph.add('silu', [graph.batchNorm(graph.conv('image', { width: 20, kernel: 3 }))], {});
    const branch = (from: string): string => graph.batchNorm(graph.conv(from, { width: 20, kernel: 3 }));
    const both = graph.add('relu6', [graph.add('add', [branch(x), x], {})], {});
    const dropped = graph.add('drop', [branch(both)], { rate: 0.4, unit: 'example' });
    const sum = graph.add('add', [both, dropped], {});
    await expectAgreement(graph.classify(graph.add('add', [sum, graph.batchNorm(sum)], {}), 3));
  });

  it('of kinds it leaves to the plain lowering, between kinds it does not', async () => {
    const graph = new TestGraph(4, 3, 8, 8);
    const x = graph.batchNorm(graph.conv('image', { width: 12, kernel: 3 }));
    const grouped = graph.conv(graph.add('silu', [x], {}), { width: 12, kernel: 3, groups: 3 });
    const dilated = graph.conv(grouped, { width: 20, kernel: 3, dilation: 2 });
    const pooled = graph.windowPool('max-pool', graph.concat(dilated, x), { kernel: 3, stride: 2 });
    const folded = graph.spaceToDepth(graph.windowPool('average-pool', pooled, { kernel: 2 }), 2);
    const dropped = graph.add('drop', [graph.batchNorm(folded)], { rate: 0.3, unit: 'element' });
    await expectAgreement(graph.classify(graph.conv(dropped, { width: 18, kernel: 1 }), 3));
  });
});

function outExtents({ kernel, stride = 1, pads }: ConvShape, height: number, breadth: number): number[] {
  if (!pads) return [1];
  const [top, left, bottom, right] = pads;
  return [height + top + bottom, breadth + left + right].map((extent) => Math.floor((extent - kernel) / stride) + 1);
}

const network = (activation: 'relu' | 'silu' | 'hard-swish'): NetworkSpec =>
  parseNetworkSpec(
    {
      input: { channels: 3, resolution: 16 },
      classes: 4,
      stem: { kernel: 3, stride: 1, width: 12, activation },
      stages: [
        { operator: 'fused-mbconv', kernel: 3, stride: 2, expansion: 2, width: 20, repeats: 2, activation },
        {
          operator: 'mbconv',
          kernel: 5,
          stride: 2,
          expansion: 3,
          width: 28,
          repeats: 2,
          squeezeExcite: 0.25,
          activation,
        },
      ],
      head: { width: 40, activation, dropout: 0.2 },
      survival: 0.8,
    },
    'test network',
  );

interface Run {
  readonly losses: readonly number[];
  /** The flat vectors after the last step: parameters and slots. */
  readonly vectors: Readonly<Record<string, Float32Array>>;
  readonly padding: (vector: Float32Array) => Float32Array;
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/** Some steps on one random batch. */
async function train(spec: NetworkSpec, by: Lowering, settings: Partial<Recipe>, steps: number): Promise<Run> {
  const batch = 8;
  const recipe: Recipe = {
    optimizer: 'sgd-momentum',
    batchSize: batch,
    learningRate: 0.02,
    momentum: 0.9,
    weightDecay: 1e-3,
    labelSmoothing: 0.1,
    warmup: 0,
    ...settings,
  };
  const graph = buildNetwork(spec, batch);
  const training = differentiate(graph, { kind: 'softmax-cross-entropy', labelSmoothing: 0.1, targets: 'target' });
  const random = new Random('blocked');
  const image = Float32Array.from({ length: batch * 3 * 16 * 16 }, () => random.normal());
  const updater = await openUpdater(accelerator, training, { recipe, lowering: by, threads: 1 });
  const { flat } = updater;
  try {
    let vectors = initialVectors(recipe, flat, initialWeights(graph, new Random(1)));
    const losses: number[] = [];
    for (let step = 0; step < steps; step++) {
      const next = () => ({
        image: { dtype: 'float32' as const, dims: [batch, 3, 16, 16], data: image },
        target: targetFeed([0, 1, 2, 3, 0, 1, 2, 3], 4),
        ...drawMasks(training.masks, random.child('masks', step)),
      });
      const { learningRate } = recipe;
      const updated = await updater.update(vectors, { next, learningRate, update: step + 1 });
      ({ vectors } = updated);
      losses.push(updated.loss);
    }
    // Ones packed: 0 exactly where there is padding.
    const ones = flat.parameters.map(({ parameter, pack }) =>
      pack(new Float32Array(parameter.shape.reduce((product, extent) => product * extent, 1)).fill(1)),
    );
    const isUsed = Float32Array.from(ones.flatMap((values) => [...values]));
    const padding = (vector: Float32Array) => vector.filter((_, index) => isUsed[index] === 0);
    const weights = unpackParameters(flat, vectors[stepNames.parameters] as Float32Array);
    return { losses, vectors, padding, weights };
  } finally {
    await updater.close();
  }
}

/** ONNX nodes of a step of the blocked lowering, of a network of so many blocks. */
function blockedNodes(repeats: number): number {
  const activation = 'silu';
  const stage = { operator: 'mbconv', kernel: 3, stride: 1, expansion: 4, width: 24, squeezeExcite: 0.25, activation };
  const stem = { kernel: 3, stride: 1, width: 16, activation };
  const stages = [{ ...stage, repeats }];
  const spec = parseNetworkSpec({ input: { resolution: 16 }, classes: 4, stem, stages, head: { width: 32 } }, 'long');
  const loss = { kind: 'softmax-cross-entropy', labelSmoothing: 0.1, targets: 'target' } as const;
  return lowerGradients(differentiate(buildNetwork(spec, 64), loss), blockedLowering(16)).model.nodes.length;
}

describe('the blocked step', () => {
  it('takes less than 260 nodes a block with squeeze-and-excite: each is paid for whenever a training starts', () =>
    expect(blockedNodes(4) - blockedNodes(3)).toBeLessThan(260));
});

describe.skipIf(blocked === undefined)('training by the blocked lowering', () => {
  // Kinks let rounding grow: a unit that is on in one and off in the other.
  it.each([
    ['silu', 1e-3],
    ['hard-swish', 1e-2],
    ['relu', 1e-2],
  ] as const)('follows the plain one for 20 steps with %s', async (activation, bound) => {
    const expected = await train(network(activation), plainLowering, {}, 20);
    const actual = await train(network(activation), lowering, {}, 20);
    actual.losses.forEach((loss, step) =>
      expect(Math.abs(loss - (expected.losses[step] as number)), `step ${step}`).toBeLessThan(bound),
    );
    expect(actual.losses.at(-1)).toBeLessThan(0.9 * (actual.losses[0] as number));
  });

  it.each([
    { optimizer: 'sgd-momentum', nesterov: true, clipNorm: 1 },
    { optimizer: 'rmsprop' },
    { optimizer: 'adamw', learningRate: 0.002 },
  ] as const)('keeps padding exactly 0 through 50 steps of $optimizer', async (settings) => {
    const { vectors, padding } = await train(network('silu'), lowering, settings, 50);
    for (const [name, vector] of Object.entries(vectors)) {
      const values = padding(vector);
      expect(values.length).toBeGreaterThan(1000);
      // RMSprop's mean square starts at 1 and decays.
      if (name !== 'mean-square') expect(values.every((value) => value === 0)).toBe(true);
      expect(vector.every(Number.isFinite)).toBe(true);
    }
  });

  it('gives the plain lowering’s running statistics', async () => {
    const graph = buildNetwork(network('silu'), 8);
    const weights = initialWeights(graph, new Random(1));
    const random = new Random('statistics');
    const image = Float32Array.from({ length: 8 * 3 * 16 * 16 }, () => random.normal());
    const batches = [{ image: { dtype: 'float32' as const, shape: [8, 3, 16, 16], data: image } }];
    const [expected, actual] = await Promise.all(
      [plainLowering, lowering].map((by) =>
        estimateRunningStatistics(accelerator, graph, weights, batches, { threads: 1, lowering: by }),
      ),
    );
    expect(actual?.size).toBe(expected?.size);
    const { error, worst } = largestDistance(expected as never, actual as never);
    expect(error, worst).toBeLessThan(tolerance);
  });
});
