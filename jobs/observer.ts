import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { connect, leave, type RedisPlace } from './connection.ts';
import { type Presence, present, whyWaiting } from './presence.ts';

/** States of jobs that are counted, as BullMQ calls them. */
const jobStates = ['waiting', 'active', 'delayed', 'failed', 'completed'] as const;

/** One queue as somebody who looks sees it. */
export interface QueueView {
  readonly name: string;
  readonly jobs: Readonly<Record<(typeof jobStates)[number], number>>;
  /** Why jobs that wait are not taken; absent where none waits, or somebody takes them. */
  readonly why?: string;
}

/** A fleet at one moment. */
export interface FleetView {
  /** False while Redis cannot be reached; the rest is then of the last time that it could. */
  readonly reachable: boolean;
  readonly workers: readonly Presence[];
  readonly queues: readonly QueueView[];
}

/** A look takes no longer: Redis may go meanwhile, and commands then wait for it. */
const lookMs = 5000;

/** Looks at the workers and the queues of a Redis without taking part. */
export class FleetObserver {
  readonly place: RedisPlace;
  readonly #redis: Redis;
  readonly #queues = new Map<string, Queue>();
  #view: FleetView = { reachable: false, workers: [], queues: [] };

  constructor(place: RedisPlace, say: (text: string) => void) {
    this.place = place;
    this.#redis = connect(place, say);
  }

  /** What the last look saw. */
  get view(): FleetView {
    return this.#view;
  }

  /** BullMQ's own view of the queues that were seen. */
  get queues(): readonly Queue[] {
    return [...this.#queues.values()];
  }

  /** Looks again. While Redis is gone the view says so, and keeps what was seen last. */
  async look(): Promise<FleetView> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), lookMs);
    const gaveUp = new Promise<undefined>((resolve) => late.signal.addEventListener('abort', () => resolve(undefined)));
    const seen = this.#redis.status === 'ready' ? this.#look().catch(() => undefined) : undefined;
    const view = await Promise.race([seen, gaveUp]);
    clearTimeout(timer);
    this.#view = view ?? { ...this.#view, reachable: false };
    return this.#view;
  }

  async close(): Promise<void> {
    leave(this.#redis);
    await Promise.allSettled(this.queues.map((queue) => queue.close()));
  }

  async #look(): Promise<FleetView> {
    const workers = await present(this.#redis, this.place.prefix);
    for (const name of await this.#names())
      if (!this.#queues.has(name)) {
        const queue = new Queue(name, { connection: this.#redis, prefix: this.place.prefix });
        // Connection errors are told by `connect`.
        queue.on('error', () => {});
        this.#queues.set(name, queue);
      }
    const queues = await Promise.all(this.queues.map((queue) => queueView(queue, workers)));
    return {
      reachable: true,
      workers: workers.toSorted((a, b) => a.id.localeCompare(b.id)),
      queues: queues.toSorted((a, b) => a.name.localeCompare(b.name)),
    };
  }

  /** Queues that anybody has opened: BullMQ keeps a `meta` key of each. */
  async #names(): Promise<readonly string[]> {
    const { prefix } = this.place;
    const found = new Set<string>();
    let cursor = '0';
    do {
      const [next, keys] = await this.#redis.scan(cursor, 'MATCH', `${prefix}:*:meta`, 'COUNT', 1000);
      for (const key of keys) found.add(key.slice(prefix.length + 1, -':meta'.length));
      cursor = next;
    } while (cursor !== '0');
    return [...found];
  }
}

async function queueView(queue: Queue, workers: readonly Presence[]): Promise<QueueView> {
  const counts = await queue.getJobCounts(...jobStates);
  const jobs = Object.fromEntries(jobStates.map((state) => [state, counts[state] ?? 0])) as QueueView['jobs'];
  const why = jobs.waiting + jobs.delayed > 0 ? whyWaiting(queue.name, workers) : undefined;
  return { name: queue.name, jobs, ...(why === undefined ? {} : { why }) };
}
