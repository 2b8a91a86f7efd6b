import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { type Job, Queue, QueueEvents } from 'bullmq';
import type { Redis } from 'ioredis';
import { EnvironmentError, InterruptedError } from '../core/errors.ts';
import type { RedisPlace } from './connection.ts';
import { failureOf, type News, newsSchema, studyOf, workOf } from './contract.ts';
import { removeTraces, traceKey } from './handover.ts';
import { nameQueue } from './presence.ts';
import type { AskEvent } from './telemetry.ts';

/** Channel on which running jobs are cancelled; a message is `<queue> <job id>`. */
export function cancelChannel({ prefix }: RedisPlace): string {
  return `${prefix}:cancel`;
}

/** A finished job that nobody took the result of is kept so long, in seconds. */
const keptS = 7 * 24 * 3600;
/** How often what is waited for is looked at although nothing was heard of it: events are a stream that is trimmed. */
const lookAgainMs = 30_000;
/** Tidying takes no longer: Redis may go meanwhile. */
const tidyingMs = 5000;
/** Pause before work that somebody interrupted is asked for again. */
const interruptedPauseMs = 1000;

export interface AskOptions {
  readonly signal: AbortSignal;
  /** The job waits so long before a worker may take it. */
  readonly delayMs?: number;
  /** A failure that is found, of an earlier time that it was asked for, is no answer: it is done again. */
  readonly anew?: boolean;
  readonly onNews?: (news: News) => void;
  /** Hears that a worker begins with it. */
  readonly onBegun?: () => void;
  /** Hears how long a worker was at what failed, in seconds, before it is told that it failed. */
  readonly onFailureTook?: (seconds: number) => void;
}

interface Pending {
  readonly add: (delayMs?: number) => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  /** Whether a failure that is found is no answer; one that is heard of is. */
  anew: boolean;
  readonly onNews: AskOptions['onNews'];
  readonly onBegun: () => void;
  readonly onFailureTook: AskOptions['onFailureTook'];
}

/**
 * One queue seen by a study: it asks for work by id and hears of the results through BullMQ's events.
 *
 * Asking is idempotent. A job that exists already, asked for by this study before it died, answers with the event
 * `duplicated` and is then looked at. So when Redis comes back, perhaps without its last second, whatever is waited for
 * is simply asked for again. A result stays in Redis until {@link JobClient.forget}.
 */
export class JobClient {
  readonly #name: string;
  readonly #redis: Redis;
  readonly #jobs: Queue;
  readonly #events: QueueEvents;
  readonly #channel: string;
  readonly #prefix: string;
  readonly #hear: (event: AskEvent) => void;
  readonly #pending = new Map<string, Pending>();
  /** Results given out and not yet forgotten. */
  readonly #given = new Set<string>();
  /** Results that are safe elsewhere. All others stay, also those that nobody has asked for yet. */
  readonly #forgotten = new Set<string>();
  readonly #lookAgain: NodeJS.Timeout;
  readonly #removals = new Set<Promise<unknown>>();

  private constructor(
    name: string,
    parts: {
      readonly redis: Redis;
      readonly queue: Queue;
      readonly events: QueueEvents;
      readonly channel: string;
      readonly prefix: string;
      readonly hear: (event: AskEvent) => void;
    },
  ) {
    this.#name = name;
    this.#redis = parts.redis;
    this.#jobs = parts.queue;
    this.#events = parts.events;
    this.#channel = parts.channel;
    this.#prefix = parts.prefix;
    this.#hear = parts.hear;
    this.#events.on('completed', ({ jobId, returnvalue }) => this.#completed(jobId, returnvalue));
    this.#events.on('failed', ({ jobId, failedReason }) => void this.#failed(jobId, failedReason));
    this.#events.on('active', ({ jobId }) => this.#pending.get(jobId)?.onBegun());
    this.#events.on('progress', ({ jobId, data }) => this.#progressed(jobId, data));
    this.#events.on('duplicated', ({ jobId }) => void this.#look(jobId).catch((error) => this.#refuse(jobId, error)));
    this.#lookAgain = setInterval(this.#askAgain, lookAgainMs).unref();
    this.#redis.on('ready', this.#askAgain);
  }

