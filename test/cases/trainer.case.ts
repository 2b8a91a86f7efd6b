import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { InterruptedError } from '../../core/errors.ts';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import type { Graph, Weights } from '../../models/graph.ts';
import { growthBetween } from '../../models/growth.ts';
import { initialWeights } from '../../models/initialise.ts';
import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';
import { defaultRecipe, microBatchSize } from '../../training/recipe.ts';
import type {
  CurvePoint,
  Recipe,
  Trainer,
  TrainingRequest,
  TrainingResult,
  TrainingStage,
} from '../../training/trainer.ts';
import { trains } from '../../training/training-graph.ts';
import { TestGraph } from '../training/graphs.ts';
import { beforeBatch, exampleByExample, stripesTask, syntheticClasses } from '../training/synthetic-task.ts';
import { fileFolder } from './file-folder.ts';

/** A network of every kind of block's parts that plain JavaScript trains in milliseconds. */
export const smallSpec: NetworkSpec = parseNetworkSpec(
  {
    input: { channels: 1, resolution: 8 },
    classes: syntheticClasses,
    stem: { kernel: 3, stride: 2, width: 4 },
    stages: [{ operator: 'mbconv', kernel: 3, stride: 1, expansion: 1, width: 4, repeats: 1, squeezeExcite: 0.25 }],
    head: { width: 0, dropout: 0.2 },
    survival: 0.8,
  },
  'test network',
);
const batchSize = 8;
/** Few enough that every update is a point of the curve. */
const updates = 24;

/** Some two dozen updates of a network so small that plain JavaScript trains it in a second. */
export function smallRequest(recipe: Partial<Recipe> = {}, overrides: Partial<TrainingRequest> = {}): TrainingRequest {
  const full = defaultRecipe({ batchSize, ...recipe });
  const graph = buildNetwork(smallSpec, microBatchSize(full));
  const examples = batchSize * updates;
  return { graph, task: stripesTask(24), recipe: full, examples, seed: 3, threads: 1, ...overrides };
}

/** Of each of two stages. */
const growingUpdates = 6;

/** The small network with so many times its channels and blocks. */
function multiple(factor: number): NetworkSpec {
  const { stem, stages } = smallSpec;
  return {
    ...smallSpec,
    stem: { ...stem, width: factor * stem.width },
    stages: stages.map((stage) => ({ ...stage, width: factor * stage.width, repeats: factor * stage.repeats })),
  };
}

/** A training by AdamW whose second stage has twice the channels and blocks of the first. */
function growingRequest(
  overrides: Partial<Recipe> = {},
): TrainingRequest & { readonly stages: readonly TrainingStage[] } {
  const request = smallRequest({ optimizer: 'adamw', ...overrides }, { examples: 2 * growingUpdates * batchSize });
  const { task, recipe, threads } = request;
  const stages = [1, 2].map((factor) => {
    return { graph: buildNetwork(multiple(factor), batchSize), task, recipe, threads, updates: growingUpdates };
  });
  return { ...request, graph: buildNetwork(multiple(2), batchSize), stages };
}

/** A training that must not have diverged. */
export function trained(result: TrainingResult): Extract<TrainingResult, { status: 'trained' }> {
  if (result.status !== 'trained') throw new Error(`expected a trained network, got one that ${result.status}`);
  return result;
}

/** What a run is, without how long it took. */
function content(result: TrainingResult): object {
  const { cost, ...rest } = result;
  return { ...rest, examples: cost.examples };
}

/** A network without batch norm. */
function unnormalised(batch: number): Graph {
  const test = new TestGraph(batch, 1, 8, 8);
  const features = test.conv('image', { width: 4, kernel: 3, stride: 2, bias: true });
  return test.classify(test.add('relu', [features], {}), syntheticClasses);
}

