import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError, InterruptedError, InvalidFileError } from '../../core/errors.ts';
import { buildNetwork } from '../../models/build.ts';
import { readSafetensors } from '../../models/safetensors.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { Checkpoint, type RunIdentity } from '../../training/checkpoint.ts';
import { TrainingCurve } from '../../training/curve.ts';
import { onnxTrainer } from '../../training/onnx-trainer.ts';
import { defaultRecipe, microBatchSize } from '../../training/recipe.ts';
import type { Recipe, TrainingRequest, TrainingResult } from '../../training/trainer.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { beforeBatch, beforeScoring, stripesTask, syntheticClasses } from './synthetic-task.ts';

const spec = parseNetworkSpec(
  {
    input: { channels: 1, resolution: 8 },
    classes: syntheticClasses,
    stem: { kernel: 3, stride: 2, width: 8 },
    stages: [{ operator: 'mbconv', kernel: 3, stride: 1, expansion: 2, width: 8, repeats: 1, squeezeExcite: 0.25 }],
    head: { width: 16, dropout: 0.2 },
    survival: 0.8,
  },
  'test network',
);
const updates = 24;

function requestOf(recipe: Partial<Recipe>, overrides: Partial<TrainingRequest> = {}): TrainingRequest {
  const full = defaultRecipe({ batchSize: 8, ...recipe });
  const graph = buildNetwork(spec, microBatchSize(full));
  return { graph, task: stripesTask(24), recipe: full, examples: 8 * updates, seed: 3, threads: 1, ...overrides };
}

const checkpointAt = (file: string, everyS?: number) => ({ file, task: { data: 'stripes' }, everyS });

/** Trains until a batch is asked for, then is aborted. */
async function interruptedAt(batch: number, request: TrainingRequest): Promise<void> {
  const controller = new AbortController();
  const task = beforeBatch(request.task, batch, () => controller.abort());
  await expect(onnxTrainer.train({ ...request, task, signal: controller.signal })).rejects.toThrow(InterruptedError);
}

/** What a run is, without how long it took. */
function content(result: TrainingResult): object {
  const { cost, ...rest } = result;
  return { ...rest, examples: cost.examples };
}

describe('a training that is interrupted and resumed', () => {
  it('ends the same when it was interrupted while it was scored', async () => {
    const file = join(fileFolder(), 'checkpoint');
    const request = requestOf({}, { checkpoint: checkpointAt(file) });
    for (const batch of [0, 2]) {
      const controller = new AbortController();
      const task = beforeScoring(request.task, batch, () => controller.abort());
      const running = onnxTrainer.train({ ...request, task, signal: controller.signal });
      await expect(running).rejects.toThrow(InterruptedError);
      expect((await readSafetensors(file)).weights.get('update-ms')).toHaveLength(updates);
    }
    expect(content(await onnxTrainer.train(request))).toEqual(content(await onnxTrainer.train(requestOf({}))));
  });

  it('loses what came after the last checkpoint when it is killed, and ends the same', async () => {
    const request = requestOf({}, { checkpoint: checkpointAt(join(fileFolder(), 'checkpoint'), 0) });
    const killed = beforeBatch(request.task, 17, () => {
      throw new Error('killed');
    });
    await expect(onnxTrainer.train({ ...request, task: killed })).rejects.toThrow('killed');
    const seen: string[] = [];
    const resumed = await onnxTrainer.train({ ...request, onNotice: (text) => seen.push(text) });
    expect(seen).toEqual([`training goes on after ${8 * 17} of ${8 * updates} examples`]);
    expect(content(resumed)).toEqual(content(await onnxTrainer.train(requestOf({}))));
  });

  it('loses no update when it is killed after the last one', async () => {
    const file = join(fileFolder(), 'checkpoint');
    const request = requestOf({}, { checkpoint: checkpointAt(file, 3600) });
    const unsaved = beforeBatch(request.task, updates - 1, () => expect(existsSync(file)).toBe(false));
    const killed = beforeScoring(unsaved, 0, () => {
      throw new Error('killed');
    });
    await expect(onnxTrainer.train({ ...request, task: killed })).rejects.toThrow('killed');
    expect((await readSafetensors(file)).weights.get('update-ms')).toHaveLength(updates);
  });

  it('adds up the wall time of its parts and counts every update once', async () => {
    const file = join(fileFolder(), 'checkpoint');
    const request = requestOf({}, { checkpoint: checkpointAt(file) });
    await interruptedAt(12, request);
    const { metadata, weights } = await readSafetensors(file);
    const { trainS } = JSON.parse(metadata['progress'] as string) as { trainS: number };
    expect(weights.get('update-ms')).toHaveLength(13);
    const startMs = performance.now();
    const { cost } = await onnxTrainer.train(request);
    expect(cost.trainS).toBeGreaterThan(trainS);
    expect(cost.trainS).toBeLessThan(trainS + (performance.now() - startMs) / 1000 + 0.001);
    expect(cost.examples).toBe(8 * updates);
  });

  it('leaves no file when nothing was trained', async () => {
    const file = join(fileFolder(), 'checkpoint');
    const request = requestOf({}, { checkpoint: checkpointAt(file), signal: AbortSignal.abort() });
    await expect(onnxTrainer.train(request)).rejects.toThrow(InterruptedError);
    expect(existsSync(file)).toBe(false);
  });
});

