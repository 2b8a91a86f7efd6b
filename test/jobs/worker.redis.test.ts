import { EventEmitter, once } from 'node:events';
import { Redis } from 'ioredis';
import { Queue } from 'bullmq';
import { describe, expect, it } from 'vitest';
import { CommandError } from '../../commands/run.ts';
import { EnvironmentError, InterruptedError } from '../../core/errors.ts';
import { jobId, received, trainJobSchema } from '../../jobs/contract.ts';
import { present } from '../../jobs/presence.ts';
import type { Work } from '../../jobs/worker.ts';
import { tensorFlowUnavailable } from '../../training/tfjs/load.ts';
import { FleetFixture, service } from './fleet.ts';
import { hasRedis } from './redis-server.ts';

const never = new AbortController().signal;
const name = jobId('study-1', 't0001', 1);

/** Work that goes on until it is let go, and tells when it began. */
class Held {
  readonly begun: Promise<Work>;
  #begin: (work: Work) => void = () => {};
  #finish: (result: object) => void = () => {};
  runs = 0;

  constructor() {
    this.begun = new Promise((resolve) => {
      this.#begin = resolve;
    });
  }

  readonly serve = (work: Work): Promise<object> => {
    this.runs++;
    this.#begin(work);
    return new Promise((resolve, reject) => {
      this.#finish = resolve;
      work.signal.addEventListener('abort', () => reject(new InterruptedError(`${work.id}: interrupted`)));
    });
  };

  finish(result: object): void {
    this.#finish(result);
  }
}

/** Resolves once `check` holds, looking whenever something was heard. */
async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await check())) await new Promise((resolve) => setTimeout(resolve, 20));
}

