import { createReadStream } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { type Clock, systemClock } from '../core/clock.ts';
import type { NetworkSpec } from '../models/spec.ts';
import type { EvaluationRequest, Evaluator } from '../search/evaluator.ts';
import type { Outcome } from '../core/trial.ts';
import { checkpointFileOf, LocalEvaluator, type LocalEvaluatorOptions } from '../study/evaluation/local-evaluator.ts';
import { studyOf, workOf } from './contract.ts';
import type { SharedStore } from './store.ts';

/** What nobody takes over is forgotten after so long, as jobs are. */
const keptS = 7 * 24 * 3600;

/** What other workers left of a job. */
interface Left {
  /** Digest of the file in the store that has the last saved state; undefined where nothing was saved. */
  readonly digest: string | undefined;
  /** Seconds of training that the saved state is. */
  readonly trainS: number;
  /** Seconds that workers were busy with it, until each was heard of last. */
  readonly busyS: number;
}

/** Key of what workers leave of a job. All attempts share it. */
export function traceKey(prefix: string, job: string): string {
  return `${prefix}:trace:${workOf(job)}`;
}

/**
 * Key of the files that the workers of a study saved, or were about to: a set of `<job without its attempt> <digest>`. It has whatever
 * may be in the store, whenever a worker died.
 */
export function savedKey(prefix: string, study: string): string {
  return `${prefix}:saved:${study}`;
}

/**
 * Removes what workers left of jobs that are over: their files, and what Redis knows of them. What could not be removed stays known.
 * @param over a study, or one job of it without its attempt.
 */
export async function removeTraces(
  redis: Redis,
  prefix: string,
  over: { readonly study: string; readonly work?: string },
  remove: (digest: string) => Promise<void>,
): Promise<void> {
  const key = savedKey(prefix, over.study);
  if (over.work !== undefined) await redis.del(traceKey(prefix, over.work));
  for (const member of await redis.smembers(key)) {
    const [work = '', digest = ''] = member.split(' ');
    if (over.work !== undefined && work !== over.work) continue;
    await remove(digest);
    await redis.multi().del(traceKey(prefix, work)).srem(key, member).exec();
  }
}

/**
 * What a worker leaves at a Redis of a job that it does, for whoever takes the job next: where its work is saved, and how long it was
 * busy. A job that is over before the worker says for the first time that it is alive leaves nothing.
 */
export class JobTrace {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #savedKey: string;
  readonly #work: string;
  readonly #clock: Clock;
  #sinceMs: number | undefined;
  #isLeft = false;

  constructor(redis: Redis, prefix: string, job: string, clock: Clock = systemClock) {
    this.#redis = redis;
    this.#key = traceKey(prefix, job);
    this.#savedKey = savedKey(prefix, studyOf(job));
    this.#work = workOf(job);
    this.#clock = clock;
  }

  /** Whether there is something at Redis. */
  get isLeft(): boolean {
    return this.#isLeft;
  }

  /** What is left by those before; what the last of them was busy counts among the others' from now on. */
  async take(): Promise<Left> {
    const { file, trainS = 0, busyS = 0, sinceMs, aliveMs } = await this.#redis.hgetall(this.#key);
    const lastS = sinceMs === undefined ? 0 : Math.max(0, Number(aliveMs) - Number(sinceMs)) / 1000;
    const left = { digest: file, trainS: Number(trainS), busyS: Number(busyS) + lastS };
    if (sinceMs !== undefined)
      await this.#redis.multi().hset(this.#key, { busyS: left.busyS }).hdel(this.#key, 'sinceMs', 'aliveMs').exec();
    this.#isLeft = file !== undefined || left.busyS > 0;
    return left;
  }

  /** From now on this worker is busy with it. */
  begin(): void {
    this.#sinceMs = this.#clock.now();
  }

  /** What this worker was busy is told by its answer. */
  async end(): Promise<void> {
    this.#sinceMs = undefined;
    if (this.#isLeft) await this.#redis.hdel(this.#key, 'sinceMs', 'aliveMs');
  }

  /** Says that the worker is still at it, where it has begun. */
  async beat(): Promise<void> {
    if (this.#sinceMs === undefined) return;
    await this.#write({ sinceMs: this.#sinceMs, aliveMs: this.#clock.now() });
  }

  /** Says that a file is about to be in the store. @throws when Redis is gone. */
  async announce(digest: string): Promise<void> {
    this.#expectRedis();
    this.#isLeft = true;
    await this.#redis.sadd(this.#savedKey, `${this.#work} ${digest}`);
  }

  /** Says that a file is no more in the store. */
  async removed(digest: string): Promise<void> {
    await this.#redis.srem(this.#savedKey, `${this.#work} ${digest}`);
  }

  /** Names the file of the store that has the last saved state, and seconds of training that it is. @throws when Redis is gone. */
  save(digest: string, trainS: number): Promise<void> {
    return this.#write({ file: digest, trainS });
  }

  async #write(fields: Readonly<Record<string, string | number>>): Promise<void> {
    this.#expectRedis();
    this.#isLeft = true;
    await this.#redis.multi().hset(this.#key, fields).expire(this.#key, keptS).exec();
  }

  /** Commands would wait for it, and say the same late. */
  #expectRedis(): void {
    if (this.#redis.status !== 'ready') throw new Error('Redis is gone');
  }
}

interface HandoverOptions {
  /** Where the training saves itself on this host. */
  readonly file: string;
  readonly store: SharedStore;
  readonly trace: JobTrace;
  readonly onNotice: ((text: string) => void) | undefined;
}

/** One training that goes on wherever it is taken up: what it saves goes to the store, and its place there is known to all. */
class Handover {
  readonly #options: HandoverOptions;
  /** The file in the store that this one takes the place of. */
  #last: string | undefined;
  /** Seconds of training of the state that is not given yet. */
  #dueS: number | undefined;
  #giving: Promise<void> | undefined;
  #hasFailed = false;

