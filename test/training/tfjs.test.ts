import { beforeAll, describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import type { Graph, Weights } from '../../models/graph.ts';
import { initialWeights } from '../../models/initialise.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { differentiate } from '../../training/differentiate.ts';
import { packParameters } from '../../training/flat-parameters.ts';
import type { Lowering } from '../../training/lowering.ts';
import { optimizerSlots } from '../../training/optimizer.ts';
import { lowerTrainingStep } from '../../training/step.ts';
import { stepNames } from '../../training/step-names.ts';
import { draw, largestDistance, loweredGradients, lowerings, targetFeed, TestGraph } from './graphs.ts';
import { kinks, referenceForward, type Tensor64 } from './reference.ts';
import { tfjsGradients, tfjsLossCurve, tfjsForward } from './tfjs-oracle.ts';

const batch = 4;
const classes = 3;
/** Batches of an epoch, and epochs. */
const [batchesAnEpoch, epochs] = [5, 4];
const labelSmoothing = 0.1;
const loss = { kind: 'softmax-cross-entropy', labelSmoothing, targets: 'target' } as const;
const learningRate = 0.05;
const momentum = 0.9;

/** Relative L2 distance: both sides are float32, and batch norms over few values multiply its roundings. */
const gradientTolerance = 2e-5;
/**
 * Relative, of every step's loss. Rounding alone stays near 1e-6; once it puts an input on the other side of a
 * kink, one element of some thousand has another gradient.
 */
const curveTolerance = { smooth: 1e-5, kinked: 1e-3 };

const common = { input: { channels: 3, resolution: 8 }, classes };
const head = (activation: string) => ({ width: 8, activation, dropout: 0.2 });
const inverted = { kernel: 3, stride: 1, expansion: 2, width: 6, repeats: 1 };
const residual = { kernel: 3, stride: 2, width: 8, repeats: 2 };

/** Every family of operators, in networks of about ten convolutions. */
const networks: Readonly<Record<string, unknown>> = {
  'MBConv, squeeze-excite, SiLU, dropout and stochastic depth': {
    stem: { kernel: 3, stride: 2, width: 6, activation: 'silu' },
    stages: [
      { operator: 'mbconv', ...inverted, repeats: 2, squeezeExcite: 0.5, activation: 'silu' },
      { operator: 'mbconv', ...inverted, kernel: 5, stride: 2, width: 8, squeezeExcite: 0.25, activation: 'silu' },
    ],
    head: head('silu'),
    survival: 0.6,
  },
  'fused MBConv with ReLU6': {
    stem: { kernel: 3, stride: 1, width: 4, activation: 'relu6' },
    stages: [
      { operator: 'fused-mbconv', ...inverted, width: 4, activation: 'relu6' },
      { operator: 'fused-mbconv', ...inverted, stride: 2, repeats: 2, activation: 'relu6' },
    ],
    head: head('relu6'),
    survival: 0.8,
  },
  'hard-swish and gates of hard-sigmoid': {
    stem: { kernel: 3, stride: 2, width: 6, activation: 'hard-swish' },
    stages: [
      {
        operator: 'mbconv',
        ...inverted,
        repeats: 2,
        squeezeExcite: { ratio: 0.5, of: 'expanded', multiple: 2, activation: 'relu', gate: 'hard-sigmoid' },
        activation: 'hard-swish',
      },
    ],
    head: { ...head('hard-swish'), hidden: 10 },
  },
  'residual blocks after a max-pool': {
    stem: { kernel: 3, stride: 1, width: 6, activation: 'relu', maxPool: { kernel: 3, stride: 2 } },
    stages: [
      { operator: 'basic', ...residual, activation: 'relu' },
      { operator: 'bottleneck', ...residual, stride: 1, repeats: 1, activation: 'relu' },
    ],
    head: { width: 0 },
  },
  'grouped bottlenecks with average-pooled shortcuts': {
    stem: { kernel: 3, stride: 1, width: 6, activation: 'relu' },
    stages: [
      {
        operator: 'bottleneck',
        ...residual,
        bottleneckRatio: 1,
        groupWidth: 4,
        squeezeExcite: 0.25,
        shortcut: 'average-pool',
        activation: 'relu',
      },
    ],
    head: { width: 0 },
  },
  'dilated convolutions': {
    stem: { kernel: 3, stride: 2, width: 4, activation: 'silu' },
    stages: [
      { operator: 'mbconv', ...inverted, dilation: 2, activation: 'silu' },
      { operator: 'fused-mbconv', ...inverted, dilation: 2, activation: 'silu' },
      { operator: 'bottleneck', ...residual, stride: 1, dilation: 3, bottleneckRatio: 1, groupWidth: 2 },
    ],
    head: head('silu'),
  },
  'space to depth, learned and not, and means beside maxima': {
    stem: { kernel: 3, stride: 1, width: 4, activation: 'silu', spaceToDepth: 2 },
    stages: [
      { operator: 'mbconv', ...inverted, width: 4, learnedSpaceToDepth: true, activation: 'silu' },
      { operator: 'mbconv', ...inverted, stride: 2, expansion: 4, activation: 'silu' },
    ],
    head: { ...head('silu'), pooling: 'average-max' },
  },
};

interface Batch {
  readonly values: ReadonlyMap<string, Tensor64>;
  readonly labels: readonly number[];
}

function filled(shape: readonly number[], value: (index: number) => number): Tensor64 {
  const length = shape.reduce((product, extent) => product * extent, 1);
  return { shape, data: Float64Array.from(Float32Array.from({ length }, (_, index) => value(index))) };
}

/** Noise over a pattern of each class's own, and masks: something to learn. */
function drawBatches(graph: Graph, random: Random): Batch[] {
  const training = differentiate(graph, loss);
  const pixels = 3 * 8 * 8;
  const patterns = Array.from({ length: classes }, () => Float32Array.from({ length: pixels }, () => random.normal()));
  return Array.from({ length: batchesAnEpoch }, () => {
    const labels = Array.from({ length: batch }, () => random.integer(classes));
    const image = filled([batch, 3, 8, 8], (index) => {
      const pattern = patterns[labels[Math.floor(index / pixels)] as number] as Float32Array;
      return (pattern[index % pixels] as number) + random.normal();
    });
    const masks = training.masks.map(({ name, shape, rate }) => {
      return [name, filled(shape, () => (random.uniform() < rate ? 0 : 1 / (1 - rate)))] as const;
    });
    return { values: new Map([['image', image], ...masks]), labels };
  });
}

const plainValues = (values: ReadonlyMap<string, Tensor64>) =>
  new Map([...values].map(([name, { data }]) => [name, data]));

const oneHot = (labels: readonly number[]) => targetFeed(labels, classes).data as Float32Array;

const tensor = (data: Float32Array, dims: readonly number[] = [data.length]) =>
  ({ dtype: 'float32', dims: [...dims], data }) as const;

/** Loss of every step of the lowered training step, its outputs fed to the next. */
async function lossCurve(graph: Graph, weights: Weights, batches: readonly Batch[], lowering: Lowering) {
  const settings = { optimizer: 'sgd-momentum', momentum, weightDecay: 0 } as const;
  const { model, flat } = lowerTrainingStep(differentiate(graph, loss), settings, lowering);
  const [velocity] = optimizerSlots['sgd-momentum'];
  let [parameters, velocities] = [packParameters(flat, weights), new Float32Array(flat.length)];
  const losses: number[] = [];
  const session = await onnxRuntimeAccelerator('cpu').open(encodeOnnx(model), { threads: 1, optimization: 'disabled' });
  for (const { values, labels } of batches) {
    const given = [...values].map(([name, { data, shape }]) => [name, tensor(Float32Array.from(data), shape)]);
    const outputs = await session.run({
      ...Object.fromEntries(given),
      [loss.targets]: targetFeed(labels, classes),
      [stepNames.parameters]: tensor(parameters),
      [velocity.name]: tensor(velocities),
      [stepNames.learningRate]: tensor(Float32Array.of(learningRate), []),
    });
    losses.push(outputs[stepNames.loss]?.data[0] as number);
    const updated = (name: string) => Float32Array.from(outputs[stepNames.updated(name)]?.data as Float32Array);
    [parameters, velocities] = [updated(stepNames.parameters), updated(velocity.name)];
  }
  await session.close();
  return losses;
}

describe.each(Object.entries(networks))('%s', (name, spec) => {
  const graph = buildNetwork(parseNetworkSpec({ ...common, ...(spec as object) }, name), batch);
  const random = new Random(name);
  const weights = initialWeights(graph, random);
  const epoch = drawBatches(graph, random);
  const batches = Array.from({ length: epochs }, () => epoch).flat();
  const [{ values, labels }] = epoch as [Batch];
  const stored = graph.parameters.map(({ name, shape }) => {
    return [name, { shape, data: Float64Array.from(weights.get(name) ?? []) }] as const;
  });
  const drawn = { values: new Map([...values, ...stored]), loss: { labels, classes, labelSmoothing } };
  let expected: ReturnType<typeof tfjsGradients>;
  let expectedCurve: number[];
  beforeAll(() => {
    const first = { targets: oneHot(labels), labelSmoothing };
    expected = tfjsGradients(graph, plainValues(drawn.values), first);
    const fed = batches.map(({ values, labels }) => ({ values: plainValues(values), targets: oneHot(labels) }));
    expectedCurve = tfjsLossCurve(graph, weights, fed, { learningRate, momentum, labelSmoothing });
  });

  it('has one meaning in TensorFlow.js and in the double-precision reference', () => {
    const [logits] = graph.outputs as [string];
    const reference = referenceForward(graph, drawn.values).get(logits)?.data as Float64Array;
    tfjsForward(graph, plainValues(drawn.values))
      .get(logits)
      ?.forEach((value, index) => expect(value).toBeCloseTo(reference[index] as number, 4));
    expect.assertions(reference.length);
  });

  it.each(lowerings)('has the loss and gradients of TensorFlow.js, lowered $id', async (lowering) => {
    const actual = await loweredGradients(graph, drawn, lowering);
    const { error, worst } = largestDistance(expected.gradients, actual.gradients);
    expect(Math.abs(actual.loss / expected.loss - 1)).toBeLessThan(1e-6);
    expect(error, worst).toBeLessThan(gradientTolerance);
  });

  it.each(lowerings)('follows its loss curve under SGD with momentum, lowered $id', async (lowering) => {
    const [start, end] = [expectedCurve.slice(0, batchesAnEpoch), expectedCurve.slice(-batchesAnEpoch)];
    expect(average(end)).toBeLessThan(0.9 * average(start));

    const curve = await lossCurve(graph, weights, batches, lowering);
    const distances = curve.map((value, step) => Math.abs(value / (expectedCurve[step] as number) - 1));
    const hasKinks = graph.nodes.some(({ op }) => op === 'max-pool' || op in kinks);
    expect(Math.max(...distances)).toBeLessThan(hasKinks ? curveTolerance.kinked : curveTolerance.smooth);
  });
});

const average = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

it.each(lowerings)('max-pool breaks ties as TensorFlow.js does, lowered $id', async (lowering) => {
  const random = new Random('ties');
  const test = new TestGraph(4, 2, 5, 5);
  const mapped = test.conv('image', { width: 3, kernel: 1 });
  const graph = test.classify(test.windowPool('max-pool', mapped, { kernel: 3, stride: 2 }), classes);
  const drawn = draw(graph, random);
  // Whole numbers of a small range: most windows have their largest value more than once.
  for (const name of ['image', 'w0']) {
    const tensor = drawn.values.get(name) as Tensor64;
    drawn.values.set(name, { ...tensor, data: tensor.data.map(() => random.integer(3) - 1) });
  }
  const targets = oneHot(drawn.loss.labels);
  const expected = tfjsGradients(graph, plainValues(drawn.values), { targets, labelSmoothing });
  const { gradients } = await loweredGradients(graph, drawn, lowering);
  const { error, worst } = largestDistance(expected.gradients, gradients);
  expect(error, worst).toBeLessThan(gradientTolerance);
});
