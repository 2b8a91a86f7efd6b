import { createReadStream } from 'node:fs';
import { digestJson, shortDigest } from '../core/digest.ts';
import { EnvironmentError, toWire } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import type { Outcome } from '../core/trial.ts';
import { type NetworkSpec, specDigest } from '../models/spec.ts';
import type { EvaluationRequest, Evaluator } from '../search/evaluator.ts';
import type { FolderArtefacts } from '../study/artefacts.ts';
import type { DataDescription } from '../study/context.ts';
import type { SharedStore } from './store.ts';
import type { JobClient } from './client.ts';
import { jobId, received, type TrainJob, trainResultSchema, type TrainTask } from './contract.ts';

export interface FleetEvaluatorOptions {
  readonly client: JobClient;
  /** Key of the study, the beginning of its jobs' ids. */
  readonly study: string;
  readonly data: DataDescription;
  readonly trainer: TrainTask['trainer'];
  readonly schedule?: TrainTask['schedule'];
  /** Files of the study, and those that workers see. */
  readonly artefacts: FolderArtefacts;
  readonly store: SharedStore;
  /** Trainings that the workers there do at once. */
  readonly capacity: () => number;
  /** Closes the client, and lets go of what else was opened for it. */
  readonly close: () => Promise<void>;
}

/** Pause before a second attempt; it doubles with each further one, and is spread by half of itself either way. */
const firstPauseMs = 1000;
const longestPauseMs = 60_000;
/** Jobs to have in the queue however few workers are there, so that those who join find some. */
const queuedAtLeast = 256;

/** Has candidates trained by workers, through a queue. An attempt at a trial is a job with an id of its own. */
export class FleetEvaluator implements Evaluator {
  readonly #options: FleetEvaluatorOptions;
  #task: Promise<string> | undefined;
  /** Jobs whose answers are not on disk, by trial and attempt, and whether workers may have left something of them. */
  readonly #jobs = new Map<string, { readonly name: string; isTraced: boolean }>();

  constructor(options: FleetEvaluatorOptions) {
    this.#options = options;
  }

  get slots(): number {
    return Math.max(1, this.#options.capacity());
  }

  get inFlight(): number {
    return Math.max(queuedAtLeast, 2 * this.slots);
  }

  async evaluate(
    { id, spec }: { readonly id: string; readonly spec: NetworkSpec },
    { fidelity, keepWeights, signal, attempt = 1, onBegun, onProgress, onNotice }: EvaluationRequest,
  ): Promise<Outcome> {
    const { client, study } = this.#options;
    // A journal that lost its tail may give a trial's id to another network, which is another job.
    const work = shortDigest(digestJson({ spec: specDigest(spec), fidelity, keepWeights }));
    const name = jobId(study, `${id}-${work}`, attempt);
    // Until it answers: a trial that is cancelled gives none.
    const asked = { name, isTraced: true };
    this.#jobs.set(`${id}.${attempt}`, asked);
    let spentS = 0;
    try {
      const task = await (this.#task ??= this.#publishTask().catch((error: unknown) => this.#unpublished(error)));
      const job: TrainJob = {
        schema: 1,
        study,
        trial: id,
        attempt,
        task,
        spec,
        fidelity,
        keepWeights,
      };
      const value = await client.ask(name, job, {
        signal,
        delayMs: pauseMs(name, attempt),
        onBegun,
        onFailureTook: (seconds) => (spentS = seconds),
        onNews: (news) => ('notice' in news ? onNotice?.(news.notice) : onProgress?.(news)),
      });
      const { outcome, traced = false } = received(trainResultSchema, value, name);
      asked.isTraced = traced;
      if (outcome.status === 'ok' && outcome.checkpoint !== undefined) await this.#fetch(outcome.checkpoint);
      return outcome;
    } catch (error) {
      if (signal.aborted) throw error;
      const { code, retry, message } = toWire(error);
      // The next attempt goes on from what is there.
      asked.isTraced = !retry;
      if (!retry) spentS += await client.busyBeforeS(name).catch(() => 0);
      return { status: 'failed', code, retry, detail: message, spentS };
    }
  }

  journalled(trial: string, attempt: number): void {
    const key = `${trial}.${attempt}`;
    const job = this.#jobs.get(key);
    this.#jobs.delete(key);
    if (!job) return;
    const { client, store } = this.#options;
    client.forget(job.name);
    if (job.isTraced) client.removeTrace(job.name, (digest) => store.remove(digest));
  }

  concluded(): void {
    const { client, study, store } = this.#options;
    client.removeTraces(study, (digest) => store.remove(digest));
  }

  close(): Promise<void> {
    return this.#options.close();
  }

  /** What is common to all jobs, put where workers find it, once. */
  async #publishTask(): Promise<string> {
    const { store, data, trainer, schedule } = this.#options;
    const { file, ...description } = data;
    const dataFile = await store.here.put(createReadStream(file));
    await store.publish(dataFile);
    const task: TrainTask = {
      schema: 1,
      dataFile,
      data: {
        ...description,
        classNames: [...data.classNames],
        mean: [...data.mean],
        std: [...data.std],
        counts: { ...data.counts },
      },
      trainer,
      ...(schedule && { schedule }),
    };
    const digest = await store.here.put(Buffer.from(JSON.stringify(task)));
    await store.publish(digest);
    return digest;
  }

  /** The next who asks tries anew. A full disk may have room then, but a file that is gone does not come back. */
  #unpublished(cause: unknown): never {
    this.#task = undefined;
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new EnvironmentError(`expected to put the data into the store, but ${message}`, {
      cause,
      retry: code !== 'ENOENT',
    });
  }

  async #fetch(digest: string): Promise<void> {
    const { store, artefacts } = this.#options;
    if (artefacts.has(digest)) return;
    await store.fetch(digest);
    await artefacts.put(await store.here.read(digest));
  }
}

function pauseMs(name: string, attempt: number): number {
  if (attempt <= 1) return 0;
  const pause = Math.min(longestPauseMs, firstPauseMs * 2 ** (attempt - 2));
  return Math.round(pause * (0.5 + new Random(name).uniform()));
}
