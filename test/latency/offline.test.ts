import { expect, it } from 'vitest';
import { measureOffline } from '../../latency/offline.ts';
import { offlineSchema } from '../../latency/scenario.ts';
import { model, protocol, scriptedDevice } from './scripted-device.ts';

const setting = { accelerator: 'fake', batch: 8, threads: 1 };

it('counts examples over time, slow runs included', async () => {
  // Nine runs of 2 ms and one of 22: a mean of 4 ms, a median of 2.
  const block = { ms: 1e6, minSamples: 3, maxSamples: 20, discard: 0 };
  const device = await scriptedDevice((run) => (run % 10 === 9 ? 22 : 2));
  const warmup = { minRuns: 10, window: 2, tolerance: 0.99, maxMs: 1 };
  const offline = await measureOffline({ model, setting, protocol: { ...protocol, block, warmup } }, device);
  expect(offlineSchema.parse(offline)).toEqual(offline);
  expect(offline.examplesPerS).toBeGreaterThan(1900);
  expect(offline.examplesPerS).toBeLessThan(2100);
  expect(offline.latency).toMatchObject({ batch: 8, stable: true });
  expect(offline.latency.p50Ms).toBeCloseTo(2, 9);
});

it('has an interval between sessions, and is unstable when it stays wide', async () => {
  let session = 0;
  const device = await scriptedDevice(() => (session % 2 ? 2 : 3));
  const { open } = device.accelerator;
  const accelerator = { ...device.accelerator, open: (...args: Parameters<typeof open>) => (session++, open(...args)) };
  const offline = await measureOffline({ model, setting, protocol }, { ...device, accelerator });
  expect(offline.stable).toBe(false);
  expect(offline.intervalPerS.lo).toBeLessThan(offline.examplesPerS);
  expect(offline.intervalPerS.hi).toBeGreaterThan(offline.examplesPerS);
});
