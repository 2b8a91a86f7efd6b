import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import type { Cost, Fidelity } from '../core/trial.ts';
import { writeDatasetFile } from '../data/cache.ts';
import { loadDataset } from '../data/load.ts';
import type { DataSource } from '../data/source.ts';
import { exportOnnx } from '../models/export.ts';
import { readSafetensors } from '../models/safetensors.ts';
import type { NetworkSpec } from '../models/spec.ts';
import { withHostLock } from '../latency/host-lock.ts';
import { trainInChild } from '../training/isolate.ts';
import type { CurvePoint } from '../training/trainer.ts';
import type { StudyProgress } from './context.ts';
import { preprocessingOf } from './deliver-phase.ts';
import { describeData } from './prepare.ts';
import { resolveRecipe, type TrainerConfig } from './recipe.ts';
import { type Score, scoreFile } from './score.ts';

export interface TrainNetworkRequest {
  readonly spec: NetworkSpec;
  readonly data: DataSource;
  /** Relative paths of `data` start here. */
  readonly baseDirectory: string;
  readonly trainer: TrainerConfig;
  readonly fidelity: Fidelity;
  readonly threads: number;
  /** New folder for `model.onnx`, `weights.safetensors` and `metrics.json`; appears whole or not at all. */
  readonly folder: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StudyProgress) => void;
}

export interface TrainedNetwork {
  readonly holdout: Score;
  /** The test split, read once, from the exported file. */
  readonly test: Score;
  readonly curve: readonly CurvePoint[];
  readonly cost: Cost;
}

/**
 * Trains one network outside any study, exports it and scores the file in a fresh process.
 * @throws {ConfigError} when the spec does not fit the data, the folder exists, or training diverged.
 */
export async function trainNetwork(request: TrainNetworkRequest): Promise<TrainedNetwork> {
  const { spec, fidelity, folder, signal, onProgress = () => {} } = request;
  if (existsSync(folder)) throw new ConfigError(`--out: expected a folder that does not exist yet, got ${folder}`);
  onProgress({ phase: 'prepare', text: 'preparing the data' });
  const dataset = await loadDataset(request.data, { baseDirectory: request.baseDirectory, signal });
  if (spec.classes !== dataset.classNames.length || spec.input.channels !== dataset.channels)
    throw new ConfigError(
      `spec: expected ${dataset.classNames.length} classes and ${dataset.channels} channels as in ${dataset.name}, got ${spec.classes} and ${spec.input.channels}`,
    );
  mkdirSync(dirname(folder), { recursive: true });
  const work = mkdtempSync(`${folder}.part-`);
  try {
    const dataFile = join(work, 'data.bin');
    await writeDatasetFile(dataset, dataFile);
    const { recipe, augmentation } = resolveRecipe(request.trainer);
    const weightsFile = join(work, 'weights.safetensors');
    const result = await withHostLock(
      'shared',
      () =>
        trainInChild({
          spec,
          data: { file: dataFile, augmentation, scoredSplit: 'holdout' },
          recipe,
          fidelity,
          threads: Math.min(request.threads, availableParallelism()),
          weightsFile,
          signal,
          onProgress: ({ examples, loss, imagesPerS }) =>
            onProgress({
              phase: 'train',
              text: `${examples}/${fidelity.examples} examples, loss ${loss.toFixed(3)}, ${Math.round(imagesPerS)} images/s`,
            }),
        }),
      { signal },
    );
    if (result.status === 'diverged')
      throw new ConfigError(
        `training diverged after ${result.atExamples} examples; expected a lower learning rate than ${recipe.learningRate}`,
      );
    const { weights } = await readSafetensors(weightsFile);
    const modelFile = join(work, 'model.onnx');
    writeFileSync(modelFile, exportOnnx(spec, weights, 'batch', preprocessingOf(describeData(dataset, request.data))));
    const score = (split: 'holdout' | 'test') => scoreFile({ modelFile, dataFile, split }, signal);
    const trained = {
      holdout: await score('holdout'),
      test: await score('test'),
      curve: result.curve,
      cost: result.cost,
    };
    rmSync(dataFile);
    writeFileSync(
      join(work, 'metrics.json'),
      `${JSON.stringify({ schema: 1, fidelity, recipe, ...trained }, null, 2)}\n`,
    );
    renameSync(work, folder);
    return trained;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
