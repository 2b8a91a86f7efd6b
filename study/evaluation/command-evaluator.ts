import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CommandError } from '../../commands/run.ts';
import { type CommandTrainer, openCommandTrainer, type CommandTrainingResult } from '../../commands/trainer.ts';
import { writeTrainingData } from '../../commands/training-data.ts';
import { ConfigError } from '../../core/errors.ts';
import type { Cost, Fidelity, Outcome } from '../../core/trial.ts';
import { readDatasetFile } from '../../data/cache.ts';
import { withHostLock } from '../../latency/host-lock.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import type { EvaluationRequest, Evaluator } from '../../search/evaluator.ts';
import type { FolderArtefacts } from '../artefacts.ts';
import type { DataDescription } from '../context.ts';
import { countSpec } from './evaluate.ts';
import { type StudyConfig, studyCommand, type TrainerCommand } from '../study-file.ts';

/** What of a study a training program is about. */
type CommandStudy = Pick<StudyConfig, 'study' | 'trainer' | 'trainerCommand' | 'commands' | 'baseDirectory'>;

/** Within a study's folder: requests, states and logs of trainings by the user's own program. */
export function trainingsFolder(folder: string): string {
  return join(resolve(folder), 'trainings');
}

/** Trains by the study's own program, its trainings in a folder of the study's; undefined where the study has none. */
export function commandEvaluator(
  config: CommandStudy,
  folder: string,
  data: DataDescription,
  artefacts: FolderArtefacts,
): Evaluator | undefined {
  if (!config.trainerCommand) return undefined;
  return new CommandEvaluator(config, config.trainerCommand, data, {
    artefacts,
    folder: trainingsFolder(folder),
  });
}

/**
 * Trains candidates by the user's own program, sharing the host's lock where it computes on this machine. What
 * the program keeps is in its state; the study keeps weights only when asked for.
 */
class CommandEvaluator implements Evaluator {
  readonly slots: number;
  readonly #trainer: CommandTrainer;
  readonly #artefacts: FolderArtefacts;
  readonly #data: DataDescription;
  readonly #folder: string;
  readonly #dataFiles = new Map<number, Promise<string>>();

  /** @param folder where states, requests and logs of trainings live. */
  constructor(
    config: CommandStudy,
    { name, params }: TrainerCommand,
    data: DataDescription,
    { artefacts, folder }: { readonly artefacts: FolderArtefacts; readonly folder: string },
  ) {
    this.slots = config.trainer.parallel ?? 1;
    this.#artefacts = artefacts;
    this.#data = data;
    this.#folder = folder;
    this.#trainer = openCommandTrainer({
      command: studyCommand(config, name),
      params: { ...params },
      study: config.study,
      folder,
    });
  }

  async evaluate(
    candidate: { readonly id: string; readonly spec: NetworkSpec },
    request: EvaluationRequest,
  ): Promise<Outcome> {
    const { spec } = candidate;
    const { signal, fidelity } = request;
    if (fidelity.resolution !== undefined && fidelity.resolution !== spec.input.resolution)
      throw new ConfigError(
        `expected to train at the network's own resolution of ${spec.input.resolution} px, got ${fidelity.resolution}`,
      );
    let begunMs: number | undefined;
    try {
      const { onThisHost } = await this.#trainer.describe(signal);
      const train = (): Promise<CommandTrainingResult> => {
        begunMs = performance.now();
        request.onBegun?.();
        return this.#train(candidate, request);
      };
      return await this.#outcome(
        spec,
        fidelity,
        onThisHost ? await withHostLock('shared', train, { signal }) : await train(),
      );
    } catch (error) {
      if (!(error instanceof CommandError) || error.failure === 'environmentBroken' || error.failure === 'notStarted')
        throw error;
      const spentS = begunMs === undefined ? 0 : (performance.now() - begunMs) / 1e3;
      return { status: 'failed', code: error.code, retry: error.retry, detail: error.message, spentS };
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #train(
    { id, spec }: { readonly id: string; readonly spec: NetworkSpec },
    { fidelity, keepWeights, signal, onProgress }: EvaluationRequest,
  ): Promise<CommandTrainingResult> {
    const { digest, name, classNames, mean, std } = this.#data;
    const file = await this.#dataFile(spec.input.resolution);
    return this.#trainer.train({
      id,
      spec,
      data: { file, digest, name, classNames: [...classNames], mean: [...mean], std: [...std] },
      fidelity,
      keepWeights,
      signal,
      onEvent: (event) => {
        if (event.t !== 'progress' || event.examples === undefined) return;
        const { examples, imagesPerS } = event;
        onProgress?.({ examples, imagesPerS, loss: event.metrics?.['loss'] });
      },
    });
  }

  /** The data at a resolution, written when it is first needed. */
  #dataFile(side: number): Promise<string> {
    const path = join(this.#folder, `data-${side}.bin`);
    const written = this.#dataFiles.get(side) ?? this.#writeData(side, path);
    this.#dataFiles.set(side, written);
    return written;
  }

  async #writeData(side: number, path: string): Promise<string> {
    if (existsSync(path)) return path;
    mkdirSync(this.#folder, { recursive: true });
    await writeTrainingData(await readDatasetFile(this.#data.file), side, path);
    return path;
  }

  async #outcome(spec: NetworkSpec, fidelity: Fidelity, trained: CommandTrainingResult): Promise<Outcome> {
    const { result, wallS } = trained;
    if (result.status === 'failed') return result;
    const cost = (known: Partial<Cost> = {}): Cost => ({
      trainS: wallS,
      measureS: 0,
      examples: fidelity.examples,
      flops: 6 * countSpec(spec).macs * fidelity.examples,
      peakRssBytes: 0,
      ...known,
    });
    if (result.status === 'infeasible') return { ...result, cost: cost() };
    const weights = 'weights' in trained ? trained.weights : undefined;
    return {
      status: 'ok',
      metrics: Object.fromEntries(Object.entries(result.metrics).map(([name, { value }]) => [name, value])),
      cost: cost(result.cost),
      ...(weights ? { checkpoint: await this.#artefacts.put(weights) } : {}),
    };
  }
}
