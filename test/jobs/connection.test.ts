import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { redisPlace, untilInterrupted } from '../../jobs/connection.ts';
import { InterruptedError } from '../../core/errors.ts';
import { fileFolder } from '../cases/file-folder.ts';

describe('where Redis is', () => {
  it('is read from a URL, the password from the environment or a file', () => {
    expect(redisPlace('redis://localhost', {})).toMatchObject({
      name: 'localhost:6379/0',
      prefix: '{ridgepoint}',
      options: { host: 'localhost', port: 6379, db: 0, maxRetriesPerRequest: null },
    });
    const file = join(fileFolder(), 'secret');
    writeFileSync(file, 'hunter2\n');
    const place = redisPlace('rediss://worker@redis.internal:6380/2?namespace=team-a', {
      RIDGEPOINT_REDIS_PASSWORD_FILE: file,
      RIDGEPOINT_REDIS_PASSWORD: 'other',
    });
    expect(place).toMatchObject({
      prefix: '{ridgepoint-team-a}',
      options: { host: 'redis.internal', port: 6380, db: 2, username: 'worker', password: 'hunter2' },
    });
    expect(place.options.tls).toMatchObject({ servername: 'redis.internal' });
    expect(place.name).toBe('redis.internal:6380/2?namespace=team-a');
    expect(redisPlace('redis://[::1]:7000', { RIDGEPOINT_REDIS_PASSWORD: 'x' }).options).toMatchObject({
      host: '::1',
      password: 'x',
    });
  });

  it.each([
    ['redis://:hunter2@localhost', /no password in the URL/],
    ['redis://user:hunter2@local host', /no password in the URL/],
    ['redis://:hun/ter2@localhost', /no password in the URL/],
    ['redis://user:ter2@/hun@localhost', /no password in the URL/],
    ['redis://user@x:ter2@localhost', /no password in the URL/],
    ['redis:/user:ter2@localhost', /no password in the URL/],
    ['redis://user?ter2#@localhost', /no password in the URL/],
    ['redis://ter2@local host', /got "redis:\/\/…@local host"/],
    ['http://localhost', /got http:/],
    ['localhost:6379', /expected redis:\/\//],
    ['redis://localhost/zero', /the database "zero"/],
    ['redis://localhost?db=1', /got also db/],
    ['redis://localhost?namespace=a:b', /a namespace of letters/],
  ])('is refused as %s, without repeating a password', (url, message) => {
    expect(() => redisPlace(url, {})).toThrow(message);
    expect(() => redisPlace(url, {})).not.toThrow(/ter2/);
  });

  it('is waited for until somebody interrupts', async () => {
    const place = redisPlace('redis://localhost', {});
    const controller = new AbortController();
    const { signal } = controller;
    const never = new Promise(() => {});
    expect(await untilInterrupted(Promise.resolve(3), place, signal)).toBe(3);
    await expect(untilInterrupted(Promise.reject(new Error('refused')), place, signal)).rejects.toThrow('refused');
    const waiting = untilInterrupted(never, place, signal);
    controller.abort();
    await expect(waiting).rejects.toThrow(InterruptedError);
    await expect(untilInterrupted(never, place, signal)).rejects.toThrow('waiting for Redis at localhost:6379/0');
  });

  it('waits between tries to reconnect, longer and longer, and never gives up', () => {
    const { retryStrategy } = redisPlace('redis://localhost', {}).options;
    const waits = [1, 2, 3, 5, 10, 100, 1000].map((tries) => retryStrategy?.(tries));
    expect(waits).toEqual([100, 200, 400, 1600, 5000, 5000, 5000]);
  });
});
