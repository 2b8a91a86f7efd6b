import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import type { Weights } from '../../models/graph.ts';
import { initialWeights } from '../../models/initialise.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { chooseLowering } from '../../training/choose-lowering.ts';
import { onnxTrainer } from '../../training/onnx-trainer.ts';
import { defaultRecipe, microBatchSize } from '../../training/recipe.ts';
import { estimateRunningStatistics } from '../../training/running-statistics.ts';
import type { Batch, Recipe, TrainingRequest } from '../../training/trainer.ts';
import { trains } from '../../training/training-graph.ts';
import { describeTrainer, trained } from '../cases/trainer.case.ts';
import { stripesTask, syntheticClasses } from './synthetic-task.ts';

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

/** One update for each size, in batches of the recipe's; a stage for each. */
function inBatches(sizes: readonly number[], recipe: Partial<Recipe>): TrainingRequest {
  const whole = request({ examples: 16 * sizes.reduce((sum, size) => sum + size, 0) }, recipe);
  const stages = sizes.map((size) => {
    const own = { ...whole.recipe, batchSize: size * whole.recipe.batchSize };
    const { task, threads } = whole;
    return { graph: buildNetwork(spec, own.batchSize), task, recipe: own, threads, updates: 1 };
  });
  return { ...whole, stages };
}

describeTrainer('the ONNX trainer', onnxTrainer);

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

  it.each<[string, readonly number[]]>([
    ['of one size', [1, 1, 1, 1, 1, 1]],
    ['of several sizes, by examples', [2, 2, 2, 1, 1]],
  ])('averages the weights a run passes through in batches %s', async (_name, sizes) => {
    // At a constant rate shorter runs are beginnings of longer ones.
    const constant = { schedule: { kind: 'constant' }, warmup: 0 } as const;
    const beginning = (updates: number, recipe: Partial<Recipe> = {}) =>
      inBatches(sizes.slice(0, updates), { ...constant, ...recipe });
    const path: Weights[] = [];
    for (let update = 1; update <= sizes.length; update++)
      path.push(trained(await onnxTrainer.train(beginning(update))).weights);
    const full = beginning(sizes.length, { emaDecay: 0.3 });
    const { weights } = trained(await onnxTrainer.train(full));

    const start = initialWeights(full.graph, new Random(full.seed).child('weights'));
    for (const { name } of full.graph.parameters.filter(trains)) {
      let average = Float64Array.from(start.get(name) as Float32Array);
      let seen = 0;
      path.forEach((point, index) => {
        const size = sizes[index] as number;
        seen += size;
        const share = Math.min(0.3, (1 + seen) / (10 + seen)) ** size;
        average = average.map((old, at) => share * old + (1 - share) * (point.get(name)?.[at] as number));
      });
      const errors = average.map((value, index) => Math.abs(value - (weights.get(name)?.[index] as number)));
      expect(Math.max(...errors), name).toBeLessThan(1e-6);
    }
  });

  it('estimates statistics for the averaged weights', async () => {
    const updates = 6;
    const full = request({ examples: 16 * updates }, { emaDecay: 0.3 });
    const { weights } = trained(await onnxTrainer.train(full));
    const last = trained(await onnxTrainer.train(request({ examples: 16 * updates }))).weights;
    const batches = full.task.trainingBatches(16, full.seed, 16 * updates);
    const following = Array.from({ length: updates }, () => (batches.next() as IteratorYieldResult<Batch>).value);
    const cpu = onnxRuntimeAccelerator('cpu');
    const { lowering } = await chooseLowering(cpu);
    const means = { threads: 1, lowering };
    const statistics = await estimateRunningStatistics(cpu, full.graph, weights, following, means);
    expect(statistics.size).toBeGreaterThan(0);
    for (const [name, values] of statistics) {
      expect(weights.get(name)).toEqual(values);
      expect(last.get(name)).not.toEqual(values);
    }
  });
});
