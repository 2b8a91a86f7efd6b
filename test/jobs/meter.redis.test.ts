import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { InfeasibleModelError } from '../../core/errors.ts';
import type { JobClient } from '../../jobs/client.ts';
import { fleetMeter } from '../../jobs/meter.ts';
import { readOffer } from '../../jobs/offer.ts';
import { servicesOf } from '../../jobs/services.ts';
import { folderStore } from '../../jobs/store.ts';
import { candidateModel } from '../../latency/model-file.ts';
import type { LatencyMeter } from '../../study/context.ts';
import { openLatencyMeter } from '../../study/evaluation/meter.ts';
import { resolveStudy } from '../../study/resolve-study.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { tableSpec as spec } from './chaos/table-evaluator.ts';
import { FleetFixture, service, storeIn } from './fleet.ts';
import { hasRedis } from './redis-server.ts';

const { signal } = new AbortController();
const targets = { near: { device: 'simulated' }, far: { device: 'edge-board', batch: 4 } };
const config = resolveStudy({ study: 'x', targets }, 'x.yaml', { elsewhere: true });
const near = config.targets['near'] ?? { device: '', batch: 1, threads: 1, precision: 'fp32' };
const far = config.targets['far'] ?? near;

describe.skipIf(!hasRedis)('a meter over a fleet', () => {
  const fleet = new FleetFixture();

  /** Latencies in the journal. */
  let measured = 0;

  const meterIn = (
    folder: string,
    clientOf = (device: string): Promise<JobClient> => fleet.client(`measure.${device}`),
  ): LatencyMeter => {
    const here = openLatencyMeter(config, signal);
    const meter = fleetMeter({
      here,
      study: 'study-1',
      store: folderStore(storeIn(folder)),
      measured: () => measured,
      protocol: 'quick',
      signal,
      hasHere: (device) => device === 'simulated',
      clientOf,
    });
    fleet.closing(() => here.close());
    return meter;
  };

  it('measures here what this host has, and elsewhere what it lacks, as the worker there does', async () => {
    const folder = fileFolder();
    const offer = { ...readOffer(undefined, { devices: ['simulated'], slots: 0, store: storeIn(folder) }) };
    fleet.worker(servicesOf({ ...offer, devices: { 'edge-board': 'simulated' } }, 'worker'));
    const meter = meterIn(folder);
    const alone = openLatencyMeter(config, signal);
    const [here, there] = [await meter.measureSpec(spec, near), await meter.measureSpec(spec, far)];
    expect(here).toEqual(await alone.measureSpec(spec, near));
    expect(there).toEqual(await alone.measureSpec(spec, { ...far, device: 'simulated' }));
    const path = join(folder, 'model.onnx');
    writeFileSync(path, candidateModel(spec, far.batch));
    expect(await meter.measureFile(path, far, spec)).toEqual(
      await alone.measureFile(path, { ...far, device: 'simulated' }, spec),
    );
    await alone.close();
  });

  it('keeps a measurement in Redis until the journal has it, and measures anew when asked anew', async () => {
    const folder = fileFolder();
    const { place } = fleet;
    const redis = new Redis(place.options);
    fleet.closing(() => Promise.resolve(redis.disconnect()));
    const offer = readOffer(undefined, { devices: ['simulated'], slots: 0, store: storeIn(folder) });
    fleet.worker(servicesOf({ ...offer, devices: { 'edge-board': 'simulated' } }, 'worker'));
    const meter = meterIn(folder);
    const kept = (): Promise<string[]> => redis.keys(`${place.prefix}:measure.edge-board:study-1.m-*`);
    const first = await meter.measureSpec(spec, far);
    expect(await kept()).toHaveLength(1);
    // Killed before the journal had it.
    expect(await meterIn(folder).measureSpec(spec, far)).toEqual(first);
    expect(await kept()).toHaveLength(1);
    // And killed when it had, before Redis heard of it: a second measurement is one of its own.
    measured++;
    const later = meterIn(folder);
    const second = await later.measureSpec(spec, far);
    expect(await kept()).toHaveLength(2);
    meter.journalled?.(first);
    later.journalled?.(second);
    while ((await kept()).length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  });

  it('measures again what failed, since that may have been repaired', async () => {
    const folder = fileFolder();
    const edge = { queue: 'measure.edge-board', offers: { device: 'edge-board' } };
    const broken = fleet.worker([{ ...service(() => Promise.reject(new Error('no driver'))), ...edge }]);
    const meter = meterIn(folder);
    await expect(meter.measureSpec(spec, far)).rejects.toThrow('no driver');
    await expect(meter.measureSpec(spec, far)).rejects.toThrow('no driver');
    broken.stop('finish');
    await broken.ended;
    const offer = readOffer(undefined, { devices: ['simulated'], slots: 0, store: storeIn(folder) });
    fleet.worker(servicesOf({ ...offer, devices: { 'edge-board': 'simulated' } }, 'worker'));
    expect(await meterIn(folder).measureSpec(spec, far)).toMatchObject({ batch: 4 });
  });

  it('opens the queue of a device again where it could not be opened before', async () => {
    const folder = fileFolder();
    const offer = readOffer(undefined, { devices: ['simulated'], slots: 0, store: storeIn(folder) });
    fleet.worker(servicesOf({ ...offer, devices: { 'edge-board': 'simulated' } }, 'worker'));
    let tries = 0;
    const meter = meterIn(folder, (device) =>
      ++tries === 1 ? Promise.reject(new Error('gone')) : fleet.client(`measure.${device}`),
    );
    await expect(meter.measureSpec(spec, far)).rejects.toThrow('gone');
    expect(await meter.measureSpec(spec, far)).toMatchObject({ batch: 4 });
    await meter.measureSpec(spec, far);
    expect(tries).toBe(2);
  });

  it('carries that a device cannot run a network, with the limit it met', async () => {
    const answer = { status: 'infeasible', reason: 'memory', message: 'too large', limit: 10, observed: 20 };
    const refusing = service(() => Promise.resolve({ schema: 1, worker: 'w', answer }));
    fleet.worker([{ ...refusing, queue: 'measure.edge-board', offers: { device: 'edge-board' } }]);
    const failure = await meterIn(fileFolder())
      .measureSpec(spec, far)
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(InfeasibleModelError);
    expect(failure).toMatchObject({ reason: 'memory', message: 'too large', limit: 10, observed: 20 });
  });
});
