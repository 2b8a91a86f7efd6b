import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, InfeasibleModelError, toWire } from '../../core/errors.ts';
import type { Outcome } from '../../core/trial.ts';
import type { Augmentation } from '../../data/augment.ts';
import { withHostLock } from '../../latency/host-lock.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import type { EvaluationRequest, Evaluator } from '../../search/evaluator.ts';
import type { ScheduleChoice } from '../../training/heuristic-schedules.ts';
import { expectProviders, expectTrainer, type StoredTrainingResult, trainInChild } from '../../training/isolate.ts';
import type { Recipe, TrainerKind } from '../../training/trainer.ts';
import type { FolderArtefacts } from '../artefacts.ts';
import { infeasibleOutcome } from './evaluate.ts';
import { scheduleName } from './training-schedule.ts';

export interface LocalEvaluatorOptions {
  /** Prepared data-set file. */
  readonly dataFile: string;
  readonly trainer: TrainerKind;
  readonly recipe: Recipe;
  readonly augmentation: Augmentation;
  /** Of trainings whose fidelity names one. */
  readonly schedule?: ScheduleChoice | undefined;
  readonly artefacts: FolderArtefacts;
  /**
   * Folder where trainings under way are saved, a file each, and digest of the data they are on. Nobody else writes
   * there, and nothing is lost with it but time: what does not fit a training is replaced.
   */
  readonly checkpoints: {
    readonly folder: string;
    readonly dataDigest: string;
    /** Seconds of training that a kill may cost. */
    readonly everyS?: number;
    /** Hears that a later state is saved, and how many seconds of training that is. */
    readonly onSaved?: (trainS: number) => void;
  };
  /** Candidates trained at once, one thread each. */
  readonly slots: number;
}

/** Where a trial's training is saved while it is under way. */
export function checkpointFileOf(folder: string, trial: string): string {
  return join(folder, `${trial}.safetensors`);
}

/** The trial whose training a file of that name saves; undefined for others. */
export function trialOfCheckpoint(name: string): string | undefined {
  return /^(.+)\.safetensors$/.exec(name)?.[1];
}

/** A checkpoint while it is written. */
const unfinishedName = /\.safetensors\.[0-9a-f]+\.tmp$/;

/**
 * Trains candidates on this machine, each in a process of its own, sharing the host lock so that
 * nobody measures latency meanwhile. Weights are kept only when asked for; a training that was
 * interrupted goes on when the same candidate is evaluated again.
 */
export class LocalEvaluator implements Evaluator {
  readonly slots: number;
  readonly #options: LocalEvaluatorOptions;

  /** @throws {EnvironmentError} when the trainer's package is not installed. */
  constructor(options: LocalEvaluatorOptions) {
    expectTrainer(options.trainer);
    this.slots = options.slots;
    this.#options = options;
  }

  async evaluate(
    candidate: { readonly id: string; readonly spec: NetworkSpec },
    request: EvaluationRequest,
  ): Promise<Outcome> {
    const outcome = await this.#attempt(candidate, request);
    // One that may be tried again may go on from it.
    if (!(outcome.status === 'failed' && outcome.retry))
      await rm(checkpointFileOf(this.#options.checkpoints.folder, candidate.id), { force: true });
    return outcome;
  }

  async close(): Promise<void> {
    const { folder } = this.#options.checkpoints;
    const names = await readdir(folder).catch(() => []);
    // Nothing is being written any more: these are what killed trainings left.
    for (const name of names) if (unfinishedName.test(name)) await rm(join(folder, name), { force: true });
    // What is left in it are trainings to go on with.
    await rmdir(folder).catch(() => {});
  }

  async #attempt(
    candidate: { readonly id: string; readonly spec: NetworkSpec },
    request: EvaluationRequest,
  ): Promise<Outcome> {
    const folder = await mkdtemp(join(tmpdir(), 'ridgepoint-train-'));
    const askedMs = performance.now();
    let begunMs: number | undefined;
    try {
      return await withHostLock(
        'shared',
        async () => {
          begunMs = performance.now();
          request.onBegun?.();
          const waitS = (begunMs - askedMs) / 1e3;
          const outcome = await this.#train(candidate, request, join(folder, 'weights.safetensors'));
          return outcome.status === 'ok' ? { ...outcome, cost: { ...outcome.cost, waitS } } : outcome;
        },
        { signal: request.signal },
      );
    } catch (error) {
      if (request.signal.aborted) throw error;
      if (error instanceof InfeasibleModelError) return infeasibleOutcome(error);
      const { code, retry, message } = toWire(error);
      // Waiting for the host's lock is nobody's cost.
      const spentS = begunMs === undefined ? 0 : (performance.now() - begunMs) / 1e3;
      return { status: 'failed', code, retry, detail: message, spentS };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async #train(
    { id, spec }: { readonly id: string; readonly spec: NetworkSpec },
    request: EvaluationRequest,
    weightsFile: string,
  ): Promise<Outcome> {
    const { dataFile, trainer, recipe, augmentation, checkpoints } = this.#options;
    const schedule = this.#scheduleOf(request);
    // Those of final trainings, too, before anything is trained.
    await expectProviders({ recipe, ...(this.#options.schedule && { schedule: this.#options.schedule }) });
    if (request.fidelity.resolution !== undefined && request.fidelity.resolution !== spec.input.resolution)
      throw new ConfigError(
        `expected to train at the network's own resolution of ${spec.input.resolution} px, got ${request.fidelity.resolution}`,
      );
    await mkdir(checkpoints.folder, { recursive: true });
    const result = await trainInChild({
      spec,
      data: { file: dataFile, augmentation, scoredSplit: 'holdout' },
      trainer,
      recipe,
      fidelity: request.fidelity,
      ...(schedule && { schedule }),
      threads: 1,
      weightsFile,
      checkpoint: {
        file: checkpointFileOf(checkpoints.folder, id),
        dataDigest: checkpoints.dataDigest,
        onMisfit: 'start-over',
        ...(checkpoints.everyS === undefined ? {} : { everyS: checkpoints.everyS }),
      },
      onSaved: checkpoints.onSaved,
      signal: request.signal,
      onProgress: ({ examples, loss, imagesPerS }) => request.onProgress?.({ examples, loss, imagesPerS }),
      onNotice: request.onNotice,
    });
    return this.#outcomeOf(result, request, weightsFile);
  }

  #scheduleOf({ fidelity }: EvaluationRequest): ScheduleChoice | undefined {
    if (fidelity.schedule === undefined) return undefined;
    const { schedule } = this.#options;
    if (schedule === undefined || scheduleName(schedule) !== fidelity.schedule)
      throw new ConfigError(
        `expected to train by the schedule ${fidelity.schedule}, got ${schedule ? scheduleName(schedule) : 'none'}`,
      );
    return schedule;
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
