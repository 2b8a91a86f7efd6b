import { join } from 'node:path';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { JobClient } from '../../jobs/client.ts';
import { connect, leave, redisPlace, type RedisPlace } from '../../jobs/connection.ts';
import { type Service, FleetWorker, type Work, type WorkerOptions } from '../../jobs/worker.ts';
import { RedisServer } from './redis-server.ts';

/** A queue's worth of work done by a function. */
export function service(serve: (work: Work) => Promise<object>, slots = 1): Service {
  return { queue: 'train.built-in', offers: { trainer: 'built-in' }, slots, serve };
}

/** A Redis for the tests of a file, a namespace for each of them, and what they opened closed behind them. */
export class FleetFixture {
  #redis: RedisServer | undefined;
  #tests = 0;
  #closing: (() => Promise<unknown>)[] = [];
  /** What connections and workers said in the test. */
  readonly said: string[] = [];

  constructor() {
    beforeAll(async () => {
      this.#redis = await RedisServer.start();
    });
    afterEach(async () => {
      for (const close of this.#closing.toReversed()) await close();
      this.#closing = [];
      this.said.length = 0;
      this.#tests++;
    });
    afterAll(() => this.#redis?.remove());
  }

  get redis(): RedisServer {
    if (!this.#redis) throw new Error('expected the server to be started by beforeAll');
    return this.#redis;
  }

  get place(): RedisPlace {
    return redisPlace(`${this.redis.url}?namespace=test${this.#tests}`, {});
  }

  readonly say = (text: string): void => void this.said.push(text);

  /** Closes something when the test is done. */
  closing(close: () => Promise<unknown>): void {
    this.#closing.push(close);
  }

  async client(queue = 'train.built-in'): Promise<JobClient> {
    const redis = connect(this.place, this.say);
    const client = await JobClient.open(queue, { redis, place: this.place });
    this.closing(async () => {
      await client.close();
      leave(redis);
    });
    return client;
  }

  worker(services: readonly Service[], options: Partial<WorkerOptions> = {}): FleetWorker {
    const id = `worker-${this.#closing.length}`;
    const worker = new FleetWorker({ id, place: this.place, services, lockMs: 30_000, say: this.say, ...options });
    this.closing(async () => {
      worker.stop('return');
      await worker.ended;
    });
    return worker;
  }
}

/** The folder of files that workers and studies of a test share. */
export function storeIn(folder: string): string {
  return join(folder, 'store');
}
