import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InterruptedError } from '../../core/errors.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import type { Weights } from '../../models/graph.ts';
import { growthBetween } from '../../models/growth.ts';
import { readSafetensors } from '../../models/safetensors.ts';
import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';
import { partOf } from '../../scaling/apply.ts';
import { grownState } from '../../training/grown-state.ts';
import { onnxTrainer } from '../../training/onnx-trainer.ts';
import { Timeline } from '../../training/timeline.ts';
import type { Recipe, TrainingRequest } from '../../training/trainer.ts';
import { trains } from '../../training/training-graph.ts';
import type { ScheduleStage } from '../../training/training-schedule.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { abortedAfter, content, dataset, stagedRequest } from './staged-training.ts';
import { beforeBatch } from './synthetic-task.ts';

/** Every kind of block, each with repeats to add. */
const spec = parseNetworkSpec(
  {
    input: { channels: dataset.channels, resolution: 16 },
    classes: 3,
    stem: { kernel: 3, stride: 2, width: 16 },
    stages: [
      {
        operator: 'mbconv',
        kernel: 3,
        stride: 1,
        expansion: 2,
        width: 16,
        repeats: 2,
        squeezeExcite: 0.25,
        activation: 'silu',
      },
      { operator: 'fused-mbconv', kernel: 3, stride: 2, expansion: 2, width: 24, repeats: 2 },
      { operator: 'bottleneck', kernel: 3, stride: 1, width: 32, repeats: 3 },
    ],
    head: { width: 40 },
  },
  'test network',
);
const dropping: NetworkSpec = { ...spec, survival: 0.9, head: { ...spec.head, dropout: 0.1 } };

/** 4 + 3 + 5 updates, of 8, 16 and 8 examples. */
const growing: readonly ScheduleStage[] = [
  { share: 32, depth: 0.4, width: 0.5, resolution: 0.5 },
  { share: 48, depth: 0.6, width: 0.8, batchSize: 16, survival: 1 },
  { share: 40 },
];
const ends = [4, 7, 12];

const recipes: readonly [string, Partial<Recipe>][] = [
  ['SGD with momentum, averaged', { emaDecay: 0.9 }],
  ['RMSprop on micro-batches, clipped', { optimizer: 'rmsprop', microBatches: 2, clipNorm: 1 }],
  ['AdamW, averaged', { optimizer: 'adamw', emaDecay: 0.9 }],
];

/** The run with the network that its first stage has, to the end. */
function ungrown(request: TrainingRequest): TrainingRequest {
  const [first] = request.stages as [NonNullable<TrainingRequest['stages']>[number]];
  return { ...request, graph: first.graph, stages: [{ ...first, updates: 15 }] };
}

