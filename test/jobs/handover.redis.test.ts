import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { SimulatedClock } from '../../core/clock.ts';
import type { Outcome } from '../../core/trial.ts';
import { connect, leave } from '../../jobs/connection.ts';
import { FleetEvaluator } from '../../jobs/evaluator.ts';
import { JobTrace, traceKey } from '../../jobs/handover.ts';
import { readOffer } from '../../jobs/offer.ts';
import { servicesOf } from '../../jobs/services.ts';
import { openStore } from '../../jobs/store-place.ts';
import { FolderArtefacts } from '../../study/artefacts.ts';
import { smallData } from '../cases/evaluator-data.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { tableSpec as spec } from './chaos/table-evaluator.ts';
import { FleetFixture, service } from './fleet.ts';
import { ObjectServer } from './object-server.ts';
import { hasRedis } from './redis-server.ts';

const place = 's3://models/fleet';
const fidelity = { examples: 72_000, seed: 1 };
const batchSize = 32;

/** Examples that a saved training has seen: its file has a time for each update. */
function examplesIn(file: Buffer | undefined): number {
  if (!file) throw new Error('expected the file that Redis names');
  const header = JSON.parse(file.subarray(8, 8 + Number(file.readBigUInt64LE(0))).toString('utf8')) as {
    readonly 'update-ms': { readonly shape: readonly [number] };
  };
  return batchSize * header['update-ms'].shape[0];
}

