import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InterruptedError } from '../../core/errors.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { targetInput } from '../../training/image-task.ts';
import { onnxTrainer } from '../../training/onnx-trainer.ts';
import { Timeline } from '../../training/timeline.ts';
import type { Batch, Recipe, TrainingRequest } from '../../training/trainer.ts';
import type { ScheduleStage } from '../../training/training-schedule.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { abortedAfter, augmentation, content, dataset, stagedRequest, taskOf } from './staged-training.ts';

const spec = parseNetworkSpec(
  {
    input: { channels: dataset.channels, resolution: 16 },
    classes: 3,
    stem: { kernel: 3, stride: 2, width: 8 },
    stages: [{ operator: 'mbconv', kernel: 3, stride: 2, expansion: 2, width: 12, repeats: 2, squeezeExcite: 0.25 }],
    head: { width: 16, dropout: 0.1 },
    survival: 0.9,
  },
  'test network',
);
/** Three stages that change everything that can change: 4 + 3 + 5 updates, of 8, 16 and 8 examples. */
const threeStages: readonly ScheduleStage[] = [
  { share: 32, resolution: 0.5, survival: 1, dropout: 0, augmentation: { mixup: 0 }, labelSmoothing: 0 },
  { share: 48, resolution: 11, batchSize: 16, weightDecay: 0, threads: 2 },
  { share: 40 },
];
const updates = 12;

const requestOf = (
  stages: readonly ScheduleStage[] | undefined,
  recipe?: Partial<Recipe>,
  overrides?: Partial<TrainingRequest>,
) => stagedRequest(spec, stages, recipe, overrides);

const recipes: readonly [string, Partial<Recipe>][] = [
  ['SGD with momentum, averaged', { emaDecay: 0.9 }],
  ['RMSprop on micro-batches, clipped', { optimizer: 'rmsprop', microBatches: 2, clipNorm: 1 }],
  ['AdamW', { optimizer: 'adamw' }],
];

const macsAt = (resolution: number): number =>
  countGraph(buildNetwork({ ...spec, input: { ...spec.input, resolution } }, 1)).macs;

/** A cosine from .1 over 120 examples. */
const cosine = (seen: number): number => (0.1 * (1 + Math.cos((Math.PI * seen) / 120))) / 2;

/** Labels in the order that a task shows them: they tell the order of examples. */
function labels(task: TrainingRequest['task'], size: number, skip: number, count: number): number[] {
  const batches = task.trainingBatches(size, 3, skip);
  return Array.from({ length: count }, () => {
    const values = [...((batches.next().value as Batch)[targetInput]?.data ?? [])].map(Number);
    return Array.from({ length: size }, (_, row) => values.slice(3 * row, 3 * row + 3).indexOf(1));
  }).flat();
}

describe('a training in stages', () => {
  it.each(recipes)('of one stage is bit for bit the training without (%s)', async (_name, recipe) => {
    const plain = await onnxTrainer.train(requestOf(undefined, recipe));
    expect(content(await onnxTrainer.train(requestOf([{ share: 1 }], recipe)))).toEqual(content(plain));
  });

  it.each(recipes)('of equal settings is bit for bit the training of one (%s)', async (_name, recipe) => {
    const plain = await onnxTrainer.train(requestOf(undefined, recipe));
    const thrice = [{ share: 1 }, { share: 1 }, { share: 1 }];
    expect(content(await onnxTrainer.train(requestOf(thrice, recipe)))).toEqual(content(plain));
  });

  it.each(recipes)('resumed anywhere ends bit for bit as if nothing had happened (%s)', async (_name, recipe) => {
    const file = join(fileFolder(), 'checkpoint');
    const request = requestOf(threeStages, recipe);
    const uninterrupted = await onnxTrainer.train(request);
    const resumable = { ...request, checkpoint: { file, task: {} } };
    // The update under way is finished: so within the first stage, at both boundaries, within the last.
    for (const count of [1, 3, 6, 9])
      await expect(onnxTrainer.train(abortedAfter(resumable, count))).rejects.toThrow(InterruptedError);
    expect(content(await onnxTrainer.train(resumable))).toEqual(content(uninterrupted));
  });

  it('counts examples, multiply-adds and its curve over stages of several sizes', async () => {
    const request = requestOf(threeStages);
    const { cost, curve } = await onnxTrainer.train(request);
    expect(cost.examples).toBe(120);
    expect(cost.flops).toBe(6 * (32 * macsAt(8) + 48 * macsAt(11) + 40 * macsAt(16)));
    expect(curve.map((point) => point.examples)).toEqual([8, 16, 24, 32, 48, 64, 80, 88, 96, 104, 112, 120]);
    for (const { accuracy = 0 } of curve) expect(accuracy).toBeLessThanOrEqual(1);
  });

  it('moves along one learning-rate curve, by examples, to the peak of each stage', () => {
    const timeline = new Timeline(requestOf(threeStages, { warmup: 0, learningRate: 0.1 }));
    expect(timeline.updates).toBe(updates);
    expect(timeline.learningRateAt(0)).toBeCloseTo(0.1, 12);
    expect(timeline.learningRateAt(3)).toBeCloseTo(cosine(24), 12);
    // Twice the batch at twice the rate.
    expect(timeline.learningRateAt(5)).toBeCloseTo(2 * cosine(48), 12);
    expect(timeline.learningRateAt(11)).toBeCloseTo(cosine(112), 12);
  });

  it('shows each example once an epoch, whatever the batches', () => {
    const request = requestOf(threeStages);
    const timeline = new Timeline(request);
    const plain = { ...augmentation, mixup: 0 };
    const seen = timeline.stages.flatMap(({ recipe, start, endUpdate }) =>
      labels(taskOf(spec, plain), recipe.batchSize, start.examples, endUpdate - start.updates),
    );
    expect(seen).toEqual(labels(taskOf(spec, plain), 8, 0, 15));
  });

  it('is scored, with statistics, at the resolution of the end', async () => {
    const result = await onnxTrainer.train(requestOf([{ share: 1, resolution: 0.5 }]));
    const own = await onnxTrainer.train({
      ...requestOf([{ share: 1, resolution: 0.5 }]),
      graph: buildNetwork({ ...spec, input: { ...spec.input, resolution: 8 } }, 8),
      task: taskOf({ ...spec, input: { ...spec.input, resolution: 8 } }),
    });
    if (result.status !== 'trained' || own.status !== 'trained') throw new Error('expected both to train');
    expect(result.metrics['crossEntropy']).not.toBe(own.metrics['crossEntropy']);
    const names = [...result.weights.keys()].filter((name) => name.endsWith('variance'));
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) expect(result.weights.get(name)).not.toEqual(own.weights.get(name));
  });

  it('learns as well where the runtime rewrites the step', async () => {
    const plain = await onnxTrainer.train(requestOf([{ share: 1 }]));
    const rewritten = await onnxTrainer.train(requestOf([{ share: 1, graphOptimization: 'all' }]));
    expect(rewritten.curve.at(-1)?.loss).toBeCloseTo(plain.curve.at(-1)?.loss as number, 2);
  });

  it('is another run than the same without stages', async () => {
    const file = join(fileFolder(), 'checkpoint');
    const checkpoint = { file, task: {} };
    const staged = abortedAfter(requestOf(threeStages, {}, { checkpoint }), 2);
    await expect(onnxTrainer.train(staged)).rejects.toThrow(InterruptedError);
    await expect(onnxTrainer.train(requestOf(undefined, {}, { checkpoint }))).rejects.toThrow(/stages sha256/);
  });
});
