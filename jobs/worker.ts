import { EventEmitter, once } from 'node:events';
import { hostname, totalmem } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { DelayedError, type Job, UnrecoverableError, WaitingError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { CommandError } from '../commands/run.ts';
import { EnvironmentError, InterruptedError, toWire, type WireError } from '../core/errors.ts';
import { ridgepointVersion } from '../core/version.ts';
import { tensorFlowUnavailable } from '../training/tfjs/load.ts';
import { cancelChannel } from './client.ts';
import { connect, leave, type RedisPlace } from './connection.ts';
import { failureText, type News } from './contract.ts';
import { JobTrace } from './handover.ts';
import type { WorkerEvent } from './telemetry.ts';
import { announce, depart, heartbeatMs } from './presence.ts';

/** A job as its worker sees it. */
export interface Work {
  readonly id: string;
  /** Unchecked. */
  readonly data: unknown;
  /** Aborts when the job is cancelled, taken by another worker, or given back. */
  readonly signal: AbortSignal;
  readonly tell: (news: News) => void;
  /** What is left of it for whoever takes it next; begun by services that leave something. */
  readonly trace: JobTrace;
  /** Whether it is done by others when it is stopped now. */
  readonly isGivenBack: () => boolean;
}

/** A queue that a worker serves. */
export interface Service {
  readonly queue: string;
  readonly offers:
    | { readonly trainer: string }
    | {
        readonly device: string;
        /** It measures in, where that is known. */
        readonly precisions?: readonly string[];
      };
  /** Jobs at once. */
  readonly slots: number;
  /** What it returns is the result; what it throws, the reason of a failure. */
  readonly serve: (work: Work) => Promise<object>;
  readonly close?: () => Promise<void>;
}

export interface WorkerOptions {
  /** Name of the worker, of which there is no other. */
  readonly id: string;
  readonly place: RedisPlace;
  readonly services: readonly Service[];
  /** Jobs of a worker that is not heard of for so long go to others. */
  readonly lockMs: number;
  readonly say: (text: string) => void;
  /** Hears what becomes of jobs, for logs and metrics. */
  readonly hear?: ((event: WorkerEvent) => void) | undefined;
  /** End after one job, or when no job waits any more. */
  readonly until?: 'once' | 'drained' | undefined;
}

/** A job that lost its worker so often is quarantined: it may be what ended them. */
const stallsAllowed = 5;
/** Pause before a job that a worker lost to itself is offered again. */
const lostToItselfMs = 5000;
/** Time between two pieces of progress of a job. */
const progressEveryMs = 1000;
/** Redis that is gone is waited for this long before a worker ends without a word. */
const partingMs = 5000;

/**
 * Serves queues until it is stopped. BullMQ does the queueing: a job is locked while it is done, its lock is renewed, and
 * only who holds the lock can finish the job, so a worker that was stalled and revived changes nothing.
 */
export class FleetWorker {
  readonly #options: WorkerOptions;
  readonly #redis: Redis;
  readonly #subscriber: Redis;
  readonly #workers: ReadonlyMap<string, Worker>;
  readonly #beating: NodeJS.Timeout;
  readonly #over = new EventEmitter();
  /** By job; aborting ends what was lost to this very worker. */
  readonly #doing = new Map<string, { readonly controller: AbortController; readonly trace: JobTrace }>();
  /** Queues that nothing waits in, as far as is known. */
  readonly #empty = new Set<string>();
  /** Queues that this worker turned out not to be able to serve. */
  readonly #withdrawn = new Set<string>();
  /** With `once`: the one job is there. */
  #hasTaken = false;
  #stopping: 'return' | 'finish' | undefined;
  /** Resolves when it has ended: nothing runs, everything is given back or done. */
  readonly ended: Promise<unknown> = once(this.#over, 'over');

  constructor(options: WorkerOptions) {
    const { place, services, say } = options;
    this.#options = options;
    this.#redis = connect(place, say, (up) => options.hear?.({ type: 'redis', up }));
    this.#subscriber = connect(place, () => {});
    this.#workers = new Map(services.map((service) => [service.queue, this.#serve(service)]));
    this.#subscriber.on('message', (_channel, message: string) => {
      const [queue = '', job = ''] = message.split(' ');
      this.#workers.get(queue)?.cancelJob(job, 'cancelled');
    });
    this.#subscriber.subscribe(cancelChannel(place)).catch(() => {});
    this.#redis.on('ready', () => this.#beat());
    this.#beating = setInterval(() => this.#beat(), heartbeatMs);
  }

  /** Takes no more jobs; gives back those it has (`return`), or does them to their end (`finish`). */
  stop(how: 'return' | 'finish'): void {
    const before = this.#stopping;
    if (before === 'return' || before === how) return;
    this.#stopping = how;
    if (how === 'return') {
      for (const worker of this.#workers.values()) worker.cancelAllJobs('the worker is stopping');
      // Without Redis nothing can be given back; locks run out, and others find the jobs when it is there again.
      setTimeout(() => this.#redis.status !== 'ready' && this.#over.emit('without redis'), partingMs).unref();
    }
    if (before === undefined) void this.#part();
  }

  #serve(service: Service): Worker {
    const { id, place, lockMs, say, until } = this.#options;
    const worker = new Worker<unknown, object>(
      service.queue,
      // BullMQ makes a signal for processors of three parameters.
      (job, token, signal) => this.#perform(service, job, token ?? '', signal as AbortSignal),
      {
        connection: place.options,
        prefix: place.prefix,
        name: id,
        concurrency: until === 'once' ? 1 : service.slots,
        lockDuration: lockMs,
        stalledInterval: lockMs / 2,
        maxStalledCount: stallsAllowed,
        runRetryDelay: 1000,
      },
    );
    worker.on('error', (error) => {
      if (isUnexpected(error)) say(`${service.queue}: ${error.message}`);
    });
    worker.on('lockRenewalFailed', (names) => {
      for (const name of names) worker.cancelJob(name, 'another worker has it');
    });
    worker.on('drained', () => {
      this.#empty.add(service.queue);
      this.#stopIfDrained();
    });
    return worker;
  }

  async #perform(service: Service, job: Job, token: string, given: AbortSignal): Promise<object> {
    const name = job.id ?? '';
    const doing = this.#doing.get(name);
    if (doing) {
      // It was stalled, and is still at it: BullMQ renews one lock a job id, so the first to end would end it for both.
      doing.controller.abort();
      await job.moveToDelayed(Date.now() + lostToItselfMs, token);
      throw new DelayedError();
    }
    if (this.#options.until === 'once') {
      // Of two queues that gave a job at once, the second takes it back.
      if (this.#hasTaken) {
        await job.moveToWait(token);
        throw new WaitingError();
      }
      this.#hasTaken = true;
      for (const worker of this.#workers.values()) void worker.pause(true);
    }
    const controller = new AbortController();
    const signal = AbortSignal.any([given, controller.signal]);
    const trace = new JobTrace(this.#redis, this.#options.place.prefix, name);
    this.#doing.set(name, { controller, trace });
    this.#empty.delete(service.queue);
    const ended = this.#begun(service.queue, job);
    try {
      const result = await service.serve({
        id: name,
        data: job.data,
        signal,
        tell: this.#paced(job),
        trace,
        isGivenBack: () => this.#stopping === 'return',
      });
      ended('completed');
      return result;
    } catch (error) {
      if (isBroken(error)) this.#withdraw(service.queue, (error as Error).message);
      const isPreempted = error instanceof InterruptedError && !signal.aborted;
      if (this.#stopping === 'return' || isPreempted || isBroken(error)) {
        ended('given-back');
        await trace.beat().catch(() => {});
        // Free for whoever is next: no attempt is counted.
        await job.moveToWait(token);
        throw new WaitingError();
      }
      ended('failed', toWire(error));
      await trace.end().catch(() => {});
      if (!signal.aborted) await job.log(String((error as Error).stack ?? error)).catch(() => {});
      throw new UnrecoverableError(failureText(error));
    } finally {
      this.#doing.delete(name);
      if (this.#options.until === 'once') this.stop('finish');
      this.#stopIfDrained();
    }
  }

  /** Tells that a job begins. @returns what tells how it ends. */
  #begun(queue: string, job: Job): (how: Extract<WorkerEvent, { type: 'ended' }>['how'], error?: WireError) => void {
    const { hear } = this.#options;
    if (!hear) return () => {};
    const startMs = performance.now();
    const id = job.id ?? '';
    const waitedMs = Math.max(0, (job.processedOn ?? Date.now()) - job.timestamp - job.delay);
    hear({ type: 'begun', queue, job: id, waitedMs });
    return (how, error) => {
      const about = error && { error: { code: error.code, message: error.message } };
      hear({ type: 'ended', queue, job: id, how, tookMs: performance.now() - startMs, ...about });
    };
  }

  /** Whether it takes jobs: Redis is there, and nobody stopped it. */
  get isReady(): boolean {
    return this.#redis.status === 'ready' && this.#stopping === undefined;
  }

  /**
   * Progress no oftener than {@link progressEveryMs}, for each is an event that every listener gets, and only while Redis
   * is there. Notices always pass.
   */
  #paced(job: Job): Work['tell'] {
    let lastMs = Number.NEGATIVE_INFINITY;
    return (news) => {
      const nowMs = performance.now();
      if (!('notice' in news)) {
        if (this.#redis.status !== 'ready' || nowMs - lastMs < progressEveryMs) return;
        lastMs = nowMs;
      }
      void job.updateProgress(news).catch(() => {});
    };
  }

  #withdraw(queue: string, why: string): void {
    this.#options.say(`this worker takes no more jobs of ${queue}: ${why}`);
    this.#withdrawn.add(queue);
    void this.#workers.get(queue)?.pause(true);
    this.#beat();
  }

  #stopIfDrained(): void {
    const { until, services } = this.#options;
    const isOver = services.every(({ queue }) => this.#empty.has(queue) || this.#withdrawn.has(queue));
    if (until === 'drained' && this.#doing.size === 0 && isOver) this.stop('finish');
  }

  /** Says that it is there. Without Redis words would pile up, and one that is leaving offers nothing. */
  #beat(): void {
    if (this.#redis.status !== 'ready' || this.#stopping !== undefined) return;
    for (const { trace } of this.#doing.values()) trace.beat().catch(() => {});
    const { id, place, services } = this.#options;
    const offered = services.filter(({ queue }) => !this.#withdrawn.has(queue));
    const trainers = offered.flatMap(({ offers }) => ('trainer' in offers ? [offers.trainer] : []));
    const devices = offered.flatMap(({ offers }) => ('device' in offers ? [offers.device] : []));
    const precisions = Object.fromEntries(
      offered.flatMap(({ offers }) =>
        'device' in offers && offers.precisions ? [[offers.device, [...offers.precisions]]] : [],
      ),
    );
    const slots = Math.max(0, ...offered.map(({ offers, slots: own }) => ('trainer' in offers ? own : 0)));
    const here = { host: hostname(), pid: process.pid, version: ridgepointVersion(), memoryBytes: totalmem() };
    const presence = {
      schema: 1 as const,
      id,
      ...here,
      trainers,
      devices,
      precisions,
      slots,
      jobs: [...this.#doing.keys()],
    };
    void announce(this.#redis, place.prefix, presence).catch(() => {});
  }

  async #part(): Promise<void> {
    const { id, place, services } = this.#options;
    clearInterval(this.#beating);
    const closing = Promise.allSettled([...this.#workers.values()].map((worker) => worker.close()));
    await Promise.race([closing, once(this.#over, 'without redis')]);
    await Promise.allSettled(services.map((service) => service.close?.()));
    const said = depart(this.#redis, place.prefix, id).catch(() => {});
    await Promise.race([said, delay(partingMs, undefined, { ref: false })]);
    leave(this.#redis);
    leave(this.#subscriber);
    this.#over.emit('over');
  }
}

/** The program or the package that a service needs does not work here. */
function isBroken(error: unknown): boolean {
  if (error instanceof CommandError) return error.failure === 'environmentBroken' || error.failure === 'notStarted';
  return error instanceof EnvironmentError && error.code === tensorFlowUnavailable;
}

/** Connections that break are told by `connect`; a lock that is gone is how BullMQ says that another worker has the job. */
function isUnexpected(error: Error): boolean {
  return !('code' in error) && !/\block\b|Connection is closed/i.test(error.message);
}
