import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { EnvironmentError, InterruptedError } from '../../core/errors.ts';
import { connect, connectNow, leave, redisPlace } from '../../jobs/connection.ts';
import { jobId } from '../../jobs/contract.ts';
import { diagnoseRedis } from '../../jobs/doctor.ts';
import { JobClient } from '../../jobs/client.ts';
import { failedJobs, overviewOf } from '../../jobs/overview.ts';
import { askOverFleet, hearFleetRequests } from '../../jobs/requests.ts';
import { fleetOver } from '../../jobs/fleet.ts';
import { folderStore } from '../../jobs/store.ts';
import { FleetWorker, type Work } from '../../jobs/worker.ts';
import { runStudy } from '../../study/study.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { ridgepoint } from '../cli/ridgepoint.ts';
import { eventsOf, smallStudy } from '../study/small-study.ts';
import { FleetFixture, service } from './fleet.ts';
import { hasRedis, RedisServer } from './redis-server.ts';

const never = new AbortController().signal;

/** A way to a Redis on which what is sent there waits for `before`, connection by connection. */
async function wayTo(redis: RedisServer, before: (text: string) => Promise<void>) {
  const sockets: Socket[] = [];
  const server = createServer((near) => {
    const far = createConnection({ host: '127.0.0.1', port: Number(new URL(redis.url).port) });
    sockets.push(near, far);
    far.pipe(near).on('error', () => far.destroy());
    far.on('error', () => near.destroy());
    let sent = Promise.resolve();
    near.on('data', (chunk: Buffer) => {
      sent = sent.then(() => before(chunk.toString('latin1'))).then(() => void far.write(chunk));
    });
    near.on('close', () => far.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

/** What docs/fleet.md tells people to give the fleet's user. */
const permissions =
  '~{ridgepoint}:* &{ridgepoint}:* -@all +@read +@write +@connection +@pubsub +@scripting +@transaction +@blocking -@dangerous +info +time';
const password = 'k3ep-me-s3cret';

describe.skipIf(!hasRedis)('a fleet looked at from outside', () => {
  const fleet = new FleetFixture();

  const outside = async (): Promise<Redis> => {
    const redis = await connectNow(fleet.place);
    fleet.closing(async () => redis.disconnect());
    return redis;
  };

  it('tells queues, studies and why jobs wait', async () => {
    const redis = await outside();
    const client = await fleet.client();
    const ids = Array.from({ length: 3 }, (_, index) => jobId('retail-0a1b', `t${index}-ff`, 1));
    for (const id of ids) client.ask(id, {}, { signal: never }).catch(() => {});
    await expect
      .poll(async () => (await overviewOf(redis, fleet.place)).queues)
      .toMatchObject([{ queue: 'train.built-in', waiting: 3, why: [expect.stringMatching(/^3 wait: there is no/)] }]);
    const { studies } = await overviewOf(redis, fleet.place);
    expect(studies).toEqual([{ key: 'retail-0a1b', waiting: 3, active: 0, failed: 0 }]);
  });

  it('gives the reason and log of a job that failed, by the name of its study', async () => {
    const redis = await outside();
    const broken = new EnvironmentError('the disk is full', { code: 'full' });
    fleet.worker([service(() => Promise.reject(broken))]);
    const client = await fleet.client();
    const spent: number[] = [];
    const asked = client.ask(
      jobId('retail-0a1b', 't0007-ff', 1),
      {},
      { signal: never, onFailureTook: (s) => spent.push(s) },
    );
    await expect(asked).rejects.toThrow('the disk is full');
    expect(spent).toEqual([expect.any(Number)]);
    const [job, ...others] = await failedJobs(redis, fleet.place, 'retail', 't0007');
    expect(others).toEqual([]);
    expect(job).toMatchObject({ code: 'full', message: 'the disk is full', worker: expect.stringMatching(/^worker-/) });
    expect(job?.log.join('\n')).toMatch(/EnvironmentError: the disk is full\n\s+at /);
    expect(await failedJobs(redis, fleet.place, 'retail', 't0008')).toEqual([]);
    expect(await failedJobs(redis, fleet.place, 'other')).toEqual([]);
  });

  it('takes requests to the study that they are for, and says when there is none', async () => {
    const [speaking, listening, asking, hearing] = await Promise.all([outside(), outside(), outside(), outside()]);
    const { prefix } = fleet.place;
    const request = { schema: 1, action: 'cancel', trial: 't0001', by: 'ada@office' } as const;
    const got: unknown[] = [];
    await hearFleetRequests({ listening, speaking, prefix }, 'retail-0a1b', (asked) => {
      got.push(asked);
      return Promise.resolve({ done: true, text: 'cancelled' });
    });
    const parts = { speaking: asking, listening: hearing, prefix };
    const answer = { study: 'retail-0a1b', done: true, text: 'cancelled' };
    expect(await askOverFleet(parts, 'retail', request)).toEqual(answer);
    expect(got).toEqual([request]);
    const waits = { calledMs: 100, answerMs: 5000 };
    await expect(askOverFleet(parts, 'retail-v2', request, waits)).rejects.toThrow(/runs the study retail-v2/);
  });

  it('takes a request to none of several studies of one name, and to each by its key', async () => {
    const [speaking, asking, hearing] = await Promise.all([outside(), outside(), outside()]);
    const { prefix } = fleet.place;
    const request = { schema: 1, action: 'cancel', by: 'ada@office' } as const;
    const got: string[] = [];
    for (const key of ['retail-0a1b', 'retail-77ff'])
      await hearFleetRequests({ listening: await outside(), speaking, prefix }, key, () => {
        got.push(key);
        return Promise.resolve({ done: true, text: 'cancelled' });
      });
    const parts = { speaking: asking, listening: hearing, prefix };
    await expect(askOverFleet(parts, 'retail', request)).rejects.toThrow(
      'expected one study called retail at this Redis, got 2; say which by its key: retail-0a1b, retail-77ff',
    );
    expect(got).toEqual([]);
    expect(await askOverFleet(parts, 'retail-77ff', request)).toMatchObject({ study: 'retail-77ff' });
    expect(got).toEqual(['retail-77ff']);
  });
});

describe.skipIf(!hasRedis)('ridgepoint cancel over a fleet', () => {
  const fleet = new FleetFixture();

  it('stops what workers do for a study, and its journal says so', async () => {
    const cwd = fileFolder();
    const url = fleet.redis.url;
    // The command knows no namespace of a test's own.
    const place = redisPlace(url, {});
    const stopped: string[] = [];
    let cancelled: ReturnType<typeof ridgepoint> | undefined;
    // It trains until it is stopped, and is told to stop when it has begun.
    const serve = ({ id, signal }: Work): Promise<never> => {
      cancelled ??= ridgepoint(['cancel', 'small', '--redis', url], cwd);
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          stopped.push(id);
          reject(new InterruptedError('stopped'));
        });
      });
    };
    fleet.worker([service(serve)], { place });
    const folder = join(cwd, 'runs', 'small');
    const study = runStudy(smallStudy(), { folder, fleet: fleetOver(place, folderStore(join(cwd, 'store'))) });
    await expect(study).rejects.toThrow('cancelled; everything finished so far is kept');
    expect((await cancelled)?.stdout).toMatch(/^small is cancelled/);
    expect(eventsOf(folder)).toContainEqual(
      expect.objectContaining({ type: 'request', action: 'cancel', id: 'small', by: expect.stringContaining('@') }),
    );
    // The worker is free again: nothing is at work, nothing waits.
    const redis = await connectNow(place);
    fleet.closing(async () => redis.disconnect());
    const busy = async () => (await overviewOf(redis, place)).queues.map(({ active, waiting }) => [active, waiting]);
    await expect.poll(busy, { timeout: 60_000 }).toEqual([[0, 0]]);
    expect(stopped).toEqual([expect.stringMatching(/^small-\w+\.t0001-\w+\.1$/)]);
    const { stdout } = await ridgepoint(['status', 'runs/small', '--why', '--redis', url], cwd);
    expect(stdout).toMatch(/^cancelled by .* in search;[^]*no process runs it[^]*worker .* built-in × 1; 0 at work/);
  }, 240_000);
});

