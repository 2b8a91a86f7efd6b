import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { fileURLToPath } from 'node:url';
import { runFake, smallStudy } from '../study/small-study.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { ridgepoint } from './ridgepoint.ts';

const examples = fileURLToPath(new URL('../../examples/', import.meta.url));
const cwd = fileFolder();

/** Runs a command that must succeed. @returns what it printed. */
async function output(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await ridgepoint(args, cwd);
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) });
  return stdout;
}

/** The one object a command prints under `--json`. */
async function json(...args: string[]): Promise<Record<string, unknown>> {
  const parsed = JSON.parse(await output(...args, '--json')) as Record<string, unknown>;
  expect(parsed['schema']).toBe(1);
  return parsed;
}

describe('ridgepoint', () => {
  it('prints its usage and version without loading a command', async () => {
    expect(await output('--help')).toMatch(/usage: ridgepoint <command>[\s\S]*exit codes: 0 done, 2 bad input/);
    expect((await output('--version')).trim()).toMatch(/^\d+\.\d+\.\d+$/);
  });

  it('counts a network, scaled or not', async () => {
    const spec = join(examples, 'network.yaml');
    const plain = await json('count', spec);
    const wider = await json('count', spec, '--width=2');
    expect(Number(wider['params'])).toBeGreaterThan(2 * Number(plain['params']));
    expect(await output('count', spec)).toContain(Number(plain['params']).toLocaleString('en'));
  });

  it('counts a network by its name, and says which names come near one it does not know', async () => {
    const scaled = ['--width=1.1', '--depth=1.2', '--resolution=260'];
    const { schema, params, macs, activations, peakBytes, weightBytes, blocks } = await json(
      'count',
      'efficientnet-b0',
      ...scaled,
    );
    expect({ schema, params, blocks }).toEqual({ schema: 1, params: 9_109_994, blocks: 23 });
    expect([macs, activations, peakBytes, weightBytes]).toEqual(Array(4).fill(expect.any(Number)));
    expect(await json('count', 'efficientnet-b0', ...scaled, '--classes=10')).toMatchObject({
      params: 9_109_994 - 990 * (1408 + 1),
    });
    const unknown = await ridgepoint(['count', 'resnet50'], cwd);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('got "resnet50"; near it: resnet-50');
  });

  it('prints a JSON Schema that accepts the example studies', async () => {
    const schema = JSON.parse(await output('schema')) as z.core.JSONSchema.JSONSchema;
    expect(schema.$schema).toBe('https://json-schema.org/draft/2020-12/schema');
    const read = z.fromJSONSchema(schema);
    for (const name of ['quickstart', 'cifar10', 'sign-digits'])
      expect(
        read.safeParse(parseYaml(readFileSync(join(examples, `${name}.yaml`), 'utf8'))).error,
        name,
      ).toBeUndefined();
    expect(read.safeParse({ study: 'x', serch: {} }).success).toBe(false);
  });

  it('writes a study file that checks out, and overwrites none', async () => {
    expect(await output('init', 'mine.yaml')).toContain('wrote mine.yaml');
    const before = readFileSync(join(cwd, 'mine.yaml'), 'utf8');
    const plan = await json('search', 'mine.yaml', '--dry-run');
    expect(plan).toMatchObject({ config: { study: 'mine', budget: { time: 300_000 } }, trainings: { search: {} } });
    const again = await ridgepoint(['init', 'mine.yaml'], cwd);
    expect(again.code).toBe(2);
    expect(again.stderr).toContain('mine.yaml: expected to write a new file, but it exists already');
    expect(readFileSync(join(cwd, 'mine.yaml'), 'utf8')).toBe(before);
  });

  it('prints what a study would do, and does nothing', async () => {
    writeFileSync(
      join(cwd, 'plan.yaml'),
      JSON.stringify({ study: 'plan', data: { format: 'rendered', train: 40, test: 10 } }),
    );
    const text = await output('search', 'plan.yaml', '--dry-run');
    expect(text).toMatch(/^study: plan[\s\S]*space: \d+ networks[\s\S]*in all \d\.\de\+\d+ training FLOPs/);
    expect((await ridgepoint(['status', 'runs/plan'], cwd)).code).toBe(2);
  });

  it('says what works here', async () => {
    const { rows } = await json('doctor');
    expect(rows).toContainEqual(expect.objectContaining({ name: 'Node.js', ok: true }));
    expect(rows).toContainEqual(expect.objectContaining({ name: 'provider cpu', ok: true, required: true }));
    const { accelerators, profiles } = await json('accelerators');
    expect(accelerators).toContainEqual(expect.objectContaining({ id: 'cpu', available: true }));
    expect(profiles).toContainEqual(expect.objectContaining({ id: 'tpu-v5e', peakTflops: { bf16: 197, int8: 393 } }));
  });
});

