import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { fileFolder } from '../cases/file-folder.ts';
import { smallBase } from '../scaling/base.ts';
import { ridgepoint, startRidgepoint } from './ridgepoint.ts';

const cwd = fileFolder();
writeFileSync(join(cwd, 'base.yaml'), stringify(smallBase()));

interface Row {
  readonly on: string;
  readonly source: string;
  readonly calibrated: boolean;
  readonly determined: boolean;
  readonly rSquared: number;
  readonly exponents: Record<'depth' | 'width' | 'resolution', { value: number; lo: number; hi: number }>;
  readonly points: readonly { readonly depth: number; readonly p50Ms: number }[];
}

describe('ridgepoint elasticity', () => {
  it('tells how a network’s latency grows on a profiled device, with intervals: by arithmetic here, by launches there', async () => {
    // Nothing but arithmetic and nothing but kernels: latency follows multiply-adds here and depth there.
    writeFileSync(
      join(cwd, 'arithmetic.yaml'),
      'like: simulated\nid: arithmetic\nkernelOverheadUs: 0\nmemory: { gigabytesPerS: 1e6 }\n',
    );
    writeFileSync(join(cwd, 'launches.yaml'), 'like: simulated\nid: launches\nkernelOverheadUs: 1000\n');
    const on = ['--on', 'arithmetic.yaml,launches.yaml', '--points', '20', '--json'];
    const { code, stdout } = await ridgepoint(['elasticity', 'base.yaml', ...on], cwd);
    expect(code).toBe(0);
    const { schema, elasticities } = JSON.parse(stdout) as { schema: number; elasticities: readonly Row[] };
    expect(schema).toBe(1);
    expect(elasticities.map((row) => row.on)).toEqual(['arithmetic.yaml', 'launches.yaml']);
    const [arithmetic, launches] = elasticities as [Row, Row];
    for (const { source, calibrated, determined, points, exponents } of [arithmetic, launches]) {
      expect({ source, calibrated, determined, points: points.length }).toEqual({
        source: 'predicted',
        calibrated: false,
        determined: true,
        points: 20,
      });
      for (const { value, lo, hi } of Object.values(exponents)) {
        expect(lo).toBeLessThan(value);
        expect(hi).toBeGreaterThan(value);
      }
    }
    expect(arithmetic.exponents.width.value).toBeGreaterThan(1.3);
    expect(arithmetic.exponents.resolution.value).toBeGreaterThan(1.6);
    expect(arithmetic.rSquared).toBeGreaterThan(0.95);
    expect(launches.exponents.depth.value).toBeGreaterThan(0.7);
    expect(Math.abs(launches.exponents.width.value)).toBeLessThan(0.1);
    expect(Math.abs(launches.exponents.resolution.value)).toBeLessThan(0.1);
  });

  it('says it in words, showing how far it is', async () => {
    const args = ['elasticity', 'base.yaml', '--on', 'simulated', '--points', '8', '--reach', '2'];
    const { code, stdout, stderr } = await ridgepoint(args, cwd);
    expect(code).toBe(0);
    expect(stderr).toMatch(/measure\s+simulated: 1\/8 scalings/);
    expect(stdout).toMatch(
      /^base\.yaml on simulated, batch 1, fp32: 8 scalings, [\d.]+ to [\d.]+ ms, predicted by simulated, never calibrated in fp32$/m,
    );
    expect(stdout).toMatch(/latency ∝ depth\^-?[\d.]+ · width\^-?[\d.]+ · resolution\^-?[\d.]+/);
    expect(stdout).toMatch(/depth +-?[\d.]+ +\(95 % interval -?[\d.]+ to -?[\d.]+\)/);
    expect(stdout).toMatch(/R² [\d.-]+, residual spread [\d.]+ %/);
  });

  it('is interrupted with exit code 130, and says that nothing was kept', async () => {
    let sent = false;
    const { ended } = startRidgepoint(['elasticity', 'base.yaml', '--points', '40'], cwd, (stderr, child) => {
      if (sent || !stderr.includes('1/40 scalings')) return;
      sent = true;
      child.kill('SIGINT');
    });
    const { code, stdout, stderr } = await ended;
    expect({ code, stdout, sent }).toEqual({ code: 130, stdout: '', sent: true });
    expect(stderr).toContain('nothing was kept');
  });

  it.each([
    ['too few points', ['--points', '3'], /--points: expected a whole number of at least 8, got "3"/],
    ['too many', ['--points', '1000'], /--points: expected at most 200, got 1000/],
    ['sides below its own', ['--resolution', '16'], /--resolution: expected a whole number of at least 32, got "16"/],
    ['a device that is none', ['--on', 'gpu'], /expected a provider \(cpu, .*got "gpu"/],
    ['a precision the device lacks', ['--on', 'tpu-v5e'], /precision: expected one that tpu-v5e has a peak of/],
    ['a protocol that is none', ['--protocol', 'fast'], /--protocol: expected quick, thorough, got "fast"/],
  ])('refuses %s with exit code 2', async (_, args, message) => {
    const { code, stderr, stdout } = await ridgepoint(['elasticity', 'base.yaml', ...args], cwd);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });
});
