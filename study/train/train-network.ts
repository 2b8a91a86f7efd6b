import { existsSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { shortDigest } from '../../core/digest.ts';
import { ConfigError } from '../../core/errors.ts';
import type { Cost, Fidelity } from '../../core/trial.ts';
import { writeDatasetFile } from '../../data/cache.ts';
import type { Dataset } from '../../data/dataset.ts';
import { loadDataset } from '../../data/load.ts';
import type { DataSource } from '../../data/source.ts';
import { exportOnnx } from '../../models/export.ts';
import { readSafetensors } from '../../models/safetensors.ts';
import { type NetworkSpec, specDigest } from '../../models/spec.ts';
import { loadNetwork } from '../../scaling/built-in-networks.ts';
import type { RunLog } from '../../report/run-log/run-log.ts';
import type { ScheduleChoice } from '../../training/heuristic-schedules.ts';
import { expectProviders, expectTrainer, type TrainingProgress } from '../../training/isolate.ts';
import type { CurvePoint } from '../../training/trainer.ts';
import type { StudyProgress } from '../context.ts';
import { differencesOf, type SchedulePair, schedulePair } from './found-schedules.ts';
import { preprocessingOf } from '../preprocessing.ts';
import { describeData } from '../prepare.ts';
import { resolveRecipe, type TrainerConfig } from '../evaluation/recipe.ts';
import { type Score, scoreFile } from '../evaluation/score.ts';
import { whileLogged } from './run-logging.ts';
import { scheduleName } from '../evaluation/training-schedule.ts';
import { pictureWords, trainTold } from './told-training.ts';
import { expectFree, intoFolder, type WorkPlace } from './training-folder.ts';

export interface TrainNetworkRequest {
  /** A spec, or what {@link loadNetwork} takes: a built-in network is fitted to the data. */
  readonly network: NetworkSpec | string;
  readonly data: DataSource;
  /** Relative paths of `data` start here. */
  readonly baseDirectory: string;
  readonly trainer: TrainerConfig;
  readonly fidelity: Fidelity;
  /** How settings change as the training goes on; they stay when absent. Every file that a schedule needs is read already. */
  readonly schedule?: ScheduleChoice | undefined;
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
  /** Hears of the run as it goes, under the folder's name; see `openRunLog`. What it cannot take is a notice. */
  readonly log?: RunLog;
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
 * @throws {EnvironmentError} when the trainer's package is not installed.
 * @throws {InterruptedError} when aborted. @throws {StudyBusyError} while another process trains for this folder.
 */
export async function trainNetwork(request: TrainNetworkRequest): Promise<TrainedNetwork> {
  const { network, folder, signal, onProgress, onNotice } = request;
  expectFree(folder);
  const { trainer, recipe } = resolveRecipe(request.trainer);
  expectTrainer(trainer);
  await expectProviders({ recipe, ...(request.schedule && { schedule: request.schedule }) });
  if (typeof network === 'string') loadNetwork(network); // A name or file that is wrong need not wait for the data.
  onProgress?.({ phase: 'prepare', text: 'preparing the data' });
  const dataset = await loadDataset(request.data, { baseDirectory: request.baseDirectory, signal, onNotice });
  const classes = dataset.classNames.length;
  const { channels, height, width } = dataset;
  const nativeResolution = Math.min(height, width);
  const spec =
    typeof network === 'string' ? loadNetwork(network, { data: { classes, channels, nativeResolution } }) : network;
  if (spec.classes !== classes || spec.input.channels !== channels)
    throw new ConfigError(
      `spec: expected ${classes} classes and ${channels} channels as in ${dataset.name}, got ${spec.classes} and ${spec.input.channels}`,
    );
  return intoFolder(folder, signal, (place) => trainLogged(place, { ...request, spec, dataset }));
}

type PreparedRequest = TrainNetworkRequest & { readonly spec: NetworkSpec; readonly dataset: Dataset };

function trainLogged(place: WorkPlace, request: PreparedRequest): Promise<TrainedNetwork> {
  const { spec, dataset, schedule, folder, onNotice } = request;
  const fidelity = { ...request.fidelity, ...(schedule && { schedule: scheduleName(schedule) }) };
  const { trainer, recipe } = resolveRecipe(request.trainer);
  const parameters = { trainer, data: dataset.name, network: shortDigest(specDigest(spec)) };
  const goesOn = existsSync(place.checkpointFile);
  return whileLogged(
    request.log,
    { name: basename(folder), recipe, fidelity, parameters, goesOn, onNotice },
    (onPoint) => trainInto(place, { ...request, onPoint }),
    ({ holdout, test }) => ({
      'holdout/accuracy': holdout.accuracy,
      'holdout/cross-entropy': holdout.crossEntropy,
      'test/accuracy': test.accuracy,
      'test/cross-entropy': test.crossEntropy,
    }),
  );
}

/** Why a schedule that was searched for may not suit this network and device. */
function doubtsAbout(schedule: ScheduleChoice | undefined, here: SchedulePair): readonly string[] {
  if (typeof schedule !== 'object' || !schedule.found) return [];
  return differencesOf(schedule.found, here);
}

const dataFileName = 'data.bin';

/** Trains, exports and scores, leaving every file in a folder that exists. */
async function trainInto(
  { work, checkpointFile }: WorkPlace,
  { spec, dataset, onPoint, ...request }: PreparedRequest & { readonly onPoint: (point: TrainingProgress) => void },
): Promise<TrainedNetwork> {
  const { fidelity, schedule, signal, onProgress, onNotice } = request;
  const dataFile = join(work, dataFileName);
  await writeDatasetFile(dataset, dataFile);
  const data = describeData(dataset, request.data);
  const { trainer, recipe, augmentation } = resolveRecipe(request.trainer);
  const doubts = doubtsAbout(schedule, schedulePair(spec, recipe.provider));
  if (doubts.length > 0)
    onNotice?.(`the schedule was found for another pair of network and device (${doubts.join('; ')})`);
  const weightsFile = join(work, 'weights.safetensors');
  const result = await trainTold({
    spec,
    data: { file: dataFile, augmentation, scoredSplit: 'holdout' },
    trainer,
    recipe,
    fidelity,
    ...(schedule && { schedule }),
    threads: request.threads,
    weightsFile,
    checkpoint: { file: checkpointFile, dataDigest: data.digest, everyS: request.checkpointEveryS },
    words: pictureWords,
    signal,
    onPoint,
    onProgress,
    onNotice,
  });
  const { weights } = await readSafetensors(weightsFile);
  const modelFile = join(work, 'model.onnx');
  writeFileSync(modelFile, exportOnnx(spec, weights, 'batch', preprocessingOf(data)));
  const { holdout, test } = await scoreFile({ modelFile, dataFile, splits: ['holdout', 'test'] }, signal);
  const trained = {
    holdout,
    test,
    curve: result.curve,
    cost: result.cost,
    lowering: result.lowering,
  };
  writeFileSync(
    join(work, 'metrics.json'),
    `${JSON.stringify(
      {
        schema: 1,
        data: { name: data.name, digest: data.digest },
        fidelity,
        recipe,
        ...(schedule && { schedule }),
        ...trained,
      },
      null,
      2,
    )}\n`,
  );
  return trained;
}
