import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { EnvironmentError, InterruptedError } from '../../core/errors.ts';
import { noAugmentation } from '../../data/augment.ts';
import { loadText, textSourceSchema } from '../../data/text.ts';
import { buildNetwork } from '../../models/build.ts';
import { parseTransformerSpec } from '../../models/transformer.ts';
import { onnxEngine } from '../../training/onnx-engine.ts';
import { onnxTrainer } from '../../training/onnx-trainer.ts';
import { defaultRecipe, microBatchSize } from '../../training/recipe.ts';
import { planStages } from '../../training/stage-plan.ts';
import { textTask } from '../../training/text-task.ts';
import { tfjsTrainer } from '../../training/tfjs-trainer.ts';
import { tfjsEngine } from '../../training/tfjs/engine.ts';
import { installedTensorFlow, loadTensorFlow } from '../../training/tfjs/load.ts';
import type { Recipe, Trainer, TrainingRequest } from '../../training/trainer.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { describeTrainer, smallRequest, smallSpec, trained } from '../cases/trainer.case.ts';
import { beforeBatch } from './synthetic-task.ts';

const { tf, version, backend } = await loadTensorFlow(1);

describeTrainer(`TensorFlow.js, ${version},`, tfjsTrainer);
if (backend !== 'tensorflow')
  test.skip('libtensorflow is a trainer (neither @tensorflow/tfjs-node-gpu nor @tensorflow/tfjs-node is installed)');

const options = { threads: 1, batchSize: 8 };

