import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { connect, leave, type RedisPlace } from './connection.ts';
import { queueToSee, stateOf } from './overview.ts';
import { namedQueues, type Presence, present } from './presence.ts';
import { type QueueState, whyNotTaken, whyQueued } from './waiting.ts';

/** One queue as somebody who looks sees it. */
export interface QueueView extends QueueState {
  readonly completed: number;
  /** Why its jobs are not done yet, a line for each reason. */
  readonly why: readonly string[];
  /** Jobs wait that nobody there can do. */
  readonly isStuck: boolean;
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

/** Looks at the workers and the queues of a Redis without taking part: changes nothing but to forget workers that are gone. */
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
    for (const name of await namedQueues(this.#redis, this.place.prefix))
      if (!this.#queues.has(name)) this.#queues.set(name, queueToSee(this.#redis, this.place.prefix, name));
    const queues = await Promise.all(this.queues.map((queue) => queueView(queue, workers)));
    return {
      reachable: true,
      workers: workers.toSorted((a, b) => a.id.localeCompare(b.id)),
      queues: queues.toSorted((a, b) => a.queue.localeCompare(b.queue)),
    };
  }
}

async function queueView(queue: Queue, workers: readonly Presence[]): Promise<QueueView> {
  const [state, completed] = await Promise.all([stateOf(queue), queue.getCompletedCount()]);
  const isStuck = state.waiting > 0 && whyNotTaken(state, workers) !== undefined;
  return { ...state, completed, why: whyQueued(state, workers), isStuck };
}
