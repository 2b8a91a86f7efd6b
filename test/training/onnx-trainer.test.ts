import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { InterruptedError } from '../../core/errors.ts';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import type { Graph, Weights } from '../../models/graph.ts';
import { initialWeights } from '../../models/initialise.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { chooseLowering } from '../../training/choose-lowering.ts';
import { onnxTrainer } from '../../training/onnx-trainer.ts';
import { defaultRecipe, microBatchSize } from '../../training/recipe.ts';
import { estimateRunningStatistics } from '../../training/running-statistics.ts';
import type { Batch, CurvePoint, Recipe, TrainingRequest, TrainingResult } from '../../training/trainer.ts';
import { trains } from '../../training/training-graph.ts';
import { TestGraph } from './graphs.ts';
import { exampleByExample, stripesTask, syntheticClasses } from './synthetic-task.ts';

const spec = parseNetworkSpec(
  {
    input: { channels: 1, resolution: 8 },
    classes: syntheticClasses,
    stem: { kernel: 3, stride: 1, width: 8 },
    stages: [{ operator: 'mbconv', kernel: 3, stride: 2, expansion: 2, width: 8, repeats: 2, squeezeExcite: 0.25 }],
    head: { width: 16, dropout: 0.1 },
    survival: 0.9,
  },
  'test network',
);

function request(overrides: Partial<TrainingRequest> = {}, recipe: Partial<Recipe> = {}): TrainingRequest {
  const full = defaultRecipe({ batchSize: 16, ...recipe });
  const graph = buildNetwork(spec, microBatchSize(full));
  return { graph, task: stripesTask(), recipe: full, examples: 1600, seed: 1, threads: 1, ...overrides };
}

type Trained = Extract<TrainingResult, { status: 'trained' }>;
function trained(result: TrainingResult): Trained {
  expect(result.status).toBe('trained');
  return result as Trained;
}

/** A network without batch norm. */
function unnormalised(batch: number): Graph {
  const test = new TestGraph(batch, 1, 8, 8);
  const features = test.conv('image', { width: 6, kernel: 3, bias: true });
  return test.classify(test.add('relu', [features], {}), syntheticClasses);
}

const weightsOf = async (seed: number) => trained(await onnxTrainer.train(request({ seed, examples: 320 }))).weights;

