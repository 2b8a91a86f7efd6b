import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { setTimeout as delay } from 'node:timers/promises';
import { InterruptedError } from '../../../core/errors.ts';
import { withHostLock } from '../../../latency/host-lock.ts';
import { noAugmentation } from '../../../data/augment.ts';
import { parseNetworkSpec } from '../../../models/spec.ts';
import type { EvaluationRequest } from '../../../search/evaluator.ts';
import { FolderArtefacts } from '../../../study/artefacts.ts';
import { LocalEvaluator, type LocalEvaluatorOptions } from '../../../study/evaluation/local-evaluator.ts';
import { resolveRecipe } from '../../../study/evaluation/recipe.ts';
import { defaultRecipe } from '../../../training/recipe.ts';
import { describeEvaluator } from '../../cases/evaluator.case.ts';
import { smallData } from '../../cases/evaluator-data.ts';
import { fileFolder } from '../../cases/file-folder.ts';

const spec = parseNetworkSpec(
  {
    input: { channels: 3, resolution: 16 },
    classes: 2,
    stem: { kernel: 3, stride: 2, width: 8 },
    stages: [{ operator: 'fused-mbconv', kernel: 3, stride: 2, expansion: 2, width: 8, repeats: 1 }],
    head: { width: 0 },
  },
  'test network',
);

async function evaluatorIn(folder: string, overrides: Partial<LocalEvaluatorOptions> = {}): Promise<LocalEvaluator> {
  const data = await smallData(folder);
  return new LocalEvaluator({
    dataFile: data.file,
    trainer: 'onnx',
    recipe: defaultRecipe({ batchSize: 8 }),
    augmentation: noAugmentation,
    artefacts: new FolderArtefacts(join(folder, 'artefacts')),
    checkpoints: { folder: join(folder, 'checkpoints'), dataDigest: data.digest },
    slots: 1,
    ...overrides,
  });
}

describeEvaluator('this machine', async ({ trainer, withoutData, schedule }) => {
  const folder = fileFolder();
  const artefacts = new FolderArtefacts(join(folder, 'artefacts'));
  const data = withoutData ? { dataFile: join(folder, 'gone') } : {};
  return {
    evaluator: await evaluatorIn(folder, { ...resolveRecipe(trainer), schedule, artefacts, slots: 2, ...data }),
    artefacts,
  };
});

const request = (overrides: Partial<EvaluationRequest> = {}): EvaluationRequest => {
  return {
    fidelity: { examples: 640, seed: 1 },
    signal: new AbortController().signal,
    keepWeights: true,
    ...overrides,
  };
};

const candidate = { id: 't0001', spec };

/** Interrupts the evaluation of the candidate once it has told of progress; its checkpoint is left. */
async function interrupted(evaluator: LocalEvaluator): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const running = evaluator.evaluate(candidate, request({ signal, onProgress: () => controller.abort() }));
  await expect(running).rejects.toThrow(InterruptedError);
  await evaluator.close();
}

describe('evaluating on this machine', () => {
  it('goes on with a candidate whose training was interrupted, and leaves no checkpoint when it is done', async () => {
    const whole = await (await evaluatorIn(fileFolder())).evaluate(candidate, request());
    const folder = fileFolder();
    const evaluator = await evaluatorIn(folder);
    await interrupted(evaluator);
    expect(readdirSync(join(folder, 'checkpoints'))).toEqual(['t0001.safetensors']);

    const seen: number[] = [];
    const onProgress = ({ examples }: { examples: number }) => seen.push(examples);
    const notices: string[] = [];
    const onNotice = (text: string) => notices.push(text);
    const outcome = await evaluator.evaluate(candidate, request({ onProgress, onNotice }));
    await evaluator.close();
    expect(notices).toEqual([expect.stringMatching(/^training goes on after \d+ of 640 examples$/)]);
    expect(seen[0]).toBeGreaterThan(24);
    expect({ ...outcome, cost: undefined }).toEqual({ ...whole, cost: undefined });
    expect(outcome).toMatchObject({ status: 'ok', cost: { examples: 640 } });
    expect(existsSync(join(folder, 'checkpoints'))).toBe(false);
  });

  const gentle = { recipe: defaultRecipe({ batchSize: 8, learningRate: 0.001 }) };
  it.each([
    ['stale', gentle, (bytes: Buffer) => bytes],
    ['damaged', {}, (bytes: Buffer) => bytes.subarray(0, 100)],
  ])('trains from the start where a %s checkpoint is in the way, saying so', async (_name, overrides, damage) => {
    const whole = await (await evaluatorIn(fileFolder(), overrides)).evaluate(candidate, request());
    const folder = fileFolder();
    await interrupted(await evaluatorIn(folder));
    const file = join(folder, 'checkpoints', 't0001.safetensors');
    writeFileSync(file, damage(readFileSync(file)));

    const evaluator = await evaluatorIn(folder, overrides);
    const notices: string[] = [];
    const outcome = await evaluator.evaluate(candidate, request({ onNotice: (text) => notices.push(text) }));
    await evaluator.close();
    expect(outcome).toMatchObject({ status: 'ok' });
    expect({ ...outcome, cost: undefined }).toEqual({ ...whole, cost: undefined });
    expect(notices).toEqual([expect.stringMatching(/t0001\.safetensors: expected .*the training starts over$/s)]);
    expect(existsSync(join(folder, 'checkpoints'))).toBe(false);
  });

  it('charges a failure without the time that it waited for a measurement to end', async () => {
    const evaluator = await evaluatorIn(fileFolder(), { dataFile: join(fileFolder(), 'gone') });
    const startMs = performance.now();
    let beganMs = 0;
    let freeMs = 0;
    let running: ReturnType<LocalEvaluator['evaluate']> | undefined;
    await withHostLock('exclusive', async () => {
      running = evaluator.evaluate(candidate, request({ onBegun: () => (beganMs = performance.now()) }));
      // As long as it takes to be worth nothing: the sum below is exact, whatever the machine is at.
      await delay(200);
      freeMs = performance.now();
    });
    const outcome = await running;
    const allS = (performance.now() - startMs) / 1000;
    expect(beganMs).toBeGreaterThanOrEqual(freeMs);
    if (outcome?.status !== 'failed') throw new Error('expected a failure: there is no data');
    expect((outcome.spentS ?? Number.NaN) + (freeMs - startMs) / 1000).toBeLessThanOrEqual(allS);
  });

  it('leaves no checkpoint of a candidate that failed for good, and none that was half written', async () => {
    const folder = fileFolder();
    await interrupted(await evaluatorIn(folder));
    const checkpoints = join(folder, 'checkpoints');
    writeFileSync(join(checkpoints, 't0001.safetensors.0123456789ab.tmp'), '');
    const evaluator = await evaluatorIn(folder, { dataFile: join(folder, 'gone') });
    expect(await evaluator.evaluate(candidate, request())).toMatchObject({ status: 'failed', retry: false });
    await evaluator.close();
    expect(existsSync(checkpoints)).toBe(false);
  });

  it('keeps what it did not write', async () => {
    const folder = fileFolder();
    mkdirSync(join(folder, 'checkpoints'));
    writeFileSync(join(folder, 'checkpoints', 'notes.tmp'), '');
    const evaluator = await evaluatorIn(folder);
    await evaluator.close();
    expect(readdirSync(join(folder, 'checkpoints'))).toEqual(['notes.tmp']);
  });
});
