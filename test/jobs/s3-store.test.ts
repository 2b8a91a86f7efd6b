import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestBytes } from '../../core/digest.ts';
import { openStore } from '../../jobs/store-place.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { ObjectServer } from './object-server.ts';

describe('a store in S3', () => {
  let server: ObjectServer;
  let env: NodeJS.ProcessEnv;
  beforeEach(async () => {
    server = new ObjectServer();
    env = await server.start();
  });
  afterEach(() => server.stop());

  const open = (place = 's3://models/team/a', changes: NodeJS.ProcessEnv = {}) =>
    openStore(place, join(fileFolder(), 'cache'), { ...env, ...changes });
  const content = Buffer.from('weights'.repeat(40_000));
  const digest = digestBytes(content);
  const object = `/models/team/a/${digest.replace(':', '-')}`;

  it('gives one host what another has put, under its digest', async () => {
    const [there, here] = [open(), open()];
    expect(await there.here.put(content)).toBe(digest);
    await there.publish(digest);
    expect([...server.objects.keys()]).toEqual([object]);
    await here.fetch(digest);
    expect(Buffer.from(await here.here.read(digest))).toEqual(content);
    // What is there already is not sent again, nor asked for.
    await there.publish(digest);
    await here.fetch(digest);
    expect(server.asked).toEqual([`HEAD ${object}`, `PUT ${object}`, `GET ${object}`, `HEAD ${object}`]);
  });

  it('refuses what is not what its digest says, and what nobody put', async () => {
    const store = open();
    server.objects.set(object, Buffer.from('something else'));
    await expect(store.fetch(digest)).rejects.toThrow(`expected ${digest}, got ${digestBytes('something else')}`);
    expect(store.here.has(digest)).toBe(false);
    const other = digestBytes('never put');
    await expect(store.fetch(other)).rejects.toThrow(`no artefact ${other}`);
  });

  it('asks for nothing but digests, in its own bucket and prefix', async () => {
    const store = open();
    for (const name of ['../secret', 'sha256:../../x', 'sha256:abc', ''])
      await expect(store.publish(name), name).rejects.toThrow(/expected a digest/);
    for (const name of ['../secret', 'sha256:../../x']) await expect(store.fetch(name), name).rejects.toThrow(/digest/);
    expect(server.asked).toEqual([]);
    for (const place of ['s3://models/../x', 's3://UPPER/x', 's3://', 's3://m/a?b'])
      expect(() => open(place), place).toThrow(/--store: expected s3:\/\/bucket\/prefix/);
    expect(() => open('ftp://x')).toThrow(/expected a folder or s3:/);
    expect(existsSync('ftp:')).toBe(false);
  });

  it('tries again while a server is busy, and says what it was refused for', async () => {
    const store = open();
    await store.here.put(content);
    server.busy = 2;
    await store.publish(digest);
    expect(server.objects.has(object)).toBe(true);
    const wrong = open(undefined, { AWS_SECRET_ACCESS_KEY: 'wrong' });
    await expect(wrong.fetch(digest)).rejects.toThrow(/expected 200, got 403 \(The signature does not match\)/);
    expect(() => open(undefined, { AWS_ACCESS_KEY_ID: '' })).toThrow(/expected AWS_ACCESS_KEY_ID/);
  });
});
