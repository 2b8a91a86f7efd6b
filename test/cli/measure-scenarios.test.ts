import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { convolutionKernel } from '../../accelerators/probe.ts';
import { latencySchema } from '../../latency/latency.ts';
import { offlineSchema, serverSchema } from '../../latency/scenario.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { ridgepoint } from './ridgepoint.ts';

// Real measurements of a tiny model: nothing is asserted that another machine's speed or noise could change.
const cwd = fileFolder();
beforeAll(() => {
  writeFileSync(join(cwd, 'm.onnx'), convolutionKernel(8, 16).model);
  const relu = encodeOnnx({
    name: 'relu',
    inputs: [{ name: 'x', dtype: 'float32', shape: ['batch', 64] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: ['batch', 64] }],
    nodes: [{ opType: 'Relu', name: 'relu', inputs: ['x'], outputs: ['y'] }],
    initializers: [],
  });
  writeFileSync(join(cwd, 'relu.onnx'), relu);
});

const measure = (...args: string[]) =>
  ridgepoint(['measure', ...args, ...(args[0] === '--verify' ? [] : ['--protocol', 'quick'])], cwd);
const json = async (...args: string[]) => {
  const { code, stdout, stderr } = await measure(...args, '--json');
  expect({ code, stderr: stderr.includes('error') }).toEqual({ code: 0, stderr: false });
  return JSON.parse(stdout) as Record<string, unknown>;
};

describe('a single stream', () => {
  it('has the interval of the percentile asked for, and says whose clock it is', async () => {
    const { schema, latencies } = (await json('m.onnx', '--percentile', 'p99')) as {
      schema: number;
      latencies: unknown[];
    };
    expect(schema).toBe(1);
    const latency = latencySchema.parse(latencies[0]);
    expect(latency).toMatchObject({ intervalMs: { percentile: 99 }, clock: 'host', includesIo: true });
    // 368 independent ones, and more for there are but a few sessions.
    expect(latency.samples).toBeGreaterThan(368);
    expect(latency.p99Ms).not.toBeNull();
  });

  it('is judged by a limit on its percentile: exit code 4 when it is above', async () => {
    const within = await measure('m.onnx', '--limit', 'p90 < 1h');
    expect(within).toMatchObject({ code: 0, stdout: expect.stringContaining('within p90 < 3600000 ms') });
    expect(within.stdout).toMatch(/p90 \S+ ms \(95 % interval/);
    expect(within.stdout).toContain("host's clock, copies in and out included");
    expect(await measure('m.onnx', '--limit', 'p50 < 1us')).toMatchObject({
      code: 4,
      stdout: expect.stringContaining('ABOVE p50 < 0.001 ms'),
    });
  });
});

it('offline counts examples a second at each batch', async () => {
  const { scenario, results } = await json('relu.onnx', '--scenario', 'offline', '--batch', '1,64');
  expect(scenario).toBe('offline');
  const found = (results as unknown[]).map((result) => offlineSchema.parse(result));
  expect(found.map(({ latency }) => latency.batch)).toEqual([1, 64]);
  // The call is nearly all of it, so sixty-four times the rows are far from sixty-four times the time.
  expect(found[1]?.examplesPerS).toBeGreaterThan(found[0]?.examplesPerS ?? Number.NaN);
});

describe('a server', () => {
  it('has response times at the rate asked for', async () => {
    const { scenario, results } = await json('m.onnx', '--scenario', 'server', '--rate', '1000/s');
    expect(scenario).toBe('server');
    const server = serverSchema.parse((results as unknown[])[0]);
    expect(server).toMatchObject({ limit: null, highestRatePerS: null });
    expect(server.points).toHaveLength(1);
    expect(server.points[0]?.ratePerS).toBe(1000);
    expect(server.points[0]?.p50Ms).toBeGreaterThan(0);
  });

  it('has no rate for a limit below one run: exit code 4', async () => {
    const { code, stdout } = await measure('m.onnx', '--scenario', 'server', '--limit', 'p99 < 1us');
    expect(code).toBe(4);
    expect(stdout).toContain('no rate that was tried surely meets p99 < 0.001 ms');
  });
});

describe('a ledger', () => {
  it('is added to, and verified', async () => {
    await json('m.onnx', '--ledger', 'l.ndjson');
    const lines = readFileSync(join(cwd, 'l.ndjson'), 'utf8').trim().split('\n');
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] as string)).toMatchObject({
      schema: 1,
      path: 'm.onnx',
      identity: { accelerator: 'cpu' },
    });
    const { entries, verified } = (await json('--verify', '--ledger', 'l.ndjson')) as {
      entries: number;
      verified: { verdict: string }[];
    };
    expect(entries).toBe(1);
    // On a busy machine the first may have been unstable, and is not verified then.
    for (const { verdict } of verified) expect(['agrees', 'disagrees', 'unstable']).toContain(verdict);
  });

  it('of another host is said to be, and nothing is measured', async () => {
    const line = readFileSync(join(cwd, 'l.ndjson'), 'utf8');
    writeFileSync(join(cwd, 'damaged.ndjson'), line.replace('"cpu"', '"gpu"'));
    const { code, stdout } = await measure('--verify', '--ledger', 'damaged.ndjson');
    expect(code).toBe(0);
    expect(stdout).toContain('0 of 0 latencies of this host measured again');
    expect(stdout).toContain('1 lines unreadable');
  });
});

it.each([
  ['no model', [], /expected an ONNX file, a spec or a built-in network to measure, got none/],
  ['a model to verify', ['m.onnx', '--verify'], /--verify: expected no model/],
  [
    'an unknown scenario',
    ['m.onnx', '--scenario', 'burst'],
    /--scenario: expected single-stream, offline, server, got "burst"/,
  ],
  ['a percentile there is not', ['m.onnx', '--percentile', '95'], /--percentile: expected 50, 90, 99, got 95/],
  [
    'two percentiles',
    ['m.onnx', '--percentile', '90', '--limit', 'p99 < 1ms'],
    /--percentile: expected that of --limit, 99, got 90/,
  ],
  ['a limit without a unit', ['m.onnx', '--limit', 'p99 < 9'], /--limit: expected a duration/],
  ['a rate without a server', ['m.onnx', '--rate', '200/s'], /--rate: expected --scenario server/],
  ['a server without traffic', ['m.onnx', '--scenario', 'server'], /expected --rate, --limit or both/],
  ['a rate that is none', ['m.onnx', '--scenario', 'server', '--rate', 'fast'], /--rate: expected a positive number/],
  [
    'a limit offline',
    ['m.onnx', '--scenario', 'offline', '--limit', 'p50 < 1ms'],
    /--scenario offline: expected no --limit/,
  ],
  [
    'a ledger of a server',
    ['m.onnx', '--scenario', 'server', '--rate', '1', '--ledger', 'l'],
    /--ledger: expected --scenario single-stream/,
  ],
])('refuses %s', async (_, args, message) => {
  const { code, stdout, stderr } = await measure(...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(message);
});