  /** @param options.redis shared, and not closed with the client; `hear` hears what becomes of jobs. */
  static async open(
    name: string,
    {
      redis,
      place,
      hear = () => {},
    }: { readonly redis: Redis; readonly place: RedisPlace; readonly hear?: ((event: AskEvent) => void) | undefined },
  ): Promise<JobClient> {
    const { prefix } = place;
    const queue = new Queue(name, {
      connection: redis,
      prefix,
      defaultJobOptions: { removeOnComplete: { age: keptS }, removeOnFail: { age: keptS } },
    });
    // Connection errors are told by `connect`.
    queue.on('error', () => {});
    await nameQueue(redis, prefix, name);
    const stream = (await redis.xrevrange(queue.toKey('events'), '+', '-', 'COUNT', 1)) as [string, string[]][];
    const lastEventId = stream[0]?.[0] ?? '0-0';
    const events = new QueueEvents(name, { connection: place.options, prefix, lastEventId });
    events.on('error', () => {});
    return new JobClient(name, { redis, queue, events, channel: cancelChannel(place), prefix, hear });
  }

  /** Name of its queue. */
  get queue(): string {
    return this.#name;
  }

  /** Jobs asked for and not answered. */
  get waiting(): number {
    return this.#pending.size;
  }

  /**
   * A job's result; the job is added unless it exists.
   * @throws {InterruptedError} when aborted: the job is taken back, or cancelled where it runs.
   * @throws {RidgepointError} what the worker failed with.
   */
  ask(id: string, data: object, options: AskOptions): Promise<unknown> {
    const { signal, delayMs, anew = false, onNews, onBegun = () => {}, onFailureTook } = options;
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new InterruptedError(`${id}: interrupted before it was asked for`));
      const abort = (): void => {
        this.#pending.delete(id);
        this.#told('taken back', id);
        this.#track(this.#takeBack(id));
        reject(new InterruptedError(`${id}: interrupted`));
      };
      const settled = <Arguments extends unknown[]>(settle: (...given: Arguments) => void) => {
        return (...given: Arguments): void => {
          signal.removeEventListener('abort', abort);
          settle(...given);
        };
      };
      const add = (delay?: number): Promise<unknown> =>
        this.#jobs.add(this.#name, data, { jobId: id, ...(delay ? { delay } : {}) });
      this.#pending.set(id, {
        add,
        resolve: settled(resolve),
        reject: settled(reject),
        anew,
        onNews,
        onBegun,
        onFailureTook,
      });
      // Every job in the queue listens to it.
      setMaxListeners(0, signal);
      signal.addEventListener('abort', abort, { once: true });
      this.#told('asked', id);
      this.#add(id, delayMs);
    });
  }

  #told(type: AskEvent['type'], job: string, error?: AskEvent['error']): void {
    const why = error && { error: { code: error.code, message: error.message } };
    this.#hear({ type, queue: this.#name, job, ...why });
  }

  /** Removes a job whose result is safe elsewhere. */
  forget(id: string): void {
    if (!this.#given.delete(id)) return;
    this.#forgotten.add(id);
    this.#track(this.#jobs.remove(id));
  }

  /**
   * Removes what workers left of a job, for it is over.
   * @param remove gets the digests of its saved states; {@link close} waits for it.
   */
  removeTrace(id: string, remove: (digest: string) => Promise<void>): void {
    this.#track(removeTraces(this.#redis, this.#prefix, { study: studyOf(id), work: workOf(id) }, remove));
  }

  /** Removes what workers left of a study that is over. @param remove as of {@link removeTrace}. */
  removeTraces(study: string, remove: (digest: string) => Promise<void>): void {
    this.#track(removeTraces(this.#redis, this.#prefix, { study }, remove));
  }

  /** Seconds that workers were busy with a job before the last one began. */
  async busyBeforeS(id: string): Promise<number> {
    return Number((await this.#redis.hget(traceKey(this.#prefix, id), 'busyS')) ?? 0);
  }

  /** Resolves when everything forgotten is removed. */
  async close(): Promise<void> {
    clearInterval(this.#lookAgain);
    this.#redis.off('ready', this.#askAgain);
    const closing = async (): Promise<void> => {
      await Promise.allSettled(this.#removals);
      await Promise.allSettled([this.#events.close(), this.#jobs.close()]);
    };
    // All this is tidying: where Redis is gone nobody waits for it, and what is left goes by its age.
    await Promise.race([
      closing(),
      this.#redis.status === 'ready' ? delay(tidyingMs, undefined, { ref: false }) : undefined,
    ]);
  }

  #add(id: string, delayMs?: number): void {
    this.#pending
      .get(id)
      ?.add(delayMs)
      .catch((error: unknown) => this.#refuse(id, error));
  }

  readonly #askAgain = (): void => {
    // Until Redis is there again commands would pile up; then everything is asked for anyway.
    if (this.#redis.status !== 'ready') return;
    for (const id of this.#pending.keys()) this.#add(id);
  };

  /** A job that was there already: it may have been finished before anybody listened. */
  async #look(id: string): Promise<void> {
    const pending = this.#pending.get(id);
    if (!pending) return;
    // One reading, so that what it says of the job was true at once: it may be finishing, or Redis coming back.
    const job = await this.#jobs.getJob(id);
    if (!job) this.#add(id);
    else if (job.finishedOn === undefined) return;
    else if (job.failedReason && pending.anew) {
      pending.anew = false;
      await this.#jobs.remove(id);
      this.#add(id);
    } else if (job.failedReason) await this.#failed(id, job.failedReason, job);
    else this.#completed(id, job.returnvalue);
  }

  #completed(id: string, value: unknown): void {
    const pending = this.#take(id);
    if (pending) {
      this.#given.add(id);
      this.#told('answered', id);
      pending.resolve(value);
    } else if (this.#forgotten.has(id)) {
      // Redis lost its last second and had work done again that the journal has.
      this.#track(this.#jobs.remove(id));
    }
  }

  async #failed(id: string, reason: string, known?: Job): Promise<void> {
    if (!this.#pending.has(id)) return;
    const error = failureOf(reason);
    // It stays among the failed ones, with its reason and log, for people to look at.
    if (error.code !== 'interrupted') {
      const job = known ?? (await this.#jobs.getJob(id).catch(() => undefined));
      const pending = this.#take(id);
      if (job?.processedOn !== undefined && job.finishedOn !== undefined)
        pending?.onFailureTook?.(Math.max(0, job.finishedOn - job.processedOn) / 1000);
      this.#told('failed', id, error);
      return pending?.reject(error);
    }
    this.#track(this.#jobs.remove(id).then(() => this.#add(id, interruptedPauseMs)));
  }

  #progressed(id: string, data: unknown): void {
    const { onNews } = this.#pending.get(id) ?? {};
    const news = onNews && newsSchema.safeParse(data);
    if (news?.success) onNews?.(news.data);
  }

  #refuse(id: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#take(id)?.reject(
      new EnvironmentError(`${id}: expected Redis to take the job, but ${message}`, { cause: error, retry: true }),
    );
  }

  #take(id: string): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  async #takeBack(id: string): Promise<void> {
    const removed = await this.#jobs.remove(id);
    if (removed === 0) await this.#redis.publish(this.#channel, `${this.#name} ${id}`);
  }

  #track(removal: Promise<unknown>): void {
    const tracked = removal.catch(() => {}).finally(() => this.#removals.delete(tracked));
    this.#removals.add(tracked);
  }
}