/** What every trainer promises (training/trainer.ts), whatever computes its steps. */
export function describeTrainer(name: string, trainer: Trainer): void {
  const weightsOf = async (seed: number) => {
    return trained(await trainer.train(smallRequest({}, { seed, examples: batchSize * 6 }))).weights;
  };

  describe(`${name} is a trainer`, () => {
    test('learns a separable task', async () => {
      const { metrics, curve } = trained(await trainer.train(smallRequest({}, { examples: batchSize * 75 })));
      expect(metrics['accuracy']).toBeGreaterThan(0.9);
      expect(metrics['crossEntropy']).toBeLessThan(0.6);
      expect(curve.at(-1)?.loss).toBeLessThan((curve[0]?.loss as number) / 1.3);
    });

    test('gives bit-equal weights for equal requests, and others for another seed', async () => {
      const [first, again, other] = [await weightsOf(1), await weightsOf(1), await weightsOf(2)];
      expect(again).toEqual(first);
      expect(other).not.toEqual(first);
    });

    test('returns every parameter, running statistics re-estimated', async () => {
      const { graph } = smallRequest();
      const weights = await weightsOf(1);
      expect([...weights.keys()].toSorted()).toEqual(graph.parameters.map(({ name }) => name).toSorted());
      for (const { name, role } of graph.parameters)
        if (role === 'running-variance') expect(weights.get(name)?.every((value) => value === 1)).toBe(false);
    });

    test('starts from given weights', async () => {
      const still = { learningRate: Number.MIN_VALUE }; // 0 in single precision.
      const { graph } = smallRequest();
      const given = initialWeights(graph, new Random('given'));
      const { weights } = trained(await trainer.train(smallRequest(still, { examples: batchSize, weights: given })));
      for (const { name } of graph.parameters.filter(trains)) expect(weights.get(name), name).toEqual(given.get(name));
    });

    test('reports examples in whole batches, step times, FLOPs, and a curve as it grows', async () => {
      const points: CurvePoint[] = [];
      const full = smallRequest({}, { examples: batchSize * updates - 3, onProgress: (point) => points.push(point) });
      const { cost, curve } = trained(await trainer.train(full));
      const examples = batchSize * updates;
      expect(cost.examples).toBe(examples);
      expect(cost.flops).toBe(6 * countGraph(full.graph).macs * examples);
      expect(cost.imagesPerS).toBeCloseTo((batchSize / (cost.stepMs as number)) * 1000);
      expect(cost.trainS).toBeGreaterThan(((cost.stepMs as number) * updates) / 2000);
      expect(cost.peakRssBytes).toBeGreaterThan(1e6);
      expect(points).toEqual(curve);
      expect(curve.map((point) => point.examples)).toEqual(
        Array.from({ length: updates }, (_, index) => batchSize * (index + 1)),
      );
    });

    test('moves as by one large batch when micro-batches are accumulated and nothing is normalised', async () => {
      const task = exampleByExample(stripesTask(24));
      const recipe = { learningRate: 0.05, clipNorm: 0.4 };
      const whole = trained(await trainer.train({ ...smallRequest(recipe, { task }), graph: unnormalised(8) }));
      const parts = smallRequest({ ...recipe, microBatches: 4 }, { task });
      const accumulated = trained(await trainer.train({ ...parts, graph: unnormalised(2) }));
      for (const [name, values] of whole.weights) {
        const errors = values.map((value, index) =>
          Math.abs(value - (accumulated.weights.get(name)?.[index] as number)),
        );
        expect(Math.max(...errors), name).toBeLessThan(1e-5);
      }
      accumulated.curve.forEach((point, index) => {
        expect(point.accuracy).toBe(whole.curve[index]?.accuracy);
        expect(point.loss).toBeCloseTo(whole.curve[index]?.loss as number, 5);
        expect(point.gradientNorm).toBeCloseTo(whole.curve[index]?.gradientNorm as number, 4);
      });
      expect(accumulated.cost.examples).toBe(batchSize * updates);
    });

    test('moves no further than the clipped gradient allows, and reports the norm before clipping', async () => {
      const step = { momentum: 0, weightDecay: 0, learningRate: 1, warmup: 0 };
      const full = smallRequest({ ...step, clipNorm: 0.01 }, { examples: batchSize });
      const start = initialWeights(full.graph, new Random(full.seed).child('weights'));
      const { weights, curve } = trained(await trainer.train(full));
      const distance = (to: Weights) => {
        const differences = full.graph.parameters.filter(trains).flatMap(({ name }) => {
          return Array.from(
            start.get(name) as Float32Array,
            (value, index) => value - (to.get(name)?.[index] as number),
          );
        });
        return Math.hypot(...differences);
      };
      expect(distance(weights)).toBeCloseTo(0.01, 6);
      const free = await trainer.train(smallRequest({ ...step, clipNorm: 1e6 }, { examples: batchSize }));
      expect(curve[0]?.gradientNorm).toBeCloseTo(distance(trained(free).weights), 4);
    });

    test('refuses a graph of another batch than the recipe runs at once', async () => {
      const wrong = { ...smallRequest({ microBatches: 2 }), graph: buildNetwork(smallSpec, 8) };
      await expect(trainer.train(wrong)).rejects.toThrow(/expected a graph of the recipe's batch of 4, got 8/);
    });

    test('ends as diverged when the learning rate is absurd', async () => {
      const examples = batchSize * 1000;
      const result = await trainer.train(smallRequest({ learningRate: 1e6, warmup: 0 }, { examples }));
      expect(result.status).toBe('diverged');
      if (result.status === 'diverged') expect(result.atExamples).toBeLessThan(examples);
    });

    test('stops between two updates when aborted', async () => {
      const controller = new AbortController();
      const seen: number[] = [];
      const task = beforeBatch(stripesTask(24), 2, () => controller.abort());
      const onProgress = ({ examples }: CurvePoint) => seen.push(examples);
      const running = trainer.train(smallRequest({}, { task, signal: controller.signal, onProgress }));
      await expect(running).rejects.toThrow(InterruptedError);
      await expect(running).rejects.toThrow(`interrupted after ${batchSize * 3} examples`);
      expect(seen).toEqual([batchSize, batchSize * 2, batchSize * 3]);
    });

    test('hears of events while it trains', async () => {
      const controller = new AbortController();
      const task = beforeBatch(stripesTask(24), 1, () => setImmediate(() => controller.abort()));
      const endless = smallRequest({}, { task, examples: batchSize * 1e6, signal: controller.signal });
      await expect(trainer.train(endless)).rejects.toThrow(InterruptedError);
    });

    test('grows a network between two stages, resumed bit for bit on either side', async () => {
      const request = growingRequest({ emaDecay: 0.9 });
      const uninterrupted = trained(await trainer.train(request));
      expect([...uninterrupted.weights.keys()].toSorted()).toEqual(
        request.graph.parameters.map(({ name }) => name).toSorted(),
      );
      const { curve, cost } = uninterrupted;
      const [before, after] = [curve[growingUpdates - 1]?.loss as number, curve[growingUpdates]?.loss as number];
      expect(Math.abs(after - before)).toBeLessThan(0.3 * before);
      const [small, large] = request.stages.map(({ graph }) => countGraph(graph).macs) as [number, number];
      expect(cost.flops).toBe(6 * (small + large) * batchSize * growingUpdates);
      const checkpoint = { file: join(fileFolder(), 'checkpoint'), task: { data: 'stripes' } };
      for (const stop of [growingUpdates - 2, growingUpdates, growingUpdates + 2]) {
        const controller = new AbortController();
        const task = beforeBatch(request.task, stop, () => controller.abort());
        const stages = request.stages.map((stage) => ({ ...stage, task }));
        const running = trainer.train({ ...request, stages, checkpoint, signal: controller.signal });
        await expect(running).rejects.toThrow(InterruptedError);
      }
      expect(content(await trainer.train({ ...request, checkpoint }))).toEqual(content(uninterrupted));
    });

    test('takes AdamW’s first step in new parameters as long as at the start of a run', async () => {
      const learningRate = 0.004;
      const request = growingRequest({ learningRate, warmup: 0, schedule: { kind: 'constant' } });
      const [first, second] = request.stages as [TrainingStage, TrainingStage];
      const { weights } = trained(await trainer.train({ ...request, stages: [first, { ...second, updates: 1 }] }));
      const { parameters } = growthBetween(first.graph, second.graph);
      const fromZero = second.graph.parameters.filter(
        (parameter) => trains(parameter) && parameters.get(parameter.name) === 'zero',
      );
      expect(fromZero.length).toBeGreaterThan(0);
      for (const { name } of fromZero)
        for (const value of weights.get(name) as Float32Array)
          expect(Math.abs(value) / learningRate, name).toBeCloseTo(1, 3);
    });

    test.each([
      ['SGD with momentum', {}],
      ['AdamW, averaged', { optimizer: 'adamw', emaDecay: 0.99 }],
      ['RMSprop on micro-batches, clipped', { optimizer: 'rmsprop', microBatches: 2, clipNorm: 1 }],
    ] as [string, Partial<Recipe>][])(
      'interrupted and resumed ends bit for bit as if nothing had happened (%s)',
      async (title, recipe) => {
        const request = smallRequest(recipe);
        const uninterrupted = await trainer.train(request);
        const random = new Random(title);
        const perUpdate = recipe.microBatches ?? 1;
        // Anywhere in the run, the second time near its end, the third in the statistics after it.
        const stops = [1 + random.integer(updates - 5), updates - 1 - random.integer(3), updates + random.integer(4)];
        const notices: string[] = [];
        const checkpoint = { file: join(fileFolder(), 'checkpoint'), task: { data: 'stripes' } };
        for (const stop of stops) {
          const controller = new AbortController();
          const task = beforeBatch(request.task, stop * perUpdate, () => controller.abort());
          const running = trainer.train({ ...request, task, checkpoint, signal: controller.signal });
          await expect(running).rejects.toThrow(InterruptedError);
        }
        const resumed = await trainer.train({ ...request, checkpoint, onNotice: (text) => notices.push(text) });
        expect(content(resumed)).toEqual(content(uninterrupted));
        const examples = batchSize * updates;
        expect(notices).toContain(`training goes on after ${examples} of ${examples} examples`);
        expect(notices.join()).not.toContain('other means');
      },
    );
  });
}