describe('TensorFlow.js beside the ONNX trainer', () => {
  it.each([
    ['SGD with momentum', {}],
    ['Nesterov momentum', { nesterov: true }],
    ['AdamW', { optimizer: 'adamw', learningRate: 0.01 }],
    ['RMSprop', { optimizer: 'rmsprop', learningRate: 0.01 }],
    ['a moving average and clipped gradients', { emaDecay: 0.99, clipNorm: 1 }],
    ['two micro-batches an update', { microBatches: 2, schedule: { kind: 'exponential', factor: 0.9, every: 0.1 } }],
  ] as [string, Partial<Recipe>][])('has the same losses, update by update, with %s', async (_name, recipe) => {
    const request = smallRequest(recipe, { examples: 8 * 20 });
    const [ours, theirs] = [await onnxTrainer.train(request), await tfjsTrainer.train(request)].map(trained);
    expect(theirs?.curve).toHaveLength(20);
    theirs?.curve.forEach((point, update) => {
      // Both sides are float32; roundings grow by some per cent an update.
      expect(Math.abs(point.loss / (ours?.curve[update]?.loss as number) - 1)).toBeLessThan(1e-5);
      expect(point.accuracy).toBe(ours?.curve[update]?.accuracy);
    });
    for (const [name, values] of ours?.weights ?? [])
      values.forEach((value, index) => expect(theirs?.weights.get(name)?.[index], name).toBeCloseTo(value, 4));
    expect(theirs?.metrics['accuracy']).toBe(ours?.metrics['accuracy']);
    expect(theirs?.metrics['crossEntropy']).toBeCloseTo(ours?.metrics['crossEntropy'] as number, 5);
  });

  it('has the same losses in every stage of a training schedule', async () => {
    const request = smallRequest({}, { examples: 8 * 18 });
    const plans = planStages(
      { stages: [{ share: 1, survival: 1, dropout: 0, batchSize: 4 }, { share: 1, labelSmoothing: 0 }, { share: 1 }] },
      { spec: smallSpec, augmentation: noAugmentation, ...request },
    );
    const stages = plans.map(({ spec, recipe, updates, threads }) => {
      return { graph: buildNetwork(spec, microBatchSize(recipe)), task: request.task, recipe, updates, threads };
    });
    const staged = { ...request, stages };
    const [ours, theirs] = [await onnxTrainer.train(staged), await tfjsTrainer.train(staged)].map(trained);
    expect(theirs?.curve.length).toBeGreaterThan(18);
    theirs?.curve.forEach(({ loss, examples }, point) => {
      expect(examples).toBe(ours?.curve[point]?.examples);
      expect(Math.abs(loss / (ours?.curve[point]?.loss as number) - 1)).toBeLessThan(1e-5);
    });
    expect(theirs?.cost.flops).toBe(ours?.cost.flops);
    const rewritten = stages.map((stage) => ({ ...stage, optimization: 'all' as const }));
    await expect(tfjsTrainer.train({ ...request, stages: rewritten })).rejects.toThrow(
      /graphOptimization: expected none/,
    );
  });

  it('has the same losses of a language model', async () => {
    const network = { vocabulary: 8, context: 6, layers: 1, width: 8, heads: 2, feedForward: 8 };
    const spec = parseTransformerSpec({ kind: 'transformer', ...network }, 'test');
    const text = await loadText(textSourceSchema.parse({ format: 'grammar', symbols: 8, scored: 16 }), '');
    const recipe = defaultRecipe({ optimizer: 'adamw', batchSize: 4, clipNorm: 1 });
    const graph = buildNetwork(spec, 4);
    const request = { graph, task: textTask(text, spec), recipe, examples: 4 * 12, seed: 5, threads: 1 };
    const [ours, theirs] = [await onnxTrainer.train(request), await tfjsTrainer.train(request)].map(trained);
    expect(theirs?.curve).toHaveLength(12);
    theirs?.curve.forEach(({ loss, accuracy }, update) => {
      expect(Math.abs(loss / (ours?.curve[update]?.loss as number) - 1)).toBeLessThan(1e-5);
      expect(accuracy).toBe(ours?.curve[update]?.accuracy);
    });
    expect(theirs?.metrics['crossEntropy']).toBeCloseTo(ours?.metrics['crossEntropy'] as number, 5);
  });

  it.each([
    ['ONNX', onnxTrainer],
    ['TensorFlow.js', tfjsTrainer],
  ] as [string, Trainer][])('scores weights trained by %s the same', async (_name, trainer) => {
    const { graph, task, ...request } = smallRequest();
    const { weights, metrics } = trained(await trainer.train({ ...request, graph, task }));
    const engines = [await onnxEngine(onnxRuntimeAccelerator('cpu')), tfjsEngine({ tf, version, backend })];
    for (const engine of engines) {
      const score = await engine.score(graph, weights, task, options);
      expect(score.accuracy).toBe(metrics['accuracy']);
      expect(score.crossEntropy).toBeCloseTo(metrics['crossEntropy'] as number, 6);
    }
  });

  it('goes on from its checkpoint, saying so', async () => {
    const request = smallRequest({ optimizer: 'adamw', emaDecay: 0.9 });
    const checkpoint = { file: join(fileFolder(), 'checkpoint'), task: {} };
    await interruptedAt(12, onnxTrainer, { ...request, checkpoint });
    const notices: string[] = [];
    const onNotice = (text: string) => notices.push(text);
    const mixed = trained(await tfjsTrainer.train({ ...request, checkpoint, onNotice }));
    const whole = trained(await onnxTrainer.train(request));
    expect(notices.join('\n')).toMatch(/it was begun by other means \(lowering \S+ instead of tfjs-\w+; runtime /);
    expect(mixed.curve).toHaveLength(whole.curve.length);
    mixed.curve.forEach(({ loss }, index) => expect(loss).toBeCloseTo(whole.curve[index]?.loss as number, 4));
  });
});

const core = ['@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-cpu', '@tensorflow/tfjs-layers'];

describe('the package of TensorFlow.js', () => {
  it.each([
    [['@tensorflow/tfjs-node', '@tensorflow/tfjs', ...core], '@tensorflow/tfjs-node'],
    [['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'], '@tensorflow/tfjs-node-gpu'],
    [['@tensorflow/tfjs', ...core], '@tensorflow/tfjs'],
    [core, '@tensorflow/tfjs-core'],
  ])('of %j is %s', (installed, expected) => {
    expect(installedTensorFlow((name) => installed.includes(name))[0]?.name).toBe(expected);
  });

  it.each([[[]], [core.slice(0, 2)]])('is asked for where only %j are installed', (installed: readonly string[]) => {
    const find = () => installedTensorFlow((name) => installed.includes(name));
    expect(find).toThrow(EnvironmentError);
    expect(find).toThrow(/got none; install it by npm install @tensorflow\/tfjs-node-gpu \(with CUDA\)/);
  });
});

describe('TensorFlow.js', () => {
  it('has as many tensors after a training, whole or interrupted, as before', async () => {
    const { numTensors, numBytes } = tf.memory();
    const request = smallRequest({ microBatches: 2, clipNorm: 1 }, { examples: 8 * 6 });
    await tfjsTrainer.train(request);
    await interruptedAt(3, tfjsTrainer, request);
    const failing = beforeBatch(request.task, 3, () => {
      throw new Error('no more data');
    });
    await expect(tfjsTrainer.train({ ...request, task: failing })).rejects.toThrow('no more data');
    expect(tf.memory()).toMatchObject({ numTensors, numBytes });
  });

  it('says that plain JavaScript is slow, and nothing where it is not', async () => {
    const notices: string[] = [];
    await tfjsTrainer.train(smallRequest({}, { examples: 8, onNotice: (text) => notices.push(text) }));
    const slow =
      'trainer tfjs: @tensorflow/tfjs-core computes in plain JavaScript, about an image of 32 pixels a second';
    expect(notices).toEqual(backend === 'tensorflow' ? [] : [expect.stringContaining(slow)]);
  });
});

/** Trains until a batch is asked for, then is aborted. */
async function interruptedAt(batch: number, trainer: Trainer, request: TrainingRequest): Promise<void> {
  const controller = new AbortController();
  const task = beforeBatch(request.task, batch, () => controller.abort());
  await expect(trainer.train({ ...request, task, signal: controller.signal })).rejects.toThrow(InterruptedError);
}
