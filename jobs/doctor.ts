import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Queue, QueueEvents, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { median } from '../core/quantile.ts';
import type { Diagnosis } from '../study/doctor.ts';
import { cancelChannel } from './client.ts';
import { connectNow, type RedisPlace } from './connection.ts';

/** Redis that BullMQ needs. */
const leastVersion = [6, 2] as const;
const pings = 20;
/** A round trip over Redis that is slower makes short evaluations wait. */
const slowMs = 20;
/** Deadlines are compared across hosts. */
const clockToleranceMs = 2000;
const roundTripMs = 5000;

/** What a fleet needs of a Redis, found out by using it: a row each. @param place where it is. */
export async function diagnoseRedis(place: RedisPlace): Promise<readonly Diagnosis[]> {
  const name = 'Redis';
  let redis: Redis;
  try {
    redis = await connectNow(place);
  } catch (error) {
    const detail = (error as Error).message;
    const fix = /NOAUTH|WRONGPASS/.test(detail)
      ? 'set RIDGEPOINT_REDIS_PASSWORD_FILE, and the user in the URL'
      : /certificate|self.signed/i.test(detail)
        ? 'name the certificate authority in RIDGEPOINT_REDIS_CA'
        : 'start it, or correct the URL';
    return [{ name, ok: false, required: true, detail, fix }];
  }
  try {
    const info = await redis.info().catch((error: Error) => error);
    return [
      await latency(redis, place),
      ...(info instanceof Error ? [unreadable(info)] : [version(info), eviction(info), await persistence(redis, info)]),
      transport(place),
      await clock(redis),
      await permissions(redis, place),
    ];
  } finally {
    redis.disconnect();
  }
}

async function latency(redis: Redis, { name: where }: RedisPlace): Promise<Diagnosis> {
  const timesMs: number[] = [];
  for (let count = 0; count < pings; count++) {
    const startMs = performance.now();
    await redis.ping();
    timesMs.push(performance.now() - startMs);
  }
  const ms = median(timesMs);
  const detail = `${where} answers in ${ms.toFixed(2)} ms`;
  const base = { name: 'Redis', required: true, detail };
  return ms < slowMs ? { ...base, ok: true } : { ...base, ok: false, required: false, fix: 'run it nearer' };
}

function unreadable({ message }: Error): Diagnosis {
  return { name: 'Redis settings', ok: false, required: false, detail: message, fix: 'allow the user INFO (+info)' };
}

/** A field of `INFO`. */
function field(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
}

function version(info: string): Diagnosis {
  const text = field(info, 'redis_version') ?? 'unknown';
  const [major = 0, minor = 0] = text.split('.').map(Number);
  const ok = major > leastVersion[0] || (major === leastVersion[0] && minor >= leastVersion[1]);
  const least = leastVersion.join('.');
  return {
    name: 'Redis version',
    ok,
    required: true,
    ...(ok
      ? { detail: text }
      : { detail: `expected ${least} or newer, got ${text}`, fix: `install Redis ${least} or newer` }),
  };
}

function eviction(info: string): Diagnosis {
  const policy = field(info, 'maxmemory_policy') ?? 'unknown';
  const ok = policy === 'noeviction';
  return {
    name: 'Redis memory policy',
    ok,
    required: true,
    detail: ok ? policy : `expected maxmemory-policy noeviction, or queues are thrown away, got ${policy}`,
    ...(ok ? {} : { fix: 'redis-cli config set maxmemory-policy noeviction, and in redis.conf' }),
  };
}

async function persistence(redis: Redis, info: string): Promise<Diagnosis> {
  const base = { name: 'Redis persistence', required: false };
  const fix = 'redis-cli config set appendonly yes, appendfsync everysec, and in redis.conf';
  if (field(info, 'aof_enabled') !== '1')
    return { ...base, ok: false, detail: 'expected an append-only file: without it a restart forgets the queues', fix };
  if (field(info, 'aof_last_write_status') === 'err')
    return { ...base, ok: false, detail: 'it cannot write its append-only file', fix: 'free its disk' };
  // Managed services refuse CONFIG.
  const answer = (await redis.config('GET', 'appendfsync').catch(() => [])) as string[];
  const how = answer[1];
  if (how === 'no') return { ...base, ok: false, detail: 'expected appendfsync everysec or always, got no', fix };
  return { ...base, ok: true, detail: `append-only file${how === undefined ? '' : `, fsync ${how}`}` };
}

