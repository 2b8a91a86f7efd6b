import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { latencySchema } from '../../latency/latency.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { ridgepoint } from './ridgepoint.ts';

const cwd = fileFolder();

interface PredictionRow {
  readonly profile: string;
  readonly status: string;
  readonly reason?: string;
  readonly latency: { readonly p50Ms: number; readonly batch: number; readonly precision: string };
  readonly kernels: readonly { readonly ms: number; readonly bound: string; readonly kind: string }[];
  readonly footprint: { readonly fits: boolean | null };
}

async function predict(
  ...args: string[]
): Promise<{ code: number | null; stderr: string; rows: readonly PredictionRow[] }> {
  const { code, stdout, stderr } = await ridgepoint(['predict', ...args, '--json'], cwd);
  const rows = stdout === '' ? [] : (JSON.parse(stdout) as { predictions: readonly PredictionRow[] }).predictions;
  return { code, stderr, rows };
}

const openModel = join(cwd, 'open.onnx');
writeFileSync(
  openModel,
  encodeOnnx({
    name: 'open',
    inputs: [{ name: 'image', dtype: 'float32', shape: ['n', 3, 'height', 'width'] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: ['n', 4, 'h', 'w'] }],
    nodes: [{ opType: 'Conv', name: 'only', inputs: ['image', 'w'], outputs: ['y'] }],
    initializers: [{ name: 'w', dims: [4, 3, 1, 1], data: new Float32Array(12) }],
  }),
);

describe('ridgepoint predict', () => {
  it('gives the latency record of a built-in network on several devices, with kernels and what bounds them', async () => {
    writeFileSync(join(cwd, 'slow.yaml'), 'like: tpu-v3\nid: slow-tpu\nmemory: { gigabytesPerS: 90 }\n');
    const { code, rows } = await predict('efficientnet-b0', '--on', 'tpu-v3,slow.yaml', '--batch', '128');
    expect(code).toBe(0);
    expect(rows.map(({ profile }) => profile)).toEqual(['tpu-v3', 'slow-tpu']);
    for (const { latency, kernels, status } of rows) {
      expect(latencySchema.parse(latency)).toMatchObject({
        source: 'predicted',
        calibrated: false,
        batch: 128,
        precision: 'bf16',
      });
      expect(status).toBe('ok');
      expect(kernels.reduce((sum, { ms }) => sum + ms, 0)).toBeCloseTo(latency.p50Ms, 6);
      expect(new Set(kernels.map(({ bound }) => bound))).toContain('memory');
    }
    expect(rows[1]?.latency.p50Ms).toBeGreaterThan(4 * (rows[0]?.latency.p50Ms ?? 0));
  });

  it('scales a spec before predicting, and says what it found in words', async () => {
    const { code, stdout } = await ridgepoint(
      ['predict', 'efficientnet-b0', '--on', 't4', '--width=1.5', '--resolution=300', '--precision=int8'],
      cwd,
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /efficientnet-b0 on t4 \(T4\), batch 1, int8: [\d.]+ ms predicted \(95 % interval .*\), not calibrated: good for ranking only/,
    );
    expect(stdout).toMatch(/\d+ kernels, bound by compute \d+ %, memory \d+ %, overhead \d+ %/);
    expect(stdout).toMatch(/by kind: /);
    expect(stdout).toMatch(/memory: [\d.]+ MB of weights, [\d.]+ MB of activations, of 16\.0 GB/);
  });

  it('says with the numbers, and exit code 4, that a network does not fit', async () => {
    const { code, rows } = await predict('efficientnet-b7', '--on', 't4', '--batch', '1024');
    expect(code).toBe(4);
    expect(rows[0]).toMatchObject({ status: 'infeasible', footprint: { fits: false } });
    expect(rows[0]?.reason).toMatch(/^t4 has 16\.0 GB, batch 1024 in fp16 needs [\d.]+ GB$/);
  });

  it('reads any ONNX file, once it knows the extents the file leaves open', async () => {
    const missing = await predict('open.onnx', '--on', 'l4');
    expect(missing.code).toBe(2);
    expect(missing.stderr).toContain("open.onnx: input 'image': expected every extent but the batch to be known");
    const { code, rows } = await predict('open.onnx', '--on', 'l4', '--shape', 'image=2x3x64x32');
    expect(code).toBe(0);
    expect(rows[0]).toMatchObject({
      latency: { batch: 2, precision: 'fp16' },
      kernels: [{ kind: 'pointwise', macs: 2 * 64 * 32 * 12 }],
    });
  });

  it.each([
    ['an unknown device', ['efficientnet-b0', '--on', 'tpu-v9'], /expected a profile \(tpu-v2, .*got 'tpu-v9'/],
    [
      'a file scaled by width',
      ['open.onnx', '--on', 'l4', '--width', '2'],
      /expected a spec or a built-in network with --width and --depth/,
    ],
    [
      'extents that are none',
      ['open.onnx', '--on', 'l4', '--shape', 'image=2x'],
      /--shape: expected extents such as input=1x3x224x224/,
    ],
  ])('refuses %s with exit code 2', async (_, args, message) => {
    const { code, stderr } = await predict(...args);
    expect(code).toBe(2);
    expect((JSON.parse(stderr) as { message: string }).message).toMatch(message);
  });
});