describe('a training whose checkpoint cannot be written', () => {
  it('goes on to the same end, saying so once', async () => {
    const file = join(fileFolder(), 'no folder', 'checkpoint');
    const notices: string[] = [];
    const request = requestOf({}, { checkpoint: checkpointAt(file, 0), onNotice: (text) => notices.push(text) });
    const result = await onnxTrainer.train(request);
    expect(content(result)).toEqual(content(await onnxTrainer.train(requestOf({}))));
    expect(notices).toEqual([expect.stringMatching(/checkpoint: expected to save the training here, got ENOENT/)]);
  });

  it('saves again as soon as it can', async () => {
    const file = join(fileFolder(), 'later', 'checkpoint');
    const request = requestOf({}, { checkpoint: checkpointAt(file, 0) });
    const task = beforeBatch(request.task, 9, () => mkdirSync(dirname(file)));
    await onnxTrainer.train({ ...request, task });
    expect(existsSync(file)).toBe(true);
  });

  it('is still interrupted when asked, naming the cause', async () => {
    const file = join(fileFolder(), 'no folder', 'checkpoint');
    const controller = new AbortController();
    const request = requestOf({}, { checkpoint: checkpointAt(file), signal: controller.signal });
    const task = beforeBatch(request.task, 3, () => controller.abort());
    const error: unknown = await onnxTrainer.train({ ...request, task }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InterruptedError);
    expect(error).toMatchObject({
      message: expect.stringMatching(/interrupted after 32 examples; it could not be saved: ENOENT/) as string,
      cause: { code: 'ENOENT' },
    });
  });
});

/** The file of a training that was interrupted. */
async function interruptedFile(): Promise<string> {
  const file = join(fileFolder(), 'checkpoint');
  await interruptedAt(3, requestOf({}, { checkpoint: checkpointAt(file) }));
  return file;
}

