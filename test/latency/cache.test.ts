import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cachedMeter, type LatencyKey, openLatencyCache } from '../../latency/cache.ts';
import type { Meter, MeterRequest } from '../../latency/isolate.ts';
import type { Latency } from '../../latency/latency.ts';
import { predictedLatency } from '../../latency/predicted.ts';
import { protocols } from '../../latency/protocol.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ridgepoint-test-cache-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const latency = (macs: number, stable = true): Latency => ({
  ...predictedLatency({ macs, activationBytes: 1, weightBytes: 1, kernels: 1 }, { batch: 1, threads: 1 }),
  stable,
});
const key = (changes: Partial<LatencyKey> = {}): LatencyKey => ({
  model: 'sha256:0',
  setting: { accelerator: 'cpu', batch: 1, threads: 1 },
  protocol: protocols.quick,
  fingerprint: { host: 'h', os: 'o', cpu: 'c', cores: 1, runtime: 'r', provider: 'cpu', node: 'n' },
  ...changes,
});

describe('a latency cache', () => {
  it('keeps what was put over processes, the latest of a key counting', async () => {
    const path = join(folder, 'new', 'latency.jsonl');
    const cache = await openLatencyCache(path);
    await cache.put(key(), latency(1e6));
    await cache.put(key(), latency(2e6));
    expect((await openLatencyCache(path)).get(key())).toEqual(latency(2e6));
  });

  it.each([
    ['model', { model: 'sha256:1' }],
    ['batch', { setting: { accelerator: 'cpu', batch: 2, threads: 1 } }],
    ['threads', { setting: { accelerator: 'cpu', batch: 1, threads: 2 } }],
    ['protocol', { protocol: protocols.thorough }],
    ['host', { fingerprint: { ...key().fingerprint, host: 'other' } }],
  ])('takes another %s for another latency', async (_, changes) => {
    const cache = await openLatencyCache();
    await cache.put(key(), latency(1e6));
    expect(cache.get(key())).toBeDefined();
    expect(cache.get(key(changes))).toBeUndefined();
  });

  it('passes over a torn last line, and writes the next line whole', async () => {
    const path = join(folder, 'latency.jsonl');
    const cache = await openLatencyCache(path);
    await cache.put(key(), latency(1e6));
    await appendFile(path, (await readFile(path, 'utf8')).slice(0, 40));
    const reopened = await openLatencyCache(path);
    expect(reopened.get(key())).toEqual(latency(1e6));
    await reopened.put(key({ model: 'sha256:1' }), latency(3e6));
    expect((await openLatencyCache(path)).get(key({ model: 'sha256:1' }))).toEqual(latency(3e6));
  });
});

describe('a meter with a cache', () => {
  class CountingMeter implements Meter {
    calls = 0;
    readonly stable: boolean;
    constructor(stable: boolean) {
      this.stable = stable;
    }
    async measure(): Promise<Latency> {
      return latency(++this.calls, this.stable);
    }
    async close() {}
  }
  const request: MeterRequest = {
    model: new Uint8Array([1, 2]),
    setting: { accelerator: 'cpu', batch: 1, threads: 1 },
    protocol: protocols.quick,
  };

  it('measures an equal request once', async () => {
    const inner = new CountingMeter(true);
    const meter = cachedMeter(inner, await openLatencyCache());
    expect(await meter.measure(request)).toEqual(await meter.measure({ ...request, model: new Uint8Array([1, 2]) }));
    expect(inner.calls).toBe(1);
  });

  it('measures again what was unstable', async () => {
    const inner = new CountingMeter(false);
    const meter = cachedMeter(inner, await openLatencyCache());
    await meter.measure(request);
    await meter.measure(request);
    expect(inner.calls).toBe(2);
  });
});
