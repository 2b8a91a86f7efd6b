import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { Runs } from '../../dashboard/runs.ts';
import { Dashboard } from '../../dashboard/server.ts';
import { FleetObserver } from '../../jobs/observer.ts';
import { announce, nameQueue } from '../../jobs/presence.ts';
import { FleetFixture } from '../jobs/fleet.ts';
import { hasRedis } from '../jobs/redis-server.ts';
import { hasChromium, launchChromium, openPage } from './chromium.ts';
import { SentEvents } from './event-source.ts';

const worker = {
  schema: 1 as const,
  id: 'bench-1-77-abc',
  host: 'bench-1',
  pid: 77,
  version: '0.1.0',
  trainers: ['built-in'],
  slots: 4,
  devices: ['xeon'],
  memoryBytes: 64 * 2 ** 30,
  jobs: ['study-1.t0001-0a1b.1'],
};

describe.skipIf(!hasRedis)('the page of a fleet over a real Redis', () => {
  const fleet = new FleetFixture();

  async function open() {
    const { place } = fleet;
    const redis = new Redis(place.options);
    redis.on('error', () => {});
    const queueOf = async (name: string): Promise<Queue> => {
      await nameQueue(redis, place.prefix, name);
      const queue = new Queue(name, { connection: redis, prefix: place.prefix });
      queue.on('error', () => {});
      fleet.closing(() => queue.close());
      return queue;
    };
    fleet.closing(async () => redis.disconnect());
    const observer = new FleetObserver(place, fleet.say);
    fleet.closing(() => observer.close());
    const runs = mkdtempSync(join(tmpdir(), 'ridgepoint-runs-'));
    fleet.closing(async () => rmSync(runs, { recursive: true }));
    const dashboard = await Dashboard.open({
      runs: new Runs(runs),
      host: '127.0.0.1',
      port: 0,
      fleet: observer,
      onNotice: fleet.say,
    });
    fleet.closing(() => dashboard.close());
    // Its connection is another than ours: it may come a moment later.
    while (!(await observer.look()).reachable) await delay(20);
    const textOf = async (path: string): Promise<string> => (await fetch(`${dashboard.url}${path}`)).text();
    return { redis, place, queueOf, observer, dashboard, textOf };
  }

  it('shows workers with what they do, their devices, and why jobs wait', async () => {
    const { redis, place, queueOf, dashboard, textOf } = await open();
    await announce(redis, place.prefix, worker);
    const trainings = await queueOf('train.built-in');
    await trainings.add('train.built-in', {}, { jobId: 'study-1.t0002-0a1b.1' });
    const measurements = await queueOf('measure.tpu');
    await measurements.add('measure.tpu', {}, { jobId: 'study-1.t0003-0a1b.1' });
    await dashboard.lookAtFleet();
    const page = await textOf('/fleet');
    expect(page).toMatch(/bench-1-77-abc<\/th>.*? busy.*?built-in<\/td><td>4<\/td><td>xeon<\/td>/s);
    expect(page).toMatch(/measure\.tpu<\/th><td>1<\/td>.*?! 1 wait: nobody offers tpu; nearest: bench-1, xeon/s);
    expect(page).toMatch(
      /train\.built-in<\/th><td>1<\/td>(<td>.*?<\/td>){4}<td>1 wait: 1 worker with 4 slots does 0 now and takes more<\/td>/s,
    );
  });

  it('looks at queues without writing to them', async () => {
    const { redis, place, observer } = await open();
    await nameQueue(redis, place.prefix, 'train.built-in');
    const meta = `${place.prefix}:train.built-in:meta`;
    await redis.hset(meta, 'version', 'of whoever opened it');
    expect((await observer.look()).queues).toMatchObject([{ queue: 'train.built-in', waiting: 0, why: [] }]);
    await Promise.all(observer.queues.map((queue) => queue.waitUntilReady()));
    expect(await redis.hgetall(meta)).toEqual({ version: 'of whoever opened it' });
  });

  it('tells when the fleet changes, and only then', async () => {
    const { redis, place, dashboard } = await open();
    await dashboard.lookAtFleet();
    const stream = await SentEvents.open(`${dashboard.url}/fleet/events`);
    const first = await stream.next();
    await dashboard.lookAtFleet();
    await announce(redis, place.prefix, worker);
    await dashboard.lookAtFleet();
    const second = await stream.next();
    expect(second.id).not.toBe(first.id);
    stream.close();
    const silent = await SentEvents.open(`${dashboard.url}/fleet/events`, { 'last-event-id': second.id });
    await announce(redis, place.prefix, { ...worker, jobs: [] });
    await dashboard.lookAtFleet();
    expect((await silent.next()).id).not.toBe(second.id);
    silent.close();
  });

  it('serves bull-board without a request to anywhere else, and without anything that changes a queue', async () => {
    const { queueOf, dashboard, textOf } = await open();
    const queue = await queueOf('train.built-in');
    await queue.add('train.built-in', { schema: 1 }, { jobId: 'study-1.t0002-0a1b.1' });
    await dashboard.lookAtFleet();
    const page = await textOf('/queues');
    expect(page).toContain('Ridgepoint queues');
    expect(page).not.toMatch(/<%|https?:\/\//);
    const [script = ''] = /static\/js\/main\.[^"]*\.js/.exec(page) ?? [];
    expect((await fetch(`${dashboard.url}/queues/${script}`)).headers.get('content-type')).toContain('javascript');
    const known = JSON.parse(await textOf('/queues/api/queues')) as {
      queues: { name: string; readOnlyMode: boolean }[];
    };
    expect(known.queues).toMatchObject([{ name: 'train.built-in', readOnlyMode: true }]);
    const job = JSON.parse(await textOf('/queues/api/queues/train.built-in/study-1.t0002-0a1b.1')) as object;
    expect(JSON.stringify(job)).toContain('study-1.t0002-0a1b.1');
    const changing = ['pause', 'empty', 'obliterate', 'study-1.t0002-0a1b.1/clean', 'clean/waiting', 'add'];
    for (const what of changing)
      for (const method of ['PUT', 'POST', 'GET', 'PATCH']) {
        const response = await fetch(`${dashboard.url}/queues/api/queues/train.built-in/${what}`, { method });
        expect([what, method, response.ok]).toEqual([what, method, false]);
      }
    expect(await queue.getJobCounts('waiting')).toEqual({ waiting: 1 });
    expect(await queue.isPaused()).toBe(false);
    for (const path of ['/queues/static/../../package.json', '/queues/static/%2e%2e%2f%2e%2e%2fpackage.json'])
      expect((await fetch(`${dashboard.url}${path}`)).status).toBe(404);
  });

  it.skipIf(!hasChromium)(
    'shows a job by bull-board in a real browser, with nothing to press that changes it',
    async () => {
      const { queueOf, dashboard } = await open();
      const queue = await queueOf('train.built-in');
      await queue.add('train.built-in', { trial: 't0002' }, { jobId: 'study-1.t0002-0a1b.1' });
      await dashboard.lookAtFleet();
      const browser = await launchChromium();
      fleet.closing(() => browser.close());
      const complaints: string[] = [];
      const page = await openPage(browser, complaints);
      await page.goto(`${dashboard.url}/fleet`);
      await page.getByRole('link', { name: 'Queues' }).click();
      await page.getByRole('link', { name: 'train.built-in' }).first().click();
      await page.getByText('study-1.t0002-0a1b.1').first().waitFor();
      await page.getByText('t0002', { exact: false }).first().waitFor();
      for (const name of [/retry/i, /clean/i, /promote/i, /pause/i, /obliterate/i, /add job/i])
        expect(await page.getByRole('button', { name }).count()).toBe(0);
      expect(complaints).toEqual([]);
    },
  );

  it('says when Redis is gone, with what was seen last, and goes on when it is back', async () => {
    const { redis, place, observer, dashboard, textOf } = await open();
    await announce(redis, place.prefix, worker);
    await dashboard.lookAtFleet();
    await fleet.redis.kill();
    while ((await observer.look()).reachable) await delay(20);
    const page = await textOf('/fleet');
    expect(page).toMatch(/role="alert">Redis at .* cannot be reached/);
    expect(page).toContain('bench-1-77-abc');
    expect((await fetch(`${dashboard.url}/queues/api/queues`)).status).toBe(503);
    await fleet.redis.up();
    while (!(await observer.look()).reachable) await delay(20);
    expect(await textOf('/fleet')).not.toContain('cannot be reached');
  });
});