  constructor(options: HandoverOptions) {
    this.#options = options;
  }

  /**
   * Puts what was saved last where the training looks for it. Without it the training begins anew, which is said.
   * @returns whether it is there.
   */
  async take(digest: string): Promise<boolean> {
    const { file, store, onNotice } = this.#options;
    try {
      await store.fetch(digest);
      await copyFile(store.here.path(digest), file);
      await store.release(digest);
      this.#last = digest;
      return true;
    } catch (error) {
      await rm(file, { force: true });
      onNotice?.(`training starts over: what was saved of it cannot be had (${(error as Error).message})`);
      return false;
    }
  }

  /** Gives what is saved now, once what is being given is there. That it fails is told, the first time, and costs nothing else. */
  give(trainS: number): void {
    this.#dueS = trainS;
    this.#giving ??= this.#giveAll().finally(() => (this.#giving = undefined));
  }

  async #giveAll(): Promise<void> {
    for (let trainS = this.#dueS; trainS !== undefined; trainS = this.#dueS) {
      this.#dueS = undefined;
      await this.#giveOnce(trainS).catch((error: NodeJS.ErrnoException) => {
        // A training that ended has removed its file.
        if (this.#hasFailed || error.code === 'ENOENT') return;
        this.#hasFailed = true;
        this.#options.onNotice?.(`the training could not be saved for other workers: ${error.message}; it goes on`);
      });
    }
  }

  async #giveOnce(trainS: number): Promise<void> {
    const { file, store, trace } = this.#options;
    const digest = await store.here.put(createReadStream(file), (coming) => trace.announce(coming));
    if (digest === this.#last) return;
    await store.publish(digest);
    await trace.save(digest, trainS);
    await store.release(digest);
    const before = this.#last;
    this.#last = digest;
    if (before === undefined) return;
    await store.remove(before);
    await trace.removed(before);
  }

  /** Resolves when nothing is being given. */
  async settled(): Promise<void> {
    await this.#giving;
  }
}

export interface HandedOverOptions extends Omit<LocalEvaluatorOptions, 'artefacts' | 'checkpoints' | 'slots'> {
  readonly store: SharedStore;
  readonly trace: JobTrace;
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

  constructor(options: HandedOverOptions) {
    this.#options = options;
  }

  async evaluate(
    candidate: { readonly id: string; readonly spec: NetworkSpec },
    request: EvaluationRequest,
  ): Promise<Outcome> {
    const { store, trace, isGivenBack, dataDigest, everyS, ...training } = this.#options;
    const folder = await mkdtemp(join(tmpdir(), 'ridgepoint-work-'));
    const file = checkpointFileOf(folder, candidate.id);
    const handover = new Handover({ file, store, trace, onNotice: request.onNotice });
    const onSaved = (trainS: number): void => {
      if (!request.signal.aborted || isGivenBack()) handover.give(trainS);
    };
    const checkpoints = { folder, dataDigest, everyS, onSaved };
    const local = new LocalEvaluator({ ...training, artefacts: store.here, checkpoints, slots: 1 });
    try {
      const { digest, trainS, busyS } = await trace.take();
      const isTaken = digest !== undefined && (await handover.take(digest));
      // Waiting for the host's lock is not being busy.
      const onBegun = (): void => {
        trace.begin();
        request.onBegun?.();
      };
      const outcome = await local.evaluate(candidate, { ...request, onBegun });
      return withLostTime(outcome, busyS - (isTaken ? trainS : 0));
    } finally {
      await handover.settled();
      await rm(folder, { recursive: true, force: true });
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Time of earlier workers that is in no result. Of what failed it is told by the study, once nobody tries again. */
function withLostTime(outcome: Outcome, lostS: number): Outcome {
  if (outcome.status === 'failed' || !outcome.cost || lostS <= 0) return outcome;
  return { ...outcome, cost: { ...outcome.cost, lostS } };
}
