import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { stringify } from 'yaml';
import { fileFolder } from '../cases/file-folder.ts';
import { smallBase } from '../scaling/base.ts';
import { ridgepoint } from './ridgepoint.ts';

it('ridgepoint elasticity measures on this machine: more of everything takes longer', async () => {
  const cwd = fileFolder();
  writeFileSync(join(cwd, 'base.yaml'), stringify(smallBase(64)));
  const { code, stdout } = await ridgepoint(
    ['elasticity', 'base.yaml', '--on', 'cpu', '--points', '15', '--json'],
    cwd,
  );
  expect(code).toBe(0);
  const { elasticities } = JSON.parse(stdout) as {
    elasticities: readonly {
      readonly source: string;
      readonly determined: boolean;
      readonly exponents: Record<string, { readonly value: number }>;
    }[];
  };
  expect(elasticities).toHaveLength(1);
  expect(elasticities[0]).toMatchObject({ source: 'measured', determined: true });
  // Wide margins about what a busy machine gave: .97 and 1.11 (depth), 1.50 and 1.57 (width), 1.65 and 1.00 (resolution).
  for (const { value } of Object.values(elasticities[0]?.exponents ?? {})) {
    expect(value).toBeGreaterThan(0.3);
    expect(value).toBeLessThan(2.5);
  }
}, 120_000);