describe.skipIf(!hasRedis)('a training whose host dies', () => {
  const fleet = new FleetFixture();
  const server = new ObjectServer();
  let env: NodeJS.ProcessEnv;
  beforeEach(async () => {
    server.objects.clear();
    env = await server.start();
  });
  afterEach(() => server.stop());

  /** A worker in a process and a folder of its own, as another host would have it. */
  const hostOf = (folder: string): ChildProcess => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'worker.yaml'), 'slots: 1\nlock: 2s\ncheckpoint: 200ms\n');
    const main = join(inject('built'), 'cli', 'main.js');
    const { prefix } = fleet.place;
    const redis = `${fleet.redis.url}?namespace=${prefix.slice('{ridgepoint-'.length, -1)}`;
    const args = ['worker', '--redis', redis, '--store', place, '--config', 'worker.yaml'];
    return spawn(process.execPath, [main, ...args], {
      cwd: folder,
      // A lock of its own, too: nobody measures there.
      env: { ...process.env, ...env, TMPDIR: folder },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  };

  it(
    'goes on elsewhere from what it last saved, and leaves nothing once its result is safe',
    { timeout: 400_000 },
    async () => {
      const folder = fileFolder();
      const redis = connect(fleet.place, fleet.say);
      fleet.closing(async () => leave(redis));
      const client = await fleet.client();
      const evaluator = new FleetEvaluator({
        client,
        study: 's-1',
        data: await smallData(folder),
        trainer: { batchSize },
        artefacts: new FolderArtefacts(join(folder, 'artefacts')),
        store: openStore(place, join(folder, 'study'), env),
        capacity: () => 1,
        close: () => client.close(),
      });
      const notices: string[] = [];
      const { signal } = new AbortController();
      const outcome = evaluator.evaluate(
        { id: 't0001', spec },
        { fidelity, keepWeights: false, signal, onNotice: (text) => void notices.push(text) },
      );
      // Another host was at it for long before.
      const jobs = (): Promise<string[]> => redis.keys(`${fleet.place.prefix}:train.built-in:s-1.*`);
      const [job = ''] = await vi.waitUntil(async () => ((await jobs()).length > 0 ? jobs() : undefined), {
        timeout: 150_000,
      });
      await redis.hset(traceKey(fleet.place.prefix, job.split(':').at(-1) ?? ''), { busyS: 1e6 });
      const connections = async (): Promise<string[]> => String(await redis.client('LIST')).match(/^id=\d+/gm) ?? [];
      const ours = await connections();
      const first = hostOf(join(folder, 'first'));
      fleet.closing(async () => void first.kill('SIGKILL'));
      const savedAt = async (): Promise<string> => {
        const [key = 'none'] = await redis.keys(`${fleet.place.prefix}:trace:*`);
        return (await redis.hget(key, 'file')) ?? '';
      };
      // It has saved itself more than once.
      const begun = await vi.waitUntil(savedAt, { timeout: 150_000, interval: 50 });
      await vi.waitUntil(async () => (await savedAt()) !== begun, { timeout: 150_000, interval: 50 });
      const gone = once(first, 'exit');
      first.kill('SIGKILL');
      await gone;
      // Redis may still be reading what it said last.
      await vi.waitUntil(async () => (await connections()).every((id) => ours.includes(id)), { timeout: 150_000 });
      const examples = examplesIn(server.objects.get(`/models/fleet/${(await savedAt()).replace(':', '-')}`));
      expect(examples).toBeGreaterThan(0);
      const offer = { ...readOffer(undefined, { devices: [], slots: 1, store: place }), store: join(folder, 'second') };
      fleet.worker(servicesOf(offer, 'second', env), { lockMs: 2000 });
      const result = await outcome;
      expect(result).toMatchObject({ status: 'ok', cost: { examples: fidelity.examples } });
      const { lostS = 0, trainS } = (result as Extract<Outcome, { status: 'ok' }>).cost;
      // What was saved of it is in the result.
      expect(lostS).toBeGreaterThan(1e6 - trainS);
      expect(lostS).toBeLessThan(1e6 + 60);
      expect(notices).toContain(`training goes on after ${examples} of ${fidelity.examples} examples`);
      expect(await savedAt()).not.toBe('');
      evaluator.journalled('t0001', 1);
      await evaluator.close();
      expect(await savedAt()).toBe('');
      // The data and how to train on it.
      expect(server.objects.size).toBe(2);
    },
  );

  /** What a worker does of a job until it dies: it says what it will save, has it in the store, and tells which is the last. */
  const savedBy = (redis: Redis, folder: string) => {
    const store = openStore(place, folder, env);
    return async (job: string, text: string, until: 'there' | 'told'): Promise<void> => {
      const trace = new JobTrace(redis, fleet.place.prefix, job);
      const digest = await store.here.put(Buffer.from(text), (coming) => trace.announce(coming));
      await store.publish(digest);
      if (until === 'told') await trace.save(digest, 1);
    };
  };

  it('leaves no file behind, at whatever moment it died: its job’s go with the result, all others with the study', async () => {
    const folder = fileFolder();
    const redis = connect(fleet.place, fleet.say);
    fleet.closing(async () => leave(redis));
    const dying = savedBy(redis, join(folder, 'dead'));
    const outcome = { status: 'infeasible', reason: 'memory', detail: 'too large' };
    const jobs: string[] = [];
    fleet.worker([
      service(async ({ id }) => {
        jobs.push(id);
        // Three workers before this one: two died before they could remove what theirs took the place of.
        await dying(id, `${id} first`, 'told');
        await dying(id, `${id} second`, 'told');
        await dying(id, `${id} third`, 'there');
        return { schema: 1, outcome, traced: true, worker: 'w' };
      }),
    ]);
    const client = await fleet.client();
    const evaluator = new FleetEvaluator({
      client,
      study: 's-1',
      data: await smallData(folder),
      trainer: {},
      artefacts: new FolderArtefacts(join(folder, 'artefacts')),
      store: openStore(place, join(folder, 'study'), env),
      capacity: () => 1,
      close: () => client.close(),
    });
    const { signal } = new AbortController();
    const evaluate = (id: string) => evaluator.evaluate({ id, spec }, { fidelity, keepWeights: false, signal });
    await Promise.all([evaluate('t0001'), evaluate('t0002')]);
    // A job that nobody ended, one of an answer that an earlier process had, and one of another study.
    await dying('s-1.t0003-abc.2', 'given up', 'told');
    await dying('s-1.t0004-abc.1', 'journalled by a process that died', 'there');
    await dying('s-2.t0001-abc.1', 'under way', 'told');
    expect(server.objects.size).toBe(2 + 3 + 3 + 3);
    evaluator.journalled('t0001', 1);
    await vi.waitUntil(() => server.objects.size === 2 + 3 + 3, { timeout: 30_000 });
    evaluator.concluded();
    await vi.waitUntil(() => server.objects.size === 2 + 1, { timeout: 30_000 });
    await evaluator.close();
    expect([...server.objects.values()].filter(({ length }) => length < 100).map(String)).toEqual(['under way']);
    const keys = await redis.keys(`${fleet.place.prefix}:*`);
    const left = keys.flatMap((key) => /(?:trace|saved):.*/.exec(key) ?? []);
    expect(left.toSorted()).toEqual(['saved:s-2', 'trace:s-2.t0001-abc']);
  });

  it('leaves behind how long its host was busy, until it was heard of last', async () => {
    const redis = connect(fleet.place, fleet.say);
    fleet.closing(async () => leave(redis));
    const key = traceKey(fleet.place.prefix, 's-1.t0001-abc.1');
    expect(traceKey(fleet.place.prefix, 's-1.t0001-abc.2')).toBe(key);
    const clock = new SimulatedClock(1e12);
    const host = (): JobTrace => new JobTrace(redis, fleet.place.prefix, 's-1.t0001-abc.1', clock);
    const first = host();
    expect(await first.take()).toEqual({ digest: undefined, trainS: 0, busyS: 0 });
    // It waits for its host's lock.
    clock.advance(5000);
    await first.beat();
    first.begin();
    expect([first.isLeft, await redis.exists(key)]).toEqual([false, 0]);
    clock.advance(10_000);
    await first.beat();
    clock.advance(60_000);
    // The first one is gone; the second saves something and is gone as well, the third is gone before it is heard of.
    const second = host();
    expect(await second.take()).toMatchObject({ busyS: 10 });
    second.begin();
    clock.advance(20_000);
    await second.beat();
    await second.save('sha256:abc', 15);
    const third = host();
    await third.take();
    third.begin();
    clock.advance(1000);
    // The fourth fails, which its study is told with its time.
    const fourth = host();
    await fourth.take();
    fourth.begin();
    clock.advance(40_000);
    await fourth.beat();
    await fourth.end();
    await fourth.beat();
    expect(await host().take()).toEqual({ digest: 'sha256:abc', trainS: 15, busyS: 30 });
    expect(await redis.ttl(key)).toBeGreaterThan(6 * 24 * 3600);
  });
});
