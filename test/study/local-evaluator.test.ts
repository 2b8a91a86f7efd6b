import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InterruptedError } from '../../core/errors.ts';
import { noAugmentation } from '../../data/augment.ts';
import { datasetDigest, writeDatasetFile } from '../../data/cache.ts';
import { loadDataset } from '../../data/load.ts';
import { dataSourceSchema } from '../../data/source.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import type { EvaluationRequest } from '../../search/evaluator.ts';
import { FolderArtefacts } from '../../study/artefacts.ts';
import { LocalEvaluator } from '../../study/local-evaluator.ts';
import { defaultRecipe } from '../../training/recipe.ts';
import { fileFolder } from '../cases/file-folder.ts';

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

async function evaluatorIn(folder: string): Promise<LocalEvaluator> {
  const source = dataSourceSchema.parse({ format: 'rendered', classes: 2, train: 60, test: 10, resolution: 16 });
  const dataset = await loadDataset(source, { baseDirectory: folder });
  const dataFile = join(folder, 'data.bin');
  await writeDatasetFile(dataset, dataFile);
  return new LocalEvaluator({
    dataFile,
    recipe: defaultRecipe({ batchSize: 8 }),
    augmentation: noAugmentation,
    artefacts: new FolderArtefacts(join(folder, 'artefacts')),
    checkpoints: { folder: join(folder, 'checkpoints'), dataDigest: datasetDigest(dataset) },
    slots: 1,
  });
}

const request = (overrides: Partial<EvaluationRequest> = {}): EvaluationRequest => {
  return {
    fidelity: { examples: 640, seed: 1 },
    signal: new AbortController().signal,
    keepWeights: true,
    ...overrides,
  };
};

describe('evaluating on this machine', () => {
  it('goes on with a candidate whose training was interrupted, and leaves no checkpoint when it is done', async () => {
    const whole = await (await evaluatorIn(fileFolder())).evaluate({ id: 't0001', spec }, request());
    const folder = fileFolder();
    const evaluator = await evaluatorIn(folder);
    const controller = new AbortController();
    const { signal } = controller;
    const interrupted = evaluator.evaluate(
      { id: 't0001', spec },
      request({ signal, onProgress: () => controller.abort() }),
    );
    await expect(interrupted).rejects.toThrow(InterruptedError);
    await evaluator.close();
    expect(readdirSync(join(folder, 'checkpoints'))).toEqual(['t0001.safetensors']);

    const seen: number[] = [];
    const onProgress = ({ examples }: { examples: number }) => seen.push(examples);
    const outcome = await evaluator.evaluate({ id: 't0001', spec }, request({ onProgress }));
    await evaluator.close();
    expect(seen[0]).toBeGreaterThan(24);
    expect({ ...outcome, cost: undefined }).toEqual({ ...whole, cost: undefined });
    expect(outcome).toMatchObject({ status: 'ok', cost: { examples: 640 } });
    expect(existsSync(join(folder, 'checkpoints'))).toBe(false);
  });
});
