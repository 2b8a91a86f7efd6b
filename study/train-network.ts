import { existsSync, readdirSync, renameSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ConfigError, InterruptedError } from '../core/errors.ts';
import type { Cost, Fidelity } from '../core/trial.ts';
import { writeDatasetFile } from '../data/cache.ts';
import type { Dataset } from '../data/dataset.ts';
import { loadDataset } from '../data/load.ts';
import type { DataSource } from '../data/source.ts';
import { exportOnnx } from '../models/export.ts';
import { readSafetensors } from '../models/safetensors.ts';
import type { NetworkSpec } from '../models/spec.ts';
import { withHostLock } from '../latency/host-lock.ts';
import { loadNetwork } from '../scaling/built-in-networks.ts';
import { trainInChild } from '../training/isolate.ts';
import type { CurvePoint } from '../training/trainer.ts';
import type { StudyProgress } from './context.ts';
import { preprocessingOf } from './deliver-phase.ts';
import { leaseFileName, takeLease } from './lease.ts';
import { describeData } from './prepare.ts';
import { resolveRecipe, type TrainerConfig } from './recipe.ts';
import { type Score, scoreFile } from './score.ts';

export interface TrainNetworkRequest {
  /** A spec, or what {@link loadNetwork} takes: a built-in network is fitted to the data. */
  readonly network: NetworkSpec | string;
  readonly data: DataSource;
  /** Relative paths of `data` start here. */
  readonly baseDirectory: string;
  readonly trainer: TrainerConfig;
  readonly fidelity: Fidelity;
  readonly threads: number;
  /**
   * New folder for `model.onnx`, `weights.safetensors` and `metrics.json`; appears whole or not at all. Until then the
   * work is in a folder beside it that ends in `.part`, from which the same request goes on, and in which nothing but
   * files of this work is ever removed.
   */
  readonly folder: string;
  /** Seconds of training that a kill may cost; 30 by default. */
  readonly checkpointEveryS?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StudyProgress) => void;
  /** Hears what a person should know, e.g. that an interrupted training goes on. */
  readonly onNotice?: (text: string) => void;
}

export interface TrainedNetwork {
  readonly holdout: Score;
  /** The test split, read once, from the exported file. */
  readonly test: Score;
  readonly curve: readonly CurvePoint[];
  readonly cost: Cost;
  /** Id of the lowering that it was trained by. */
  readonly lowering: string;
}

/**
 * Trains one network outside any study, exports it and scores the file in a fresh process.
 * Interrupted or killed, the same request goes on from its last checkpoint and ends as if nothing had happened.
 * @throws {ConfigError} when the spec does not fit the data, the folder exists, the one beside it holds other things,
 * another training was begun for it, or training diverged.
 * @throws {InterruptedError} when aborted. @throws {StudyBusyError} while another process trains for this folder.
 */
export async function trainNetwork(request: TrainNetworkRequest): Promise<TrainedNetwork> {
  const { network, folder, signal, onProgress } = request;
  const work = `${folder}.part`;
  expectNew(folder);
  expectOwn(work);
  if (typeof network === 'string') loadNetwork(network); // A name or file that is wrong need not wait for the data.
  onProgress?.({ phase: 'prepare', text: 'preparing the data' });
  const dataset = await loadDataset(request.data, { baseDirectory: request.baseDirectory, signal });
  const classes = dataset.classNames.length;
  const { channels, height, width } = dataset;
  const nativeResolution = Math.min(height, width);
  const spec =
    typeof network === 'string' ? loadNetwork(network, { data: { classes, channels, nativeResolution } }) : network;
  if (spec.classes !== classes || spec.input.channels !== channels)
    throw new ConfigError(
      `spec: expected ${classes} classes and ${channels} channels as in ${dataset.name}, got ${spec.classes} and ${spec.input.channels}`,
    );
  expectOwn(work); // Preparing the data took its time.
  const release = takeLease(work);
  const checkpointFile = join(work, checkpointName);
  let trained: TrainedNetwork;
  try {
    expectNew(folder); // Another run of the same request may have ended meanwhile.
    removeOwn(work, [checkpointName, leaseFileName]); // What a killed run left.
    trained = await trainInto(work, { ...request, spec, dataset, checkpointFile });
    removeOwn(work, [...delivered, checkpointName, leaseFileName]);
    expectNew(folder);
    renameSync(work, folder);
  } catch (error) {
    removeOwn(work, [checkpointName, leaseFileName]);
    if (!signal?.aborted) throw error;
    const advice = existsSync(checkpointFile) ? `the same command goes on from ${work}` : 'nothing was kept';
    throw new InterruptedError(`interrupted; ${advice}`, { cause: error });
  } finally {
    release();
    removeIfEmpty(work);
  }
  removeOwn(folder, delivered);
  return trained;
}