describe.skipIf(!hasRedis)('a Redis that is looked after', () => {
  const fleet = new FleetFixture();

  const admin = async (): Promise<Redis> => {
    const redis = await connectNow(redisPlace(fleet.redis.url, {}));
    fleet.closing(async () => redis.disconnect());
    return redis;
  };
  const placeOf = (secret = password) =>
    redisPlace(fleet.redis.url.replace('//', '//fleet@'), { RIDGEPOINT_REDIS_PASSWORD: secret });
  const rows = async (place = placeOf()) =>
    Object.fromEntries((await diagnoseRedis(place)).map(({ name, ok, detail }) => [name, ok ? 'ok' : detail]));

  it('serves a fleet whose user has the documented permissions only', async () => {
    const redis = await admin();
    await redis.call('ACL', 'SETUSER', 'fleet', 'reset', 'on', `>${password}`, ...permissions.split(' '));
    await redis.call('ACL', 'LOG', 'RESET');
    const place = placeOf();
    expect(await rows()).toMatchObject({ 'Redis permissions': 'ok', 'Redis memory policy': 'ok', Redis: 'ok' });
    const said: string[] = [];
    const worker = new FleetWorker({
      id: 'w',
      place,
      lockMs: 30_000,
      say: (text) => void said.push(text),
      services: [
        service(({ signal }) => (signal.aborted ? Promise.reject(new Error('no')) : Promise.resolve({ a: 1 }))),
      ],
    });
    const connection = connect(place, (text) => said.push(text));
    const client = await JobClient.open('train.built-in', { redis: connection, place });
    const id = jobId('study-1', 't1', 1);
    expect(await client.ask(id, {}, { signal: never })).toEqual({ a: 1 });
    client.forget(id);
    const controller = new AbortController();
    const asked = client.ask(jobId('study-1', 't2', 1), {}, { signal: controller.signal, delayMs: 60_000 });
    controller.abort();
    await expect(asked).rejects.toThrow(/interrupted/);
    await overviewOf(connection, place);
    await client.close();
    leave(connection);
    worker.stop('return');
    await worker.ended;
    // CONFIG is asked for by doctor, and may be refused; nothing else was.
    const refused = ((await redis.call('ACL', 'LOG')) as unknown[][]).map(
      (entry) => entry[entry.indexOf('object') + 1],
    );
    expect(refused.filter((object) => object !== 'config|get')).toEqual([]);
    expect(said).toEqual([]);
  });

  it('does a job of a doctor who hears of it only when it is done', async () => {
    const redis = await admin();
    const isDone = async () => {
      const streams = await redis.keys('*:doctor.*:events');
      const events = await Promise.all(streams.map((stream) => redis.xrange(stream, '-', '+')));
      return events.flat(3).includes('completed');
    };
    const way = await wayTo(fleet.redis, async (text) => {
      if (/xread/i.test(text)) await expect.poll(isDone).toBe(true);
    });
    fleet.closing(way.close);
    expect(await rows(redisPlace(way.url, {}))).toMatchObject({ 'Redis permissions': 'ok' });
  });

  it('is told from one that is not, with what to do', async () => {
    const redis = await admin();
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
    await redis.config('SET', 'appendonly', 'no');
    await redis.call('ACL', 'SETUSER', 'fleet', 'reset', 'on', `>${password}`, ...permissions.split(' '), '-publish');
    expect(await rows()).toMatchObject({
      'Redis memory policy': expect.stringMatching(/noeviction.*got allkeys-lru/),
      'Redis persistence': expect.stringMatching(/append-only/),
      'Redis permissions': expect.stringMatching(/NOPERM|no permissions/),
    });
    const wrong = await diagnoseRedis(placeOf('wr0ng-passw0rd'));
    expect(wrong).toMatchObject([{ name: 'Redis', ok: false, detail: expect.stringContaining('WRONGPASS') }]);
    expect(JSON.stringify(wrong)).not.toContain('wr0ng-passw0rd');
    const gone = await diagnoseRedis(redisPlace('redis://127.0.0.1:1', {}));
    expect(gone).toMatchObject([{ ok: false, detail: expect.stringContaining('ECONNREFUSED') }]);
    await redis.config('SET', 'maxmemory-policy', 'noeviction');
    await redis.config('SET', 'appendonly', 'yes');
  });
});

