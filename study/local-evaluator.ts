import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, toWire } from '../core/errors.ts';
import type { Outcome } from '../core/trial.ts';
import type { Augmentation } from '../data/augment.ts';
import { withHostLock } from '../latency/host-lock.ts';
import type { NetworkSpec } from '../models/spec.ts';
import type { EvaluationRequest, Evaluator } from '../search/evaluator.ts';
import { type StoredTrainingResult, trainInChild } from '../training/isolate.ts';
import type { Recipe } from '../training/trainer.ts';
import type { FolderArtefacts } from './artefacts.ts';

export interface LocalEvaluatorOptions {
  /** Prepared data-set file. */
  readonly dataFile: string;
  readonly recipe: Recipe;
  readonly augmentation: Augmentation;
  readonly artefacts: FolderArtefacts;
  /** Folder where trainings under way are saved, a file each, and digest of the data they are on. */
  readonly checkpoints: { readonly folder: string; readonly dataDigest: string };
  /** Candidates trained at once, one thread each. */
  readonly slots: number;
}

/**
 * Trains candidates on this machine, each in a process of its own, sharing the host lock so that
 * nobody measures latency meanwhile. Weights are kept only when asked for; a training that was
 * interrupted goes on when the same candidate is evaluated again.
 */
export class LocalEvaluator implements Evaluator {
  readonly slots: number;
  readonly #options: LocalEvaluatorOptions;

  constructor(options: LocalEvaluatorOptions) {
    this.slots = options.slots;
    this.#options = options;
  }

  async evaluate(
    candidate: { readonly id: string; readonly spec: NetworkSpec },
    request: EvaluationRequest,
  ): Promise<Outcome> {
    const folder = await mkdtemp(join(tmpdir(), 'ridgepoint-train-'));
    try {
      return await withHostLock('shared', () => this.#train(candidate, request, join(folder, 'weights.safetensors')), {
        signal: request.signal,
      });
    } catch (error) {
      if (request.signal.aborted) throw error;
      const { code, retry, message } = toWire(error);
      return { status: 'failed', code, retry, detail: message };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async close(): Promise<void> {
    // What is left in it are trainings to go on with.
    await rmdir(this.#options.checkpoints.folder).catch(() => {});
  }

  async #train(
    { id, spec }: { readonly id: string; readonly spec: NetworkSpec },
    request: EvaluationRequest,
    weightsFile: string,
  ): Promise<Outcome> {
    const { dataFile, recipe, augmentation, artefacts, checkpoints } = this.#options;
    if (request.fidelity.resolution !== undefined && request.fidelity.resolution !== spec.input.resolution)
      throw new ConfigError(
        `expected to train at the network's own resolution of ${spec.input.resolution} px, got ${request.fidelity.resolution}`,
      );
    await mkdir(checkpoints.folder, { recursive: true });
    const checkpointFile = join(checkpoints.folder, `${id}.safetensors`);
    const result = await trainInChild({
      spec,
      data: { file: dataFile, augmentation, scoredSplit: 'holdout' },
      recipe,
      fidelity: request.fidelity,
      threads: 1,
      weightsFile,
      ...(request.from ? { initialWeightsFile: artefacts.path(request.from) } : {}),
      checkpoint: { file: checkpointFile, dataDigest: checkpoints.dataDigest },
      signal: request.signal,
      onProgress: ({ examples, loss, imagesPerS }) => request.onProgress?.({ examples, loss, imagesPerS }),
    });
    const done = await this.#outcomeOf(result, request, weightsFile);
    await rm(checkpointFile, { force: true });
    return done;
  }

  async #outcomeOf(
    result: StoredTrainingResult,
    { keepWeights }: EvaluationRequest,
    weightsFile: string,
  ): Promise<Outcome> {
    if (result.status === 'diverged')
      return {
        status: 'infeasible',
        reason: 'diverged',
        detail: `after ${result.atExamples} examples`,
        cost: result.cost,
      };
    const checkpoint = keepWeights ? await this.#options.artefacts.put(createReadStream(weightsFile)) : undefined;
    return {
      status: 'ok',
      metrics: result.metrics,
      cost: result.cost,
      curve: [...result.curve],
      ...(checkpoint ? { checkpoint } : {}),
    };
  }
}