const dataFileName = 'data.bin';
const checkpointName = 'checkpoint.safetensors';
const delivered = ['model.onnx', 'weights.safetensors', 'metrics.json'] as const;

/** Every file of the work, and what they are called while they are written. */
const ownName =
  /^(?:(?:data\.bin|(?:checkpoint|weights)\.safetensors|model\.onnx|metrics\.json)(?:\.[0-9a-f-]+\.(?:part|tmp))?|lease\.json(?:\.\d+(?:\.stale)?)?)$/;

function expectNew(folder: string): void {
  if (existsSync(folder)) throw new ConfigError(`--out: expected a folder that does not exist yet, got ${folder}`);
}

/** @throws {ConfigError} when there is a folder of that name in which anything is not this command's. */
function expectOwn(work: string): void {
  if (!existsSync(work)) return;
  const expected = '--out: expected the folder for unfinished work to be new or of an earlier run';
  if (!statSync(work).isDirectory()) throw new ConfigError(`${expected}, got the file ${work}`);
  const names = readdirSync(work);
  // A run that was interrupted leaves its checkpoint, one that was killed its lease, too.
  const isMarked = names.some((name) => name === checkpointName || name.startsWith(leaseFileName));
  const foreign = isMarked ? names.find((name) => !ownName.test(name)) : names[0];
  if (foreign !== undefined) throw new ConfigError(`${expected}, got ${join(work, foreign)}`);
}

function removeOwn(folder: string, kept: readonly string[]): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder))
    if (ownName.test(name) && !kept.includes(name)) rmSync(join(folder, name), { force: true });
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // It is kept for what is in it, or has been renamed.
  }
}

/** Trains, exports and scores, leaving every file in a folder that exists. */
async function trainInto(
  work: string,
  {
    spec,
    dataset,
    checkpointFile,
    ...request
  }: TrainNetworkRequest & { readonly spec: NetworkSpec; readonly dataset: Dataset; readonly checkpointFile: string },
): Promise<TrainedNetwork> {
  const { fidelity, signal, onProgress, onNotice } = request;
  const dataFile = join(work, dataFileName);
  await writeDatasetFile(dataset, dataFile);
  const data = describeData(dataset, request.data);
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
        checkpoint: { file: checkpointFile, dataDigest: data.digest, everyS: request.checkpointEveryS },
        signal,
        onProgress: ({ examples, loss, imagesPerS }) =>
          onProgress?.({
            phase: 'train',
            text: `${examples}/${fidelity.examples} examples, loss ${loss.toFixed(3)}, ${Math.round(imagesPerS)} images/s`,
          }),
        onNotice,
      }),
    { signal },
  );
  if (result.status === 'diverged') {
    rmSync(checkpointFile, { force: true });
    throw new ConfigError(
      `training diverged after ${result.atExamples} examples; expected a lower learning rate than ${recipe.learningRate}`,
    );
  }
  const { weights } = await readSafetensors(weightsFile);
  const modelFile = join(work, 'model.onnx');
  writeFileSync(modelFile, exportOnnx(spec, weights, 'batch', preprocessingOf(data)));
  const score = (split: 'holdout' | 'test') => scoreFile({ modelFile, dataFile, split }, signal);
  const trained = {
    holdout: await score('holdout'),
    test: await score('test'),
    curve: result.curve,
    cost: result.cost,
    lowering: result.lowering,
  };
  writeFileSync(
    join(work, 'metrics.json'),
    `${JSON.stringify({ schema: 1, fidelity, recipe, ...trained }, null, 2)}\n`,
  );
  return trained;
}
