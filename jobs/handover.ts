import { createReadStream } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import type { NetworkSpec } from '../models/spec.ts';
import type { EvaluationRequest, Evaluator } from '../search/evaluator.ts';
import type { Outcome } from '../core/trial.ts';
import { checkpointFileOf, LocalEvaluator, type LocalEvaluatorOptions } from '../study/local-evaluator.ts';
import type { SharedStore } from './store.ts';

/** What nobody takes over is forgotten after so long, as jobs are. */
const keptS = 7 * 24 * 3600;

/** Which file of the store has the last saved state of a job's work. All attempts at a job share it. */
export interface SavedWork {
  /** Digest of the file; undefined where nothing was saved. */
  read(): Promise<string | undefined>;
  /** @throws when Redis is gone. */
  write(digest: string): Promise<void>;
}

/** Key of the {@link SavedWork} of a job: its id without the attempt. */
export function savedKey(prefix: string, job: string): string {
  return `${prefix}:saved:${job.replace(/\.\d+$/, '')}`;
}

/** The {@link SavedWork} of a job, as its worker keeps it at a Redis. */
export function savedWork(redis: Redis, prefix: string, job: string): SavedWork {
  const key = savedKey(prefix, job);
  return {
    read: async () => (await redis.get(key)) ?? undefined,
    write: async (digest) => {
      // Commands would wait for it, and say the same late.
      if (redis.status !== 'ready') throw new Error('Redis is gone');
      await redis.set(key, digest, 'EX', keptS);
    },
  };
}

interface HandoverOptions {
  /** Where the training saves itself on this host. */
  readonly file: string;
  readonly store: SharedStore;
  readonly saved: SavedWork;
  readonly onNotice: ((text: string) => void) | undefined;
}

/** One training that goes on wherever it is taken up: what it saves goes to the store, and its place there is known to all. */
class Handover {
  readonly #options: HandoverOptions;
  /** The file in the store that this one takes the place of. */
  #last: string | undefined;
  #isDue = false;
  #giving: Promise<void> | undefined;
  #hasFailed = false;

  constructor(options: HandoverOptions) {
    this.#options = options;
  }

  /** Whether something of it is in the store. */
  get isSaved(): boolean {
    return this.#last !== undefined;
  }

  /** Puts what was saved last where the training looks for it. Without it the training begins anew, which is said. */
  async take(): Promise<void> {
    const { file, store, saved, onNotice } = this.#options;
    const digest = await saved.read();
    if (digest === undefined) return;
    try {
      await store.fetch(digest);
      await copyFile(store.here.path(digest), file);
      await store.release(digest);
      this.#last = digest;
    } catch (error) {
      await rm(file, { force: true });
      onNotice?.(`training starts over: what was saved of it cannot be had (${(error as Error).message})`);
    }
  }

  /** Gives what is saved now, once what is being given is there. That it fails is told, the first time, and costs nothing else. */
  give(): Promise<void> {
    this.#isDue = true;
    this.#giving ??= this.#giveAll().finally(() => (this.#giving = undefined));
    return this.#giving;
  }

  async #giveAll(): Promise<void> {
    while (this.#isDue) {
      this.#isDue = false;
      await this.#giveOnce().catch((error: NodeJS.ErrnoException) => {
        // A training that ended has removed its file.
        if (this.#hasFailed || error.code === 'ENOENT') return;
        this.#hasFailed = true;
        this.#options.onNotice?.(`the training could not be saved for other workers: ${error.message}; it goes on`);
      });
    }
  }

  async #giveOnce(): Promise<void> {
    const { file, store, saved } = this.#options;
    const digest = await store.here.put(createReadStream(file));
    if (digest === this.#last) return;
    await store.publish(digest);
    await saved.write(digest);
    await store.release(digest);
    const before = this.#last;
    this.#last = digest;
    if (before !== undefined) await store.remove(before);
  }

  /** Resolves when nothing is being given. */
  async settled(): Promise<void> {
    await this.#giving;
  }
}

export interface HandedOverOptions extends Omit<LocalEvaluatorOptions, 'artefacts' | 'checkpoints' | 'slots'> {
  readonly store: SharedStore;
  readonly saved: SavedWork;
  /** Whether a job that is stopped now is done by others. */
  readonly isGivenBack: () => boolean;
  /** Digest of the data, and seconds of training that the loss of this host may cost. */
  readonly dataDigest: string;
  readonly everyS: number;
}

/**
 * Trains one candidate on this machine so that another worker can go on: what the training saves goes through the store, without
 * holding it up. What a training left there is removed by the study, once its journal has the result.
 */
export class HandedOverEvaluator implements Evaluator {
  readonly slots = 1;
  readonly #options: HandedOverOptions;
  #isSaved = false;

  constructor(options: HandedOverOptions) {
    this.#options = options;
  }

  /** Whether the last training left something in the store. */
  get isSaved(): boolean {
    return this.#isSaved;
  }

  async evaluate(
    candidate: { readonly id: string; readonly spec: NetworkSpec },
    request: EvaluationRequest,
  ): Promise<Outcome> {
    const { store, saved, isGivenBack, dataDigest, everyS, ...training } = this.#options;
    const folder = await mkdtemp(join(tmpdir(), 'ridgepoint-work-'));
    const file = checkpointFileOf(folder, candidate.id);
    const handover = new Handover({ file, store, saved, onNotice: request.onNotice });
    const local = new LocalEvaluator({
      ...training,
      artefacts: store.here,
      checkpoints: { folder, dataDigest, everyS, onSaved: () => void handover.give() },
      slots: 1,
    });
    try {
      await handover.take();
      const outcome = await local.evaluate(candidate, request);
      if (outcome.status === 'failed' && outcome.retry) await handover.give();
      return outcome;
    } catch (error) {
      if (isGivenBack()) await handover.give();
      throw error;
    } finally {
      await handover.settled();
      this.#isSaved = handover.isSaved;
      await rm(folder, { recursive: true, force: true });
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