describe('the ONNX trainer', () => {
  it.each([
    ['SGD with momentum', {}],
    ['Nesterov momentum', { nesterov: true }],
    ['AdamW', { optimizer: 'adamw', learningRate: 0.01 }],
    ['RMSprop', { optimizer: 'rmsprop', learningRate: 0.01 }],
    ['a moving average', { emaDecay: 0.9999 }],
    [
      'clipped gradients and a warm-up, a plateau and a decay',
      {
        clipNorm: 1,
        schedule: { kind: 'warmup-stable-decay', decay: 0.4, shape: '1-sqrt' },
      },
    ],
    ['two micro-batches an update', { microBatches: 2 }],
  ] as [string, Partial<Recipe>][])('learns a separable task with %s', async (_name, recipe) => {
    const { metrics, curve } = trained(await onnxTrainer.train(request({}, recipe)));
    expect(metrics['accuracy']).toBeGreaterThan(0.9);
    expect(metrics['crossEntropy']).toBeLessThan(0.5);
    expect(curve.at(-1)?.loss).toBeLessThan((curve[0]?.loss as number) / 1.5);
  });

  it('gives bit-equal weights for equal requests, and others for another seed', async () => {
    const [first, again, other] = [await weightsOf(1), await weightsOf(1), await weightsOf(2)];
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
  });

  it('returns every parameter, running statistics re-estimated', async () => {
    const { graph } = request();
    const { weights } = trained(await onnxTrainer.train(request({ examples: 160 })));
    expect([...weights.keys()].toSorted()).toEqual(graph.parameters.map(({ name }) => name).toSorted());
    for (const { name, role } of graph.parameters)
      if (role === 'running-variance') expect(weights.get(name)?.every((value) => value === 1)).toBe(false);
  });

  it('starts from given weights', async () => {
    const long = trained(await onnxTrainer.train(request()));
    const gentle = { learningRate: 1e-4 };
    const continued = trained(await onnxTrainer.train(request({ examples: 160, weights: long.weights }, gentle)));
    const fresh = trained(await onnxTrainer.train(request({ examples: 160 }, gentle)));
    expect(continued.metrics['crossEntropy']).toBeLessThan((fresh.metrics['crossEntropy'] as number) / 2);
  });

  it('reports examples in whole batches, step times, FLOPs, and a curve as it grows', async () => {
    const points: CurvePoint[] = [];
    const full = request({ examples: 1590, onProgress: (point) => points.push(point) });
    const { cost, curve } = trained(await onnxTrainer.train(full));
    expect(cost.examples).toBe(1600);
    expect(cost.flops).toBe(6 * countGraph(full.graph).macs * 1600);
    expect(cost.imagesPerS).toBeCloseTo((16 / (cost.stepMs as number)) * 1000);
    expect(cost.trainS).toBeGreaterThan(((cost.stepMs as number) * 100) / 2000);
    expect(cost.peakRssBytes).toBeGreaterThan(1e6);
    expect(points).toEqual(curve);
    expect(curve.length).toBeGreaterThanOrEqual(20);
    expect(curve.length).toBeLessThanOrEqual(40);
    expect(curve.at(-1)?.examples).toBe(1600);
  });

  it('averages the weights a run passes through, and estimates statistics for the average', async () => {
    const updates = 6;
    // At a constant rate shorter runs are beginnings of longer ones.
    const constant = { schedule: { kind: 'constant' }, warmup: 0 } as const;
    const path: Weights[] = [];
    for (let update = 1; update <= updates; update++)
      path.push(trained(await onnxTrainer.train(request({ examples: 16 * update }, constant))).weights);
    const full = request({ examples: 16 * updates }, { ...constant, emaDecay: 0.3 });
    const { weights } = trained(await onnxTrainer.train(full));

    const start = initialWeights(full.graph, new Random(full.seed).child('weights'));
    for (const { name } of full.graph.parameters.filter(trains)) {
      let average = Float64Array.from(start.get(name) as Float32Array);
      path.forEach((point, index) => {
        const share = Math.min(0.3, (index + 2) / (index + 11));
        average = average.map((old, at) => share * old + (1 - share) * (point.get(name)?.[at] as number));
      });
      const errors = average.map((value, index) => Math.abs(value - (weights.get(name)?.[index] as number)));
      expect(Math.max(...errors), name).toBeLessThan(1e-6);
    }
    const batches = full.task.trainingBatches(16, full.seed, 16 * updates);
    const following = Array.from({ length: updates }, () => (batches.next() as IteratorYieldResult<Batch>).value);
    const cpu = onnxRuntimeAccelerator('cpu');
    const { lowering } = await chooseLowering(cpu);
    const means = { threads: 1, lowering };
    const statistics = await estimateRunningStatistics(cpu, full.graph, weights, following, means);
    expect(statistics.size).toBeGreaterThan(0);
    for (const [name, values] of statistics) {
      expect(weights.get(name)).toEqual(values);
      expect(path.at(-1)?.get(name)).not.toEqual(values);
    }
  });

  it('moves as by one large batch when micro-batches are accumulated and nothing is normalised', async () => {
    const task = exampleByExample(stripesTask());
    const recipe = { learningRate: 0.05, clipNorm: 0.4 };
    const whole = trained(
      await onnxTrainer.train({ ...request({ task, examples: 320 }, recipe), graph: unnormalised(16) }),
    );
    const parts = request({ task, examples: 320 }, { ...recipe, microBatches: 4 });
    const accumulated = trained(await onnxTrainer.train({ ...parts, graph: unnormalised(4) }));
    for (const [name, values] of whole.weights) {
      const errors = values.map((value, index) => Math.abs(value - (accumulated.weights.get(name)?.[index] as number)));
      expect(Math.max(...errors), name).toBeLessThan(1e-5);
    }
    accumulated.curve.forEach((point, index) => {
      expect(point.accuracy).toBe(whole.curve[index]?.accuracy);
      expect(point.loss).toBeCloseTo(whole.curve[index]?.loss as number, 5);
      expect(point.gradientNorm).toBeCloseTo(whole.curve[index]?.gradientNorm as number, 4);
    });
    expect(accumulated.cost.examples).toBe(320);
  });

  it('moves no further than the clipped gradient allows, and reports the norm before clipping', async () => {
    const step = { momentum: 0, weightDecay: 0, learningRate: 1, warmup: 0 };
    const full = request({ examples: 16 }, { ...step, clipNorm: 0.01 });
    const start = initialWeights(full.graph, new Random(full.seed).child('weights'));
    const { weights, curve } = trained(await onnxTrainer.train(full));
    const distance = (to: Weights) => {
      const differences = full.graph.parameters.filter(trains).flatMap(({ name }) => {
        return Array.from(start.get(name) as Float32Array, (value, index) => value - (to.get(name)?.[index] as number));
      });
      return Math.hypot(...differences);
    };
    expect(distance(weights)).toBeCloseTo(0.01, 6);
    const free = trained(await onnxTrainer.train(request({ examples: 16 }, { ...step, clipNorm: 1e6 })));
    expect(curve[0]?.gradientNorm).toBeCloseTo(distance(free.weights), 4);
  });

  it('refuses a graph of another batch than the recipe runs at once', async () => {
    const wrong = { ...request({}, { microBatches: 2 }), graph: buildNetwork(spec, 16) };
    await expect(onnxTrainer.train(wrong)).rejects.toThrow(/expected a graph of the recipe's batch of 8, got 16/);
  });

  it('ends as diverged when the learning rate is absurd', async () => {
    const result = await onnxTrainer.train(request({ examples: 8000 }, { learningRate: 1e6, warmup: 0 }));
    expect(result.status).toBe('diverged');
    if (result.status === 'diverged') expect(result.atExamples).toBeLessThan(8000);
  });

  it('stops between two steps when aborted', async () => {
    const controller = new AbortController();
    let seen = 0;
    const onProgress = ({ examples }: CurvePoint) => {
      seen = examples;
      if (examples >= 320) controller.abort();
    };
    const running = onnxTrainer.train(request({ examples: 160_000, signal: controller.signal, onProgress }));
    await expect(running).rejects.toThrow(InterruptedError);
    expect(seen).toBeLessThan(160_000);
  });
});
