import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { digestBytes, digestJson } from '../core/digest.ts';
import { fingerprint } from './fingerprint.ts';
import type { Meter, MeterRequest } from './isolate.ts';
import { type Fingerprint, type Latency, latencySchema, type LatencySetting } from './latency.ts';
import { modelBytes } from './model-file.ts';
import type { Protocol } from './protocol.ts';

/** All a measured latency depends on. */
export interface LatencyKey {
  /** Digest of the ONNX file's bytes. */
  readonly model: string;
  readonly setting: LatencySetting;
  readonly protocol: Protocol;
  readonly precision?: Latency['precision'];
  readonly fingerprint: Fingerprint;
}

/** Latencies measured before. */
export interface LatencyCache {
  get(key: LatencyKey): Latency | undefined;
  put(key: LatencyKey, latency: Latency): Promise<void>;
}

const lineSchema = z.strictObject({ schema: z.literal(1), key: z.string(), latency: latencySchema });

/**
 * A cache in a file of JSON lines, or in memory without one; the latest line of a key counts.
 * Lines that cannot be read, such as the torn last one of a killed process, are passed over: losing
 * one costs a measurement, nothing more.
 */
export async function openLatencyCache(path?: string): Promise<LatencyCache> {
  const text = path ? await readFile(path, 'utf8').catch(missing) : '';
  const known = new Map(text.split('\n').flatMap(parseLine));
  if (path) await mkdir(dirname(path), { recursive: true });
  let torn = text !== '' && !text.endsWith('\n');
  return {
    get: (key) => known.get(digestJson(key)),
    async put(key, latency) {
      const digest = digestJson(key);
      known.set(digest, latency);
      if (!path) return;
      const line = `${JSON.stringify({ schema: 1, key: digest, latency } satisfies z.infer<typeof lineSchema>)}\n`;
      const start = torn ? '\n' : '';
      torn = false;
      await appendFile(path, start + line);
    },
  };
}

function missing(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return '';
  throw error;
}

function parseLine(line: string): [string, Latency][] {
  try {
    const { key, latency } = lineSchema.parse(JSON.parse(line));
    return [[key, latency]];
  } catch {
    return [];
  }
}

/** A meter that measures what the cache has not. Unstable latencies are not kept: asked again, they are measured again. */
export function cachedMeter(meter: Meter, cache: LatencyCache): Meter {
  return {
    async measure(request, call) {
      const key = await keyOf(request);
      const known = cache.get(key);
      if (known) return known;
      const latency = await meter.measure(request, call);
      if (latency.stable) await cache.put(key, latency);
      return latency;
    },
    close: () => meter.close(),
  };
}

async function keyOf({ model, setting, protocol, precision }: MeterRequest): Promise<LatencyKey> {
  const digest = digestBytes(await modelBytes(model));
  return { model: digest, setting, protocol, precision, fingerprint: fingerprint(setting.accelerator) };
}