describe('a training that grows its network', () => {
  it('ends with the whole network, and counts what each stage’s takes', async () => {
    const request = stagedRequest(dropping, growing);
    const result = await onnxTrainer.train(request);
    if (result.status !== 'trained') throw new Error('expected it to train');
    expect([...result.weights.keys()].toSorted()).toEqual(request.graph.parameters.map(({ name }) => name).toSorted());
    for (const { name, shape } of request.graph.parameters)
      expect(result.weights.get(name)?.length, name).toBe(shape.reduce((product, extent) => product * extent, 1));
    const { stages } = new Timeline(request);
    const macs = stages.map(({ graph }) => countGraph(graph).macs) as [number, number, number];
    const [first, second, last] = macs;
    expect(macs.toSorted((a, b) => a - b)).toEqual(macs);
    expect(result.cost.flops).toBe(6 * (32 * first + 48 * second + 40 * last));
  });

  it('knows since when each parameter has been there', () => {
    const { stages } = new Timeline(stagedRequest(spec, growing));
    expect([...new Set(stages[0]?.joinedAt.values())]).toEqual([]);
    expect([...new Set(stages[1]?.joinedAt.values())]).toEqual([4]);
    expect([...new Set(stages[2]?.joinedAt.values())].toSorted()).toEqual([4, 7]);
    expect(stages[2]?.joinedAt.get('stage2.block2.reduce.norm.scale')).toBe(7);
    expect(stages[2]?.joinedAt.has('stem.conv.weight')).toBe(false);
  });

  it.each(recipes)('resumed anywhere ends bit for bit as if nothing had happened (%s)', async (_name, recipe) => {
    const request = stagedRequest(dropping, growing, recipe);
    const uninterrupted = await onnxTrainer.train(request);
    const resumable = { ...request, checkpoint: { file: join(fileFolder(), 'checkpoint'), task: {} } };
    // The update under way is finished: so within each stage, and on both boundaries.
    for (const count of [1, 3, 5, 6, 9])
      await expect(onnxTrainer.train(abortedAfter(resumable, count))).rejects.toThrow(InterruptedError);
    expect(content(await onnxTrainer.train(resumable))).toEqual(content(uninterrupted));
  });

  it('killed when a network has just grown goes on from the smaller one to the same end', async () => {
    const request = stagedRequest(dropping, growing, { optimizer: 'adamw' });
    const file = join(fileFolder(), 'checkpoint');
    const resumable = { ...request, checkpoint: { file, task: {}, everyS: 0 } };
    const [, second] = resumable.stages as [unknown, NonNullable<TrainingRequest['stages']>[number]];
    const task = beforeBatch(second.task, 2, () => {
      throw new Error('killed');
    });
    const stages = resumable.stages?.map((stage) => (stage === second ? { ...stage, task } : stage)) ?? [];
    await expect(onnxTrainer.train({ ...resumable, stages })).rejects.toThrow('killed');
    const { weights } = await readSafetensors(file);
    expect(weights.get('update-ms')).toHaveLength(ends[0] as number);
    expect(weights.get('parameters/stem.norm.scale')).toHaveLength(8);
    expect(content(await onnxTrainer.train(resumable))).toEqual(content(await onnxTrainer.train(request)));
  });

  it.each([
    ['in depth: exactly, but for rounding', { depth: 0.4 }, 1e-5],
    ['in width: but for the copies’ noise', { width: 0.5 }, 0.01],
    ['in both', { depth: 0.4, width: 0.5 }, 0.01],
  ])('goes on with the loss that it had %s', async (_what, shares, bound) => {
    const request = stagedRequest(spec, [{ share: 32, ...shares }, { share: 88 }], { learningRate: 0.02 });
    const grown = await onnxTrainer.train(request);
    const small = await onnxTrainer.train(ungrown(request));
    const losses = ({ curve }: typeof grown) =>
      curve.map(({ loss }) => loss) as [number, number, number, number, number];
    const [of, without] = [losses(grown), losses(small)];
    expect(of.slice(0, 4)).toEqual(without.slice(0, 4));
    expect(Math.abs(of[4] - without[4]) / without[4]).toBeLessThan(bound);
    expect(of.slice(5)).not.toEqual(without.slice(5));
  });

  it('refuses a last stage that is not the whole network', async () => {
    const request = stagedRequest(spec, growing);
    await expect(onnxTrainer.train({ ...request, stages: request.stages?.slice(0, 1) ?? [] })).rejects.toThrow(
      'expected a last stage of the parameters of the run’s network, got others',
    );
  });
});

describe('the state of a training that grows', () => {
  const [small, large] = [buildNetwork(partOf(spec, { depth: 0.4, width: 0.5 }), 8), buildNetwork(spec, 8)];
  const parameters = large.parameters.filter(trains);
  const ones: Weights = new Map(
    small.parameters.filter(trains).map(({ name, shape }) => {
      return [name, new Float32Array(shape.reduce((product, extent) => product * extent, 1)).fill(1)];
    }),
  );
  const state = (optimizer: Recipe['optimizer'], vectors: Record<string, Weights>, stage = 1) =>
    grownState(vectors, growthBetween(small, large), { parameters, optimizer, seed: 1, stage });

  it('has one noise for weights and their average, another at every boundary', () => {
    const { parameters: weights, average } = state('adamw', { parameters: ones, average: ones });
    expect(average).toEqual(weights);
    expect(state('adamw', { parameters: ones }, 2)['parameters']).not.toEqual(weights);
    expect(state('adamw', { parameters: ones })['parameters']).toEqual(weights);
  });

  it.each<[Recipe['optimizer'], Record<string, readonly [copied: number, added: number]>]>([
    ['sgd-momentum', { velocity: [1 / 2, 0] }],
    ['rmsprop', { 'mean-square': [1 / 4, 1], velocity: [1, 0] }],
    ['adamw', { 'first-moment': [1 / 2, 0], 'second-moment': [1 / 4, 0] }],
  ])('remembers of gradients what two copies would have had of them (%s)', (optimizer, slots) => {
    for (const [slot, [copied, added]] of Object.entries(slots)) {
      const grown = state(optimizer, { [slot]: ones })[slot] as Weights;
      expect(new Set(grown.get('stem.conv.weight'))).toEqual(new Set([copied]));
      // Inputs have copies, outputs have not.
      expect(new Set(grown.get('classifier.weight'))).toEqual(new Set([1]));
      expect(new Set(grown.get('stage0.block1.expand.conv.weight'))).toEqual(new Set([added]));
    }
  });
});