const hasOpenssl = (() => {
  try {
    execFileSync('openssl', ['version']);
    return true;
  } catch {
    return false;
  }
})();

describe.skipIf(!hasRedis || !hasOpenssl)('a Redis behind TLS', () => {
  it('is used with its authority named, and refused without', async () => {
    const folder = fileFolder();
    const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
    execFileSync(
      'openssl',
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout ${key} -out ${certificate} -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1`.split(
        ' ',
      ),
      { stdio: 'ignore' },
    );
    const server = await RedisServer.start({ tls: { certificate, key, authority: certificate } });
    try {
      const url = server.url.replace('127.0.0.1', 'localhost');
      const trusted = redisPlace(url, { RIDGEPOINT_REDIS_CA: certificate });
      const rows = await diagnoseRedis(trusted);
      expect(rows.filter(({ ok }) => !ok)).toEqual([]);
      expect(rows).toContainEqual(expect.objectContaining({ name: 'Redis transport', detail: 'TLS' }));
      expect(await diagnoseRedis(redisPlace(url, {}))).toMatchObject([
        {
          ok: false,
          detail: expect.stringMatching(/certificate/),
          fix: expect.stringContaining('RIDGEPOINT_REDIS_CA'),
        },
      ]);
    } finally {
      await server.remove();
    }
  });
});
