import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { EnvironmentError } from '../../core/errors.ts';
import { JobClient } from '../../jobs/client.ts';
import { connect, leave, redisPlace } from '../../jobs/connection.ts';
import { jobId } from '../../jobs/contract.ts';
import { structuredLog, studyLog } from '../../jobs/log.ts';
import { metricsPlace, serveMetrics, studyMetrics, workerMetrics } from '../../jobs/metrics.ts';
import type { WorkerEvent } from '../../jobs/telemetry.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { startRidgepoint } from '../cli/ridgepoint.ts';
import { FleetFixture, service } from './fleet.ts';
import { hasRedis } from './redis-server.ts';

const never = new AbortController().signal;

/** Samples of Prometheus's text format, by name and labels. */
function samples(text: string): Record<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
  );
}

/** What a study's line says of a trial's job. */
const job = (trial: string) => ({ study: 'retail', queue: 'train.built-in', job: `retail-0a1b.${trial}.1` });

/** Work that fails where it is told to. */
const fullWhenBad = ({ data }: { readonly data: unknown }) =>
  (data as { bad?: boolean }).bad
    ? Promise.reject(new EnvironmentError('the disk is full', { code: 'full' }))
    : Promise.resolve({ done: true });

const get = async (port: number, path: string) => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: response.status, text: await response.text() };
};

describe('a port for metrics', () => {
  it('is of this host alone unless a host is named', () => {
    expect(metricsPlace('9464')).toEqual({ host: '127.0.0.1', port: 9464 });
    expect(metricsPlace('0.0.0.0:9464')).toEqual({ host: '0.0.0.0', port: 9464 });
    expect(metricsPlace('[::]:9464')).toEqual({ host: '::', port: 9464 });
    for (const text of ['', 'x', '70000', ':1', 'a:b']) expect(() => metricsPlace(text)).toThrow(/--metrics-port/);
  });

  it('says whether work can be done, and refuses a port that is taken', async () => {
    let isReady = false;
    const { registry } = workerMetrics();
    const server = await serveMetrics(registry, { host: '127.0.0.1', port: 0 }, () => isReady);
    expect(await get(server.port, '/health')).toEqual({ status: 200, text: 'ok\n' });
    expect((await get(server.port, '/ready')).status).toBe(503);
    isReady = true;
    expect((await get(server.port, '/ready')).status).toBe(200);
    expect((await get(server.port, '/')).status).toBe(404);
    await expect(serveMetrics(registry, { host: '127.0.0.1', port: server.port }, () => true)).rejects.toThrow(
      /--metrics-port: expected to serve at .*EADDRINUSE/,
    );
    await server.close();
  });

  it('tells of a study what its journal tells', async () => {
    const { registry, event, queues } = studyMetrics('retail');
    const cost = { trainS: 7200, measureS: 0, examples: 1, flops: 0, peakRssBytes: 0 };
    const header = { schema: 1, seq: 0, tMs: 0 } as const;
    event({ ...header, type: 'phase', id: 'search', action: 'started' });
    event({ ...header, type: 'outcome', id: 't1', attempt: 1, outcome: { status: 'ok', metrics: {}, cost } });
    queues(() => [{ queue: 'train.built-in', waiting: 3 }]);
    expect(samples(await registry.metrics())).toMatchObject({
      'ridgepoint_outcomes_total{status="ok",study="retail"}': 1,
      'ridgepoint_device_hours{phase="search",study="retail"}': 2,
      'ridgepoint_jobs_waiting{queue="train.built-in",study="retail"}': 3,
    });
  });
});