function transport({ options: { tls, host } }: RedisPlace): Diagnosis {
  const base = { name: 'Redis transport', required: false };
  if (tls) return { ...base, ok: true, detail: 'TLS' };
  if (/^(127\.|::1$|localhost$)/.test(host ?? '')) return { ...base, ok: true, detail: 'this host' };
  return { ...base, ok: false, detail: 'everything travels in the clear', fix: 'rediss:// and RIDGEPOINT_REDIS_CA' };
}

async function clock(redis: Redis): Promise<Diagnosis> {
  const base = { name: 'Redis clock', required: false };
  try {
    const [seconds, microseconds] = await redis.time();
    const offMs = Math.abs(Number(seconds) * 1000 + Number(microseconds) / 1000 - Date.now());
    const detail = `${(offMs / 1000).toFixed(1)} s from this host's`;
    return offMs < clockToleranceMs
      ? { ...base, ok: true, detail }
      : { ...base, ok: false, detail, fix: 'synchronise both hosts' };
  } catch (error) {
    return { ...base, ok: false, detail: (error as Error).message, fix: 'allow the user TIME (+time)' };
  }
}

/** Adds, does and removes a job, and sends a message, as the fleet does. */
async function permissions(redis: Redis, place: RedisPlace): Promise<Diagnosis> {
  const base = { name: 'Redis permissions', required: true };
  const giveUp = new AbortController();
  try {
    await Promise.race([
      Promise.all([roundTrip(redis, place, giveUp.signal), message(redis, place)]),
      delay(roundTripMs, undefined, { signal: giveUp.signal, ref: false }).then(() => {
        throw new Error(`a job was not done within ${roundTripMs / 1000} s`);
      }),
    ]);
    return { ...base, ok: true, detail: `a job and a message went round under ${place.prefix}` };
  } catch (error) {
    const fix = 'give the user the permissions of docs/fleet.md, "Access"';
    return { ...base, ok: false, detail: (error as Error).message, fix };
  } finally {
    giveUp.abort();
  }
}

async function roundTrip(redis: Redis, { options, prefix }: RedisPlace, signal: AbortSignal): Promise<void> {
  const name = `doctor.${randomUUID()}`;
  const quick = { connection: { ...options, maxRetriesPerRequest: null }, prefix };
  const queue = new Queue(name, { connection: redis, prefix });
  // From the queue's first event on: it may be done before events are listened for.
  const events = new QueueEvents(name, { ...quick, lastEventId: '0-0' });
  const worker = new Worker(name, () => Promise.resolve({ done: true }), quick);
  const refused = new Promise<never>((_, reject) => {
    queue.on('error', reject);
    events.on('error', reject);
    worker.on('error', reject);
  });
  refused.catch(() => {});
  try {
    const completed = once(events, 'completed', { signal });
    completed.catch(() => {});
    await Promise.race([events.waitUntilReady(), refused]);
    await queue.add(name, {}, { jobId: 'doctor.1' });
    await Promise.race([completed, refused]);
  } finally {
    await Promise.allSettled([worker.close(true), events.close()]);
    await queue.obliterate({ force: true }).catch(() => {});
    await queue.close();
  }
}

async function message(redis: Redis, place: RedisPlace): Promise<void> {
  const listening = await connectNow(place);
  try {
    const channel = `${cancelChannel(place)}:doctor`;
    const heard = once(listening, 'message');
    heard.catch(() => {});
    await listening.subscribe(channel);
    await redis.publish(channel, 'doctor');
    await heard;
  } finally {
    listening.disconnect();
  }
}
