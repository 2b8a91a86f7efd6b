import { existsSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { Cost, Fidelity, Metrics } from '../../core/trial.ts';
import { loadText, type Text, type TextSource } from '../../data/text.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { exportOnnx } from '../../models/export.ts';
import { readSafetensors } from '../../models/safetensors.ts';
import type { TransformerSpec } from '../../models/transformer.ts';
import { expectProviders, expectTrainer, type TrainingProgress } from '../../training/isolate.ts';
import { textTask } from '../../training/text-task.ts';
import type { CurvePoint } from '../../training/trainer.ts';
import type { TrainNetworkRequest } from './train-network.ts';
import { resolveRecipe, type TrainerConfig } from '../evaluation/recipe.ts';
import { whileLogged } from './run-logging.ts';
import { scheduleName } from '../evaluation/training-schedule.ts';
import { sequenceWords, trainTold } from './told-training.ts';
import { expectFree, intoFolder, type WorkPlace } from './training-folder.ts';

export interface TrainLanguageModelRequest extends Omit<TrainNetworkRequest, 'network' | 'data'> {
  readonly network: TransformerSpec;
  readonly data: TextSource;
  /** Examples are sequences of the network's context. */
  readonly fidelity: Fidelity;
}

export interface TrainedLanguageModel {
  /** On the text's scored sequences, token by token. */
  readonly accuracy: number;
  readonly crossEntropyNats: number;
  /** Least mean loss that any model can reach on them; absent where nobody knows. */
  readonly irreducibleNats?: number;
  readonly params: number;
  /** Training tokens seen. */
  readonly tokens: number;
  readonly curve: readonly CurvePoint[];
  readonly cost: Cost;
}

/** AdamW at its usual rate, warmed up, with its gradients' norm held to 1, as language models are trained. */
export const languageModelRecipe: TrainerConfig = {
  optimizer: 'adamw',
  warmup: 0.05,
  weightDecay: 0.1,
  clipNorm: 1,
  labelSmoothing: 0,
};

/**
 * Trains one transformer on text and exports it: `model.onnx`, `weights.safetensors` and `metrics.json` in a new folder.
 * Interrupted or killed, the same request goes on from its last checkpoint and ends as if nothing had happened.
 * @throws {ConfigError} when the text does not fit the network, the folder exists, or training diverged.
 * @throws {InterruptedError} when aborted. @throws {StudyBusyError} while another process trains for this folder.
 */
export async function trainLanguageModel(request: TrainLanguageModelRequest): Promise<TrainedLanguageModel> {
  const { network, folder, signal } = request;
  expectFree(folder);
  const { trainer, recipe } = resolveRecipe(request.trainer);
  expectTrainer(trainer);
  await expectProviders({ recipe, ...(request.schedule && { schedule: request.schedule }) });
  const data = absoluteSource(request.data, request.baseDirectory);
  const text = await loadText(data, '');
  textTask(text, network); // Refuses what does not fit.
  return intoFolder(folder, signal, (place) => trainLogged(place, { ...request, data }, text));
}

function trainLogged(place: WorkPlace, request: TrainLanguageModelRequest, text: Text): Promise<TrainedLanguageModel> {
  const { schedule, folder, onNotice } = request;
  const fidelity = { ...request.fidelity, ...(schedule && { schedule: scheduleName(schedule) }) };
  const { trainer, recipe } = resolveRecipe({ ...languageModelRecipe, ...request.trainer });
  const parameters = { trainer, data: text.name };
  const goesOn = existsSync(place.checkpointFile);
  return whileLogged(
    request.log,
    { name: basename(folder), recipe, fidelity, parameters, goesOn, onNotice },
    (onPoint) => trainInto(place, { ...request, onPoint }, text),
    ({ accuracy, crossEntropyNats }) => ({
      'holdout/accuracy': accuracy,
      'holdout/cross-entropy': crossEntropyNats,
    }),
  );
}

/** What a child process can open wherever it runs. */
export function absoluteSource(data: TextSource, baseDirectory: string): TextSource {
  return data.format === 'text' ? { ...data, path: resolve(baseDirectory, data.path) } : data;
}

async function trainInto(
  { work, checkpointFile }: WorkPlace,
  {
    network,
    data,
    trainer: config,
    fidelity,
    schedule,
    threads,
    checkpointEveryS,
    signal,
    onProgress,
    onPoint,
    onNotice,
  }: TrainLanguageModelRequest & { readonly onPoint: (point: TrainingProgress) => void },
  text: Text,
): Promise<TrainedLanguageModel> {
  const { trainer, recipe } = resolveRecipe({ ...languageModelRecipe, ...config });
  const weightsFile = join(work, 'weights.safetensors');
  const result = await trainTold({
    spec: network,
    data,
    trainer,
    recipe,
    fidelity,
    ...(schedule && { schedule }),
    threads,
    weightsFile,
    checkpoint: { file: checkpointFile, dataDigest: text.digest, everyS: checkpointEveryS },
    words: sequenceWords(network.context),
    signal,
    onPoint,
    onProgress,
    onNotice,
  });
  const { weights } = await readSafetensors(weightsFile);
  writeFileSync(join(work, 'model.onnx'), exportOnnx(network, weights, 'batch'));
  const trained = languageModelResult(network, text, result.metrics, result);
  writeFileSync(
    join(work, 'metrics.json'),
    `${JSON.stringify({ schema: 1, text: text.name, fidelity, recipe, ...(schedule && { schedule }), ...trained }, null, 2)}\n`,
  );
  return trained;
}

/** A finished run in a language model's words. */
export function languageModelResult(
  network: TransformerSpec,
  text: Text,
  { accuracy, crossEntropy }: Metrics,
  { curve, cost }: { readonly curve: readonly CurvePoint[]; readonly cost: Cost },
): TrainedLanguageModel {
  const irreducibleNats = text.irreducibleNats(network.context);
  return {
    accuracy: accuracy as number,
    crossEntropyNats: crossEntropy as number,
    ...(irreducibleNats !== undefined && { irreducibleNats }),
    params: countGraph(buildNetwork(network, 1)).params,
    tokens: cost.examples * network.context,
    curve,
    cost,
  };
}