describe('a checkpoint', () => {
  it.each([
    ['recipe.learningRate', (file: string) => requestOf({ learningRate: 0.01 }, { checkpoint: checkpointAt(file) })],
    [
      'recipe.schedule',
      (file: string) => requestOf({ schedule: { kind: 'constant' } }, { checkpoint: checkpointAt(file) }),
    ],
    ['seed', (file: string) => requestOf({}, { seed: 4, checkpoint: checkpointAt(file) })],
    ['examples', (file: string) => requestOf({}, { examples: 80, checkpoint: checkpointAt(file) })],
    ['data', (file: string) => requestOf({}, { checkpoint: { file, task: { data: 'spots' } } })],
    [
      'network',
      (file: string) => {
        const graph = buildNetwork({ ...spec, survival: 1 }, 8);
        return requestOf({}, { graph, checkpoint: checkpointAt(file) });
      },
    ],
  ])('of another %s is refused', async (key, request) => {
    const file = await interruptedFile();
    const before = readFileSync(file);
    const running = onnxTrainer.train(request(file));
    await expect(running).rejects.toThrow(ConfigError);
    await expect(running).rejects.toThrow(
      `${file}: expected a checkpoint of this training, got one of another (${key} `,
    );
    expect(readFileSync(file)).toEqual(before);
  });

  it('of another recipe and version is refused, naming both', async () => {
    const file = join(fileFolder(), 'checkpoint');
    const of = (identity: RunIdentity) => new Checkpoint({ file, task: {} }, { identity, parametersOf: () => [] });
    const earlier = of({ work: { 'recipe.learningRate': '0.1' }, means: { threads: '1', ridgepoint: '0.0.1' } });
    const curve = new TrainingCurve(2, { examplesAfter: (step) => 8 * step, classes: 3 }, () => {}).state;
    await earlier.write({ vectors: {}, updatesMs: [1], trainS: 1, curve, stage: 0 });
    const later = of({ work: { 'recipe.learningRate': '0.2' }, means: { threads: '2', ridgepoint: '0.0.2' } });
    const reading = later.read();
    await expect(reading).rejects.toThrow(
      '(recipe.learningRate 0.1 instead of 0.2; ridgepoint 0.0.1 instead of 0.0.2); delete it to start over',
    );
  });

  it('written by other means is continued, saying so', async () => {
    const file = await interruptedFile();
    const notices: string[] = [];
    const request = requestOf(
      {},
      { threads: 2, checkpoint: checkpointAt(file), onNotice: (text) => notices.push(text) },
    );
    expect((await onnxTrainer.train(request)).status).toBe('trained');
    expect(notices[1]).toContain('it was begun by other means (threads 1 instead of 2)');
  });

  it.each([
    ['of another recipe', (file: string) => readFileSync(file), { learningRate: 0.01 }],
    ['damaged', (file: string) => readFileSync(file).subarray(1), {}],
  ])('%s gives way where starting over is asked for, saying so', async (_name, left, recipe) => {
    const file = await interruptedFile();
    writeFileSync(file, left(file));
    const notices: string[] = [];
    const checkpoint = { ...checkpointAt(file), onMisfit: 'start-over' } as const;
    const result = await onnxTrainer.train(requestOf(recipe, { checkpoint, onNotice: (text) => notices.push(text) }));
    expect(content(result)).toEqual(content(await onnxTrainer.train(requestOf(recipe))));
    expect(notices).toEqual([
      expect.stringMatching(/checkpoint: expected .*; it was removed and the training starts over$/s),
    ]);
  });

  it.each([
    ['cut short', (bytes: Buffer) => bytes.subarray(0, bytes.length - 5)],
    [
      'changed in one weight',
      (bytes: Buffer) => Buffer.from(bytes.fill((bytes.at(-1) as number) ^ 1, bytes.length - 1)),
    ],
    ['no checkpoint', () => Buffer.from('something else altogether')],
  ])('that is %s is refused', async (_name, damage) => {
    const file = await interruptedFile();
    writeFileSync(file, damage(readFileSync(file)));
    const running = onnxTrainer.train(requestOf({}, { checkpoint: checkpointAt(file) }));
    await expect(running).rejects.toThrow(InvalidFileError);
    await expect(running).rejects.toThrow(new RegExp(`^${file}: expected .*; delete it to start over$`, 's'));
    expect(existsSync(file)).toBe(true);
  });
});
