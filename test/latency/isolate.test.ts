import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { convolutionKernel } from '../../accelerators/probe.ts';
import { ConfigError, InterruptedError, InvalidFileError } from '../../core/errors.ts';
import { fingerprint } from '../../latency/fingerprint.ts';
import { type Meter, openMeter } from '../../latency/isolate.ts';
import { latencySchema } from '../../latency/latency.ts';
import { protocols } from '../../latency/protocol.ts';

// A real model on the real runtime, in few runs: what is asserted holds on a machine of any noise.
const protocol = {
  ...protocols.quick,
  block: { ...protocols.quick.block, maxSamples: 5 },
  sessions: { min: 3, max: 3, blocks: 1, gapMs: 0 },
};
const setting = { accelerator: 'cpu', batch: 1, threads: 1 };
const { model } = convolutionKernel(8, 16);

describe('a meter', () => {
  let directory: string;
  let meter: Meter;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ridgepoint-test-meter-'));
    meter = openMeter({ lockDirectory: directory });
  });
  afterAll(async () => {
    await meter.close();
    await rm(directory, { recursive: true, force: true });
  });

  it('measures a model on this machine, with progress', async () => {
    const sessions: number[] = [];
    const latency = await meter.measure(
      { model, setting, protocol },
      { onProgress: ({ session }) => sessions.push(session) },
    );
    expect(latencySchema.parse(latency)).toEqual(latency);
    expect(latency).toMatchObject({ source: 'measured', sessions: 3, samples: 15, p99Ms: null });
    expect(latency.fingerprint).toEqual(fingerprint('cpu'));
    expect(latency.p50Ms).toBeGreaterThan(0.001);
    expect(latency.p90Ms).toBeGreaterThanOrEqual(latency.p50Ms);
    // Rejected blocks, on a busy machine, are progress too.
    expect([...new Set(sessions)].filter((session) => session > 0)).toEqual([1, 2, 3]);
  });

  it('serves overlapping calls one after another', async () => {
    const measured = await Promise.all([1, 2].map(() => meter.measure({ model, setting, protocol })));
    expect(measured.map(({ sessions }) => sessions)).toEqual([3, 3]);
  });

  it.each([
    ['a broken file', { model: new Uint8Array([1, 2, 3]), setting }, InvalidFileError, /protobuf/],
    [
      'a missing file',
      { model: join(tmpdir(), 'no-such-model.onnx'), setting },
      ConfigError,
      /no-such-model\.onnx.*ENOENT/,
    ],
    ['an unknown accelerator', { model, setting: { ...setting, accelerator: 'abacus' } }, ConfigError, /cpu.*'abacus'/],
    ['a batch the file does not take', { model, setting: { ...setting, batch: 3 } }, ConfigError, /batch 3/],
  ])('refuses %s by name and goes on', async (_, request, kind, message) => {
    const failure = await meter.measure({ ...request, protocol }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(kind);
    expect((failure as Error).message).toMatch(message);
    await expect(meter.measure({ model, setting, protocol })).resolves.toMatchObject({ sessions: 3 });
  });

  it('stops when aborted, and measures again afterwards', async () => {
    const controller = new AbortController();
    const endless = {
      ...protocol,
      sessions: { ...protocol.sessions, max: 1e6 },
      interval: { level: 0.95, tolerance: 1e-12 },
      capMs: 1e9,
    };
    const call = meter.measure(
      { model, setting, protocol: endless },
      { signal: controller.signal, onProgress: () => controller.abort() },
    );
    await expect(call).rejects.toBeInstanceOf(InterruptedError);
    await expect(meter.measure({ model, setting, protocol })).resolves.toMatchObject({ sessions: 3 });
  });
});