describe('ridgepoint on a finished study', () => {
  const folder = join(cwd, 'runs', 'small');

  beforeAll(async () => {
    await runFake(smallStudy({ final: { examples: 200, seeds: 1, baselines: [] } }), folder);
  });

  it('tells where it stands', async () => {
    expect(await output('status', folder)).toMatch(/^finished; trials: \d+ trained, 0 infeasible, 0 failed, 0 open/);
    expect(await json('status', folder)).toMatchObject({ phase: 'finished', trials: { failed: 0, open: 0 } });
  });

  it('explains a trial', async () => {
    const text = await output('explain', 't0001', '--study', folder);
    expect(text).toMatch(/t0001: search, proposed by \w+ \(round 1 of the search\)/);
    expect(text).toMatch(
      /predicted [\d.]+ ms \([\d.]+ to [\d.]+\) on edge by simulated[\s\S]*trained: \d+\.\d % on the hold-out/,
    );
    expect(await json('explain', 't0001', '--study', folder)).toMatchObject({ trial: 't0001' });
    const unknown = await ridgepoint(['explain', 't9999', '--study', folder], cwd);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toMatch(/expected a trial of the study \(t0001 to t\d{4}\), got t9999/);
  });

  it('rebuilds its report from the journal', async () => {
    const copy = join(cwd, 'runs', 'copy');
    cpSync(folder, copy, { recursive: true });
    const files = ['report.html', 'trials.csv', 'manifest.json'];
    for (const file of files) rmSync(join(copy, file));
    const { summary } = await json('report', copy);
    expect(summary).toMatchObject({ name: 'small', finished: true, targets: [{ name: 'edge' }] });
    for (const file of files)
      expect(readFileSync(join(copy, file), 'utf8'), file).toBe(readFileSync(join(folder, file), 'utf8'));
  });

  it('exports delivered files, and refuses changed ones', async () => {
    const { files } = await json('export', folder, '--to', 'bundle', '--size', '1x');
    expect(files).toHaveLength(4);
    expect(readFileSync(join(cwd, 'bundle/family/edge/1x/model.onnx'))).toEqual(
      readFileSync(join(folder, 'family/edge/1x/model.onnx')),
    );
    const tampered = join(cwd, 'runs', 'tampered');
    cpSync(folder, tampered, { recursive: true });
    writeFileSync(join(tampered, 'family/edge/2x/model.onnx'), 'something else');
    const refused = await ridgepoint(['export', tampered, '--to', 'other'], cwd);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/model\.onnx: expected sha256:[0-9a-f]{64} as in the manifest, got sha256:/);
    writeFileSync(join(tampered, 'manifest.json'), '{}');
    const damaged = await ridgepoint(['export', tampered, '--to', 'other'], cwd);
    expect(damaged.code).toBe(2);
    expect(damaged.stderr).toContain('manifest.json: expected a manifest');
  });

  it('exports bundles that verify, and says what of a changed one fails', async () => {
    const { files } = await json('export', folder, '--to', 'bundles', '--size', '1x', '--format', 'bundle');
    expect(files).toContain('family/edge/1x/manifest.json');
    const place = join(cwd, 'bundles/family/edge/1x');
    rmSync(join(place, 'run.py'));
    const refused = await ridgepoint(['verify', 'bundles'], cwd);
    expect(refused.code).toBe(2);
    expect(refused.stdout).toMatch(/FAILS {2}files: run\.py is missing/);
  });

  it('names the format, the seed or the part of a network that an export has no form for', async () => {
    const refusal = async (...args: string[]) => {
      const { code, stderr } = await ridgepoint(['export', ...args, '--to', 'none'], cwd);
      expect(code).toBe(2);
      return stderr;
    };
    expect(await refusal(folder, '--format', 'torch')).toContain('--format: expected onnx, safetensors, pytorch');
    expect(await refusal(folder, '--seed', '1')).toContain('--seed: expected a network that nobody has trained');
    expect(await refusal('resnet-18', '--format', 'timm')).toContain('--format timm: stem: expected no max-pooling');
    expect(existsSync(join(cwd, 'none'))).toBe(false);
  });
});
