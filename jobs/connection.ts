import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { RedisOptions } from 'bullmq';
import { Redis } from 'ioredis';
import { ConfigError, EnvironmentError, InterruptedError } from '../core/errors.ts';

/** Where the queues are. Holds the password: print {@link RedisPlace.name}, never the rest. */
export interface RedisPlace {
  /** Host, port and database, for people. */
  readonly name: string;
  readonly options: RedisOptions;
  /** What every key begins with. In braces, so that a cluster keeps all of them on one node, as BullMQ needs. */
  readonly prefix: string;
}

/** Waits between tries to reconnect: doubling from 100 ms to 5 s. They never end; who works on both sides waits. */
function retryDelayMs(tries: number): number {
  return Math.min(5000, 50 * 2 ** Math.min(tries, 10));
}

/**
 * Reads where Redis is. The password comes from the environment, `RIDGEPOINT_REDIS_PASSWORD` or, better, the file that
 * `RIDGEPOINT_REDIS_PASSWORD_FILE` names: command lines are in everybody's process list.
 * @param url `redis://[user@]host[:port][/database][?namespace=name]`, or `rediss://` for TLS; `RIDGEPOINT_REDIS_CA`
 * names the file of a certificate authority of one's own.
 * @throws {ConfigError} naming what is wrong with it.
 */
export function redisPlace(url: string, env: NodeJS.ProcessEnv = process.env): RedisPlace {
  const expected = '--redis: expected redis://host:port/database or rediss://… for TLS';
  // Before it is parsed: with an unescaped "/" in it a password would be taken for a port or a database, and shown.
  if (/^\w*:\/*(?!\/).*[:/?#].*@/.test(url))
    throw new ConfigError(
      '--redis: expected no password in the URL, where process lists show it; set RIDGEPOINT_REDIS_PASSWORD_FILE or RIDGEPOINT_REDIS_PASSWORD',
    );
  if (!URL.canParse(url))
    throw new ConfigError(`${expected}, got ${JSON.stringify(url.replace(/^(\w*:\/*).*@/, '$1…@'))}`);
  const { protocol, hostname, port, username, pathname, searchParams } = new URL(url);
  if (protocol !== 'redis:' && protocol !== 'rediss:') throw new ConfigError(`${expected}, got ${protocol}//…`);
  const database = pathname.replace(/^\//, '') || '0';
  if (!/^\d+$/.test(database)) throw new ConfigError(`${expected}, got the database ${JSON.stringify(database)}`);
  const unknown = [...searchParams.keys()].filter((key) => key !== 'namespace');
  if (unknown.length > 0) throw new ConfigError(`--redis: expected ?namespace=… only, got also ${unknown.join(', ')}`);
  const namespace = searchParams.get('namespace') ?? '';
  if (!/^[\w-]*$/.test(namespace))
    throw new ConfigError(`--redis: expected a namespace of letters, digits, "_" and "-", got ${namespace}`);
  const host = hostname.replace(/^\[|\]$/g, '');
  const secret = passwordIn(env);
  return {
    name: `${hostname}:${port || 6379}/${database}${namespace && `?namespace=${namespace}`}`,
    prefix: `{ridgepoint${namespace && `-${namespace}`}}`,
    options: {
      host,
      port: Number(port || 6379),
      db: Number(database),
      ...(username ? { username: decodeURIComponent(username) } : {}),
      ...(secret === undefined ? {} : { password: secret }),
      ...(protocol === 'rediss:' ? { tls: tlsOptions(env, host) } : {}),
      // Commands wait until Redis is back, however long that takes.
      maxRetriesPerRequest: null,
      retryStrategy: retryDelayMs,
    },
  };
}

function passwordIn(env: NodeJS.ProcessEnv): string | undefined {
  const file = env['RIDGEPOINT_REDIS_PASSWORD_FILE'];
  return file ? readSecret(file, 'RIDGEPOINT_REDIS_PASSWORD_FILE').trimEnd() : env['RIDGEPOINT_REDIS_PASSWORD'];
}

function tlsOptions(env: NodeJS.ProcessEnv, servername: string): NonNullable<RedisOptions['tls']> {
  const file = env['RIDGEPOINT_REDIS_CA'];
  return { servername, ...(file ? { ca: readSecret(file, 'RIDGEPOINT_REDIS_CA') } : {}) };
}

function readSecret(path: string, variable: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new ConfigError(`${variable}: expected a file that can be read, got ${path} (${code})`, { cause });
  }
}

/**
 * A connection that reconnects for ever, telling once when Redis goes and once when it is back.
 * @param onState hears the same as a fact, and that Redis is there at first.
 */
export function connect(
  { options, name }: RedisPlace,
  say: (text: string) => void,
  onState: (up: boolean) => void = () => {},
): Redis {
  const redis = new Redis(options);
  let state: 'new' | 'up' | 'gone' = 'new';
  let reason = '';
  redis.on('error', (error) => {
    reason = error.message;
    if (state === 'new') {
      say(`Redis at ${name} cannot be reached (${reason || (error as NodeJS.ErrnoException).code}); waiting for it`);
      state = 'gone';
      onState(false);
    }
  });
  redis.on('close', () => {
    if (state !== 'up') return;
    say(`Redis at ${name} is gone; waiting for it`);
    state = 'gone';
    onState(false);
  });
  redis.on('ready', () => {
    if (state === 'gone') say(`Redis at ${name} is there again`);
    state = 'up';
    onState(true);
  });
  return redis;
}

/**
 * A connection for somebody who wants an answer now: it does not wait for a Redis that is not there.
 * @throws {EnvironmentError} saying why Redis cannot be used.
 */
export async function connectNow({ options, name }: RedisPlace): Promise<Redis> {
  const redis = new Redis({
    ...options,
    lazyConnect: true,
    connectTimeout: 5000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  let reason = '';
  redis.on('error', (error: NodeJS.ErrnoException) => (reason = error.message || (error.code ?? '')));
  try {
    await redis.connect();
    await redis.ping();
    return redis;
  } catch (cause) {
    redis.disconnect();
    throw new EnvironmentError(`expected Redis at ${name}, but ${reason || (cause as Error).message}`, {
      cause,
      retry: true,
    });
  }
}

/** What waits for Redis, which may not be there for hours. @throws {InterruptedError} at once when aborted. */
export async function untilInterrupted<Value>(
  waiting: Promise<Value>,
  { name }: RedisPlace,
  signal: AbortSignal,
): Promise<Value> {
  const settled = new AbortController();
  const aborted = signal.aborted ? Promise.resolve() : once(signal, 'abort', { signal: settled.signal });
  const interrupted = aborted.then(() => {
    throw new InterruptedError(`waiting for Redis at ${name}: interrupted`);
  });
  try {
    return await Promise.race([waiting, interrupted]);
  } finally {
    settled.abort();
  }
}

/** Closes a connection that {@link connect} made, without anybody being told that Redis is gone. */
export function leave(redis: Redis): void {
  redis.removeAllListeners('close');
  redis.disconnect();
}
