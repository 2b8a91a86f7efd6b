import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { fileFolder } from '../cases/file-folder.ts';
import { smallBase } from '../scaling/base.ts';
import { runFake, smallStudy } from '../study/small-study.ts';
import { ridgepoint } from './ridgepoint.ts';

const cwd = fileFolder();
writeFileSync(join(cwd, 'base.yaml'), stringify(smallBase()));
const data = `{format: rendered, classes: ${smallBase().classes}, train: 60, test: 20, resolution: 16}`;

describe('ridgepoint proxies <network>', () => {
  it('counts and scores it, the same for the same seed', async () => {
    const args = ['proxies', 'base.yaml', '--data', data, '--starts', '2', '--batch', '8', '--json'];
    const [first, second] = [await ridgepoint(args, cwd), await ridgepoint(args, cwd)];
    expect(first.stderr).not.toContain('error');
    expect(first.code).toBe(0);
    const { schema, count, scores } = JSON.parse(first.stdout) as {
      schema: number;
      count: { macs: number };
      scores: Record<string, number[]>;
    };
    expect(schema).toBe(1);
    expect(count.macs).toBeGreaterThan(0);
    expect(Object.keys(scores)).toEqual(['gradientNorm', 'logSynflow', 'naswot']);
    for (const values of Object.values(scores)) expect(values).toHaveLength(2);
    expect((JSON.parse(second.stdout) as { scores: unknown }).scores).toEqual(scores);
  });

  it('says so where the network, a flag or the folder is wrong', async () => {
    for (const [args, said] of [
      [['nobodys-net'], 'nobodys-net'],
      [['base.yaml', '--zero-cost'], 'expected the folder of a study'],
      [['base.yaml', '--batch', '1'], '--batch'],
    ] as const) {
      const { code, stderr } = await ridgepoint(['proxies', ...args], cwd);
      expect(code).toBe(2);
      expect(stderr).toContain(said);
    }
  });
});

describe('ridgepoint proxies <study>', () => {
  it('shows the audit, and writes nothing unless asked to', async () => {
    const folder = join(cwd, 'small');
    const search = { controller: 'random', scale: 'tiny', trials: 6, round: 6, examples: 100, finalists: 1, seeds: 1 };
    await runFake(
      smallStudy({ search, family: { edge: ['1x'] }, final: { examples: 100, seeds: 1, baselines: [] } }),
      folder,
    );
    const { code, stdout } = await ridgepoint(['proxies', folder], cwd);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^accuracy after 100 examples\n/);
    expect(stdout).toMatch(/\n {2}MACs +6 /);
    expect(stdout).not.toContain('NASWOT');

    const refused = await ridgepoint(['proxies', folder, '--seed', '1'], cwd);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('--seed: expected a network');

    const scored = await ridgepoint(['proxies', folder, '--zero-cost', '--json'], cwd);
    expect(scored.code).toBe(0);
    const { zeroCost } = JSON.parse(scored.stdout) as { zeroCost: { networks: number } };
    expect(zeroCost.networks).toBe(6);
    expect(existsSync(join(folder, 'report.html'))).toBe(true);
  });
});
