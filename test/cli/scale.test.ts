import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { targetNames } from '../../cli/scale.ts';
import { ConfigError } from '../../core/errors.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { smallBase } from '../scaling/base.ts';
import { ridgepoint } from './ridgepoint.ts';

const cwd = fileFolder();
writeFileSync(join(cwd, 'base.yaml'), JSON.stringify(smallBase(24)));
const onSimulated = ['scale', 'base.yaml', '--on', 'simulated', '--allow', 'predicted'];

describe('names of targets', () => {
  it('are what devices are called without their folders', () => {
    expect(targetNames(['cpu', 'profiles/edge.yaml'])).toEqual(['cpu', 'edge.yaml']);
  });

  it('take in as much of the folder as tells them apart', () => {
    expect(targetNames(['a/edge.yaml', 'b/edge.yaml', 'cpu'])).toEqual(['a-edge.yaml', 'b-edge.yaml', 'cpu']);
    expect(targetNames(['./edge.yaml', '../x/edge.yaml'])).toEqual(['edge.yaml', 'x-edge.yaml']);
    expect(targetNames(['m/a/e.yaml', 'n/a/e.yaml'])).toEqual(['m-a-e.yaml', 'n-a-e.yaml']);
  });

  it('are refused for a device named twice', () => {
    expect(() => targetNames(['cpu', 'webgpu', 'cpu'])).toThrow(ConfigError);
    expect(() => targetNames(['cpu', 'cpu'])).toThrow('--on: expected different devices, got cpu twice');
  });
});

describe('ridgepoint scale', () => {
  it.each([
    [
      'a size below the base',
      ['--sizes', '0.1us'],
      /edge|simulated: base p50 ≤ 0\.000100 ms.*the nearest, t0001, has latency/,
    ],
    ['a limit below the base', ['--limit', 'p90 < 1us'], /base p90 ≤ 0\.000250 ms.*the nearest, t0001, has latency/],
    ['memory below the base', ['--memory', '1kB'], /the nearest, t0001, has memory .* against 1\.00e\+3/],
  ])('ends with code 4 for %s, the nearest named, and trains nothing', async (_, flags, message) => {
    const { code, stderr } = await ridgepoint([...onSimulated, ...flags, '--name', `n${flags.join('').length}`], cwd);
    expect(code).toBe(4);
    expect(stderr).toMatch(message);
    expect(existsSync(join(cwd, 'runs', `n${flags.join('').length}`, 'family'))).toBe(false);
  });

  it('refuses a spread family without two ends', async () => {
    const { code, stderr } = await ridgepoint([...onSimulated, '--members', '4'], cwd);
    expect(code).toBe(2);
    expect(stderr).toContain('--members: expected two --sizes to spread them between, e.g. 1x,8x, got 1x,2x,4x');
  });
});

describe('ridgepoint scale of a factory', () => {
  const command = [process.execPath, '-e', '', '{request}'];
  writeFileSync(
    join(cwd, 'factory.yaml'),
    JSON.stringify({ factory: { command, resolution: 16 }, trainer: { command } }),
  );

  it.each([
    ['a rule', ['--rule', 'dWr'], /--rule: expected none beside a factory/],
    ['a range', ['--members', '3'], /--members: expected none beside a factory/],
    ['a precision that a profile lacks', ['--on', 'cpu,tpu-v5e'], /targets\.tpu-v5e\.precision: expected one that/],
  ])('refuses %s', async (_, flags, message) => {
    const { code, stderr } = await ridgepoint(['scale', 'factory.yaml', ...flags], cwd);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(existsSync(join(cwd, 'runs', 'scale-factory', 'family'))).toBe(false);
  });
});