describe.skipIf(!hasRedis)('jobs over a real Redis', () => {
  const fleet = new FleetFixture();

  const bare = () => {
    const { place } = fleet;
    const redis = new Redis(place.options);
    const queue = new Queue('train.built-in', { connection: redis, prefix: place.prefix });
    redis.on('error', () => {});
    queue.on('error', () => {});
    fleet.closing(async () => {
      await queue.close();
      redis.disconnect();
    });
    return { redis, queue, lockOf: (id: string) => `${queue.toKey(id)}:lock` };
  };

  it('does a job once however often it is asked for, and keeps the result until it is forgotten', async () => {
    let runs = 0;
    const { queue } = bare();
    fleet.worker([service(() => Promise.resolve({ run: ++runs }))]);
    const first = await fleet.client();
    expect(await first.ask(name, { x: 1 }, { signal: never })).toEqual({ run: 1 });
    // A study that died before its journal had the result asks again.
    const second = await fleet.client();
    expect(await second.ask(name, { x: 1 }, { signal: never })).toEqual({ run: 1 });
    expect(runs).toBe(1);
    second.forget(name);
    await until(async () => (await queue.getJob(name)) === undefined);
  });

  it('gives two who ask for the same jobs at once the same whole results', async () => {
    fleet.worker([service((work) => Promise.resolve({ id: work.id }), 8)]);
    const clients = [await fleet.client(), await fleet.client()];
    const ids = Array.from({ length: 200 }, (_, index) => jobId('study-1', `t${index}`, 1));
    // The second is looked at while it is being finished.
    const answers = await Promise.all(
      ids.flatMap((id) => clients.map((client) => client.ask(id, {}, { signal: never }))),
    );
    expect(answers).toEqual(ids.flatMap((id) => [{ id }, { id }]));
  });

  it('gives a study that comes back the result of what was running meanwhile', async () => {
    const held = new Held();
    fleet.worker([service(held.serve)]);
    const first = await fleet.client();
    void first.ask(name, {}, { signal: never }).catch(() => {});
    await held.begun;
    await first.close();
    const second = await fleet.client();
    const answer = second.ask(name, {}, { signal: never });
    held.finish({ done: true });
    expect(await answer).toEqual({ done: true });
    expect(held.runs).toBe(1);
  });

  it('keeps what is finished after a study came back and before it asks', async () => {
    const held = new Held();
    const { redis, queue } = bare();
    fleet.worker([service(held.serve)]);
    const first = await fleet.client();
    void first.ask(name, {}, { signal: never }).catch(() => {});
    await held.begun;
    await first.close();
    const second = await fleet.client();
    held.finish({ done: true });
    await until(async () => (await (await queue.getJob(name))?.getState()) === 'completed');
    // Events come in order: this one is heard after that one of the job.
    const next = jobId('study-1', 't0002', 1);
    const asked = second.ask(next, {}, { signal: never });
    await until(() => held.runs === 2);
    held.finish({ next: true });
    expect(await asked).toEqual({ next: true });
    expect(await redis.exists(queue.toKey(name))).toBe(1);
    expect(await second.ask(name, {}, { signal: never })).toEqual({ done: true });
    expect(held.runs).toBe(2);
  });

  it('refuses the result of a worker that was stalled and revived', async () => {
    const { redis, lockOf, queue } = bare();
    const options = { lockMs: 3000 };
    const calls = new EventEmitter();
    const begun = once(calls, 'begun');
    // Deaf to its signal, as a stopped process is.
    const deaf = async (): Promise<object> => {
      const revived = once(calls, 'revive');
      calls.emit('begun');
      const [result] = (await revived) as [object];
      return result;
    };
    const first = fleet.worker([service(deaf)], options);
    const client = await fleet.client();
    const answer = client.ask(name, {}, { signal: never });
    await begun;
    // What happens to a process that is stopped: its lock runs out. Others look for such jobs now and then.
    await redis.del(lockOf(name));
    const second = new Held();
    fleet.worker([service(second.serve)], { ...options, id: 'second' });
    await second.begun;
    calls.emit('revive', { by: 'first' });
    first.stop('finish');
    await first.ended;
    expect(await (await queue.getJob(name))?.getState()).toBe('active');
    second.finish({ by: 'second' });
    expect(await answer).toEqual({ by: 'second' });
    expect((await queue.getJob(name))?.returnvalue).toEqual({ by: 'second' });
  });

  it('does not do twice at once a job that it lost to itself', async () => {
    const { redis, lockOf, queue } = bare();
    const calls = new EventEmitter();
    const begun = once(calls, 'begun');
    let [now, most] = [0, 0];
    const deaf = async ({ id }: Work): Promise<object> => {
      most = Math.max(most, ++now);
      const revived = once(calls, 'revive');
      calls.emit('begun', id);
      const [result] = (await revived) as [object];
      now--;
      return result;
    };
    fleet.worker([service(deaf, 2)], { lockMs: 3000 });
    const client = await fleet.client();
    const answer = client.ask(name, {}, { signal: never });
    await begun;
    await redis.del(lockOf(name));
    await until(async () => (await (await queue.getJob(name))?.getState()) === 'delayed');
    const again = once(calls, 'begun');
    calls.emit('revive', { run: 1 });
    await (await queue.getJob(name))?.promote();
    await again;
    calls.emit('revive', { run: 2 });
    expect(await answer).toEqual({ run: 2 });
    expect(most).toBe(1);
  });

  it('renews the lock of a job that takes longer', async () => {
    const held = new Held();
    const { redis, lockOf } = bare();
    const options = { lockMs: 3000 };
    fleet.worker([service(held.serve)], options);
    const client = await fleet.client();
    const answer = client.ask(name, {}, { signal: never });
    await held.begun;
    fleet.worker([service(() => Promise.resolve({ by: 'another' }))], { ...options, id: 'another' });
    let renewals = 0;
    let leftMs = await redis.pttl(lockOf(name));
    await until(async () => {
      const nowMs = await redis.pttl(lockOf(name));
      if (nowMs > leftMs) renewals++;
      leftMs = nowMs;
      return renewals >= 3;
    });
    expect(await redis.exists(lockOf(name))).toBe(1);
    held.finish({ by: 'the first' });
    expect(await answer).toEqual({ by: 'the first' });
  });

  it('gives its work back when it is stopped, for another to do, and no attempt is lost', async () => {
    const held = new Held();
    const first = fleet.worker([service(held.serve)]);
    const client = await fleet.client();
    const answer = client.ask(name, {}, { signal: never });
    const { signal } = await held.begun;
    first.stop('return');
    await first.ended;
    expect(signal.aborted).toBe(true);
    fleet.worker([service(() => Promise.resolve({ by: 'second' }))], { id: 'second' });
    expect(await answer).toEqual({ by: 'second' });
  });

  it('finishes its work when it is to drain, and ends after one job when told so', async () => {
    const client = await fleet.client();
    const asked = [1, 2, 3].map((trial) => client.ask(jobId('study-1', `t000${trial}`, 1), {}, { signal: never }));
    const single = fleet.worker([service((work) => Promise.resolve({ id: work.id }), 3)], {
      until: 'once',
      id: 'once',
    });
    await single.ended;
    expect(await Promise.race(asked)).toEqual({ id: 'study-1.t0001.1' });
    expect(client.waiting).toBe(2);
    const drain = fleet.worker([service((work) => Promise.resolve({ id: work.id }))], {
      until: 'drained',
      id: 'drain',
    });
    await drain.ended;
    expect(await Promise.all(asked)).toHaveLength(3);
  });

  it.each([
    ['its program', new CommandError('environmentBroken', 'no driver')],
    ['TensorFlow.js', new EnvironmentError('no driver', { code: tensorFlowUnavailable })],
  ])('ends when it is to drain a queue that it turns out not to serve, for %s does not work', async (_, broken) => {
    const { queue } = bare();
    const client = await fleet.client();
    const answer = client.ask(name, {}, { signal: never });
    await until(async () => (await queue.getJob(name)) !== undefined);
    const drain = fleet.worker([service(() => Promise.reject(broken))], { until: 'drained' });
    await drain.ended;
    fleet.worker([service(() => Promise.resolve({ by: 'another' }))], { id: 'another' });
    expect(await answer).toEqual({ by: 'another' });
    expect(fleet.said.join()).toContain('this worker takes no more jobs of train.built-in: no driver');
  });

  it('carries failures with their codes, and keeps the job with its reason and log', async () => {
    const { queue } = bare();
    fleet.worker([
      service(() => Promise.reject(new EnvironmentError('out of disk', { code: 'disk-full', retry: true }))),
    ]);
    const client = await fleet.client();
    const failure = await client.ask(name, {}, { signal: never }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'disk-full', retry: true, message: 'out of disk' });
    expect(await (await queue.getJob(name))?.getState()).toBe('failed');
    expect((await queue.getJobLogs(name)).logs.join()).toContain('out of disk');
  });

  it('quarantines a job whose workers are lost again and again', async () => {
    const { redis, lockOf } = bare();
    const runs: (() => void)[] = [];
    const endless = service((work) => {
      // As if its process were gone: the lock is not there and nobody renews it.
      void redis.del(lockOf(work.id));
      return new Promise((resolve) => runs.push(() => resolve({})));
    });
    for (let index = 0; index < 8; index++) fleet.worker([endless], { lockMs: 200 });
    const client = await fleet.client();
    const failure = await client.ask(name, {}, { signal: never }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'quarantined', retry: false });
    expect(String(failure)).toContain('stalled more than allowable limit');
    expect(runs).toHaveLength(6);
    for (const end of runs) end();
  });

  it('stops what runs and takes back what waits when a study is interrupted, and does it when asked again', async () => {
    const held = new Held();
    const { queue } = bare();
    fleet.worker([service(held.serve)]);
    const client = await fleet.client();
    const controller = new AbortController();
    const waitingName = jobId('study-1', 't0002', 1);
    const asked = [name, waitingName].map((id) => client.ask(id, {}, { signal: controller.signal }));
    const { signal } = await held.begun;
    const stopped = once(signal, 'abort');
    controller.abort();
    for (const answer of asked) await expect(answer).rejects.toThrow(InterruptedError);
    await stopped;
    await until(async () => (await queue.getJob(waitingName)) === undefined);
    await until(async () => (await (await queue.getJob(name))?.getState()) === 'failed');
    const again = client.ask(name, {}, { signal: never });
    await until(() => held.runs === 2);
    held.finish({ second: true });
    expect(await again).toEqual({ second: true });
  });

  it('waits while Redis is gone, on both sides, says so, and loses nothing', async () => {
    const held = new Held();
    // Without this Redis may lose its last second, which is the next test.
    await bare().redis.config('SET', 'appendfsync', 'always');
    fleet.worker([service(held.serve)]);
    const client = await fleet.client();
    const running = client.ask(name, {}, { signal: never });
    await held.begun;
    await fleet.redis.kill();
    await until(() => fleet.said.filter((text) => text.includes('is gone; waiting for it')).length >= 2);
    const meanwhile = client.ask(jobId('study-1', 't0002', 1), {}, { signal: never });
    held.finish({ kept: true });
    await fleet.redis.up();
    await until(() => fleet.said.filter((text) => text.includes('is there again')).length >= 2);
    expect(await running).toEqual({ kept: true });
    await until(() => held.runs >= 2);
    held.finish({ second: true });
    expect(await meanwhile).toEqual({ second: true });
  });

  it('asks again for what Redis has lost', async () => {
    const { redis } = bare();
    const client = await fleet.client();
    const answer = client.ask(name, { x: 1 }, { signal: never });
    const key = `${fleet.place.prefix}:train.built-in:${name}`;
    await until(async () => (await redis.exists(key)) === 1);
    await redis.flushall();
    await redis.bgrewriteaof();
    await fleet.redis.kill();
    await fleet.redis.up();
    fleet.worker([service((work) => Promise.resolve(work.data as object))]);
    expect(await answer).toEqual({ x: 1 });
  });

  it('refuses a job of a form that it does not know, naming the versions', async () => {
    fleet.worker([service((work) => Promise.resolve(received(trainJobSchema, work.data, work.id)) as Promise<object>)]);
    const client = await fleet.client();
    const failure = await client.ask(name, { schema: 2 }, { signal: never }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'job-contract', retry: false });
    expect(String(failure)).toContain('do both sides run the same version?');
  });

  it('tells who is there and what they offer, until they leave', async () => {
    const { redis } = bare();
    const { prefix } = fleet.place;
    const worker = fleet.worker([service(() => Promise.resolve({}), 3)], { id: 'node7' });
    await until(async () => (await present(redis, prefix)).length === 1);
    const workers = await present(redis, prefix);
    expect(workers).toMatchObject([{ id: 'node7', trainers: ['built-in'], devices: [], slots: 3, jobs: [] }]);
    worker.stop('return');
    await worker.ended;
    expect(await present(redis, prefix)).toEqual([]);
  });
});