describe.skipIf(!hasRedis)('a worker that is watched', () => {
  const fleet = new FleetFixture();

  it('counts its jobs, and logs each with its study', async () => {
    const { registry, hear: count } = workerMetrics();
    const lines: Record<string, unknown>[] = [];
    const log = structuredLog('w1', (line) => void lines.push(JSON.parse(line) as Record<string, unknown>));
    const hear = (event: WorkerEvent): void => {
      count(event);
      log.hear(event);
    };
    fleet.worker([service(fullWhenBad)], { hear });
    const client = await fleet.client();
    await client.ask(jobId('retail-0a1b', 't1', 1), {}, { signal: never });
    await expect(client.ask(jobId('retail-0a1b', 't2', 1), { bad: true }, { signal: never })).rejects.toThrow('full');
    expect(samples(await registry.metrics())).toMatchObject({
      'ridgepoint_jobs_total{queue="train.built-in",state="completed"}': 1,
      'ridgepoint_jobs_total{queue="train.built-in",state="failed"}': 1,
      'ridgepoint_jobs_running{queue="train.built-in"}': 0,
      'ridgepoint_job_seconds_count{queue="train.built-in"}': 2,
      'ridgepoint_job_wait_seconds_count{queue="train.built-in"}': 2,
      ridgepoint_redis_up: 1,
    });
    const about = { worker: 'w1', study: 'retail-0a1b', queue: 'train.built-in' };
    expect(lines).toContainEqual(expect.objectContaining({ ...about, job: 'retail-0a1b.t1.1', msg: 'job begun' }));
    expect(lines).toContainEqual(
      expect.objectContaining({ ...about, msg: 'job failed', level: 50, code: 'full', reason: 'the disk is full' }),
    );
  });

  it('is asked by a study that logs the same jobs, and what it journals', async () => {
    const lines: Record<string, unknown>[] = [];
    const log = studyLog('retail', (line) => void lines.push(JSON.parse(line) as Record<string, unknown>));
    fleet.worker([service(fullWhenBad)]);
    const redis = connect(fleet.place, log.say);
    const client = await JobClient.open('train.built-in', { redis, place: fleet.place, hear: log.jobs });
    fleet.closing(async () => {
      await client.close();
      leave(redis);
    });
    await client.ask(jobId('retail-0a1b', 't1', 1), {}, { signal: never });
    await expect(client.ask(jobId('retail-0a1b', 't2', 1), { bad: true }, { signal: never })).rejects.toThrow('full');
    expect(lines).toMatchObject([
      { ...job('t1'), msg: 'job asked' },
      { ...job('t1'), msg: 'job answered' },
      { ...job('t2'), msg: 'job asked' },
      { ...job('t2'), msg: 'job failed', level: 50, code: 'full', reason: 'the disk is full' },
    ]);
    const outcome = { status: 'failed', code: 'full', retry: true, detail: 'the disk is full' } as const;
    log.event({ schema: 1, seq: 7, tMs: 0, type: 'outcome', id: 't2', attempt: 1, outcome });
    expect(lines.at(-1)).toMatchObject({ study: 'retail', seq: 7, trial: 't2', attempt: 1, code: 'full', level: 50 });
  });

  it('counts how often Redis came back', async () => {
    const { registry, hear } = workerMetrics();
    const worker = fleet.worker([service(() => Promise.resolve({}))], { hear });
    await expect.poll(() => worker.isReady).toBe(true);
    await fleet.redis.kill();
    await expect.poll(() => worker.isReady, { timeout: 10_000 }).toBe(false);
    await fleet.redis.up();
    await expect.poll(() => worker.isReady, { timeout: 30_000 }).toBe(true);
    await expect.poll(async () => samples(await registry.metrics())['ridgepoint_redis_reconnects_total']).toBe(1);
  });

  it('tells no password, whatever it says', async () => {
    const cwd = fileFolder();
    const secret = 'c0rrect-h0rse';
    writeFileSync(join(cwd, 'secret'), `${secret}\n`);
    const admin = new Redis(redisPlace(fleet.redis.url, {}).options);
    await admin.call('ACL', 'SETUSER', 'fleet', 'reset', 'on', `>${secret}`, '~*', '&*', '+@all');
    const variables = { RIDGEPOINT_REDIS_PASSWORD_FILE: join(cwd, 'secret') };
    Object.assign(process.env, variables);
    try {
      const url = fleet.redis.url.replace('//', '//fleet@');
      let isStopped = false;
      let refused: Promise<unknown> | undefined;
      const stop = (child: ChildProcess): void => {
        if (!isStopped) child.kill('SIGTERM');
        isStopped = true;
      };
      const options = ['--slots', '1', '--log', 'json', '--metrics-port', '0'];
      const worker = startRidgepoint(['worker', '--redis', url, ...options], cwd, (stderr, child) => {
        if (stderr.includes('serves train.built-in')) {
          // Then it is refused, which it says, too.
          refused ??= Promise.all([
            admin.call('ACL', 'SETUSER', 'fleet', 'resetpass', '>other'),
            admin.call('CLIENT', 'KILL', 'USER', 'fleet'),
          ]);
        }
        // A second signal would end it at once.
        if (/cannot be reached|is gone/.test(stderr)) stop(child);
      });
      const { code, stdout, stderr } = await worker.ended;
      await refused;
      expect(code, stderr).toBe(0);
      expect(stdout + stderr).not.toContain(secret);
      for (const line of stderr.trim().split('\n')) expect(() => void JSON.parse(line), line).not.toThrow();
    } finally {
      delete process.env['RIDGEPOINT_REDIS_PASSWORD_FILE'];
      admin.disconnect();
    }
  });
});
