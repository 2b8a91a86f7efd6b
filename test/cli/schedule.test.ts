import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { schedulePair } from '../../study/train/found-schedules.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { smallBase } from '../scaling/base.ts';
import { ridgepoint } from './ridgepoint.ts';

const cwd = fileFolder();
writeFileSync(join(cwd, 'base.yaml'), stringify(smallBase()));
writeFileSync(join(cwd, 'webgpu.yaml'), 'provider: webgpu');
writeFileSync(join(cwd, 'bad.yaml'), 'stages: [{share: 1, precision: fp16}]');
writeFileSync(join(cwd, 'shrinking.yaml'), 'stages: [{share: 1}, {share: 1, width: 0.5}]');

describe('ridgepoint schedule and train --schedule', () => {
  it.each([
    [['schedule', 'find', 'base.yaml'], 'schedule: expected search, got find'],
    [['schedule', 'search', 'nobodys-net'], 'nobodys-net'],
    [['schedule', 'search', 'base.yaml', '--on', 'gpu'], '--on: expected cpu, '],
    [
      ['schedule', 'search', 'base.yaml', '--recipe', 'webgpu.yaml'],
      '--on: expected webgpu, as in webgpu.yaml, got cpu',
    ],
    [['schedule', 'search', 'base.yaml', '--on', 'webgpu', '--memory', '2GB'], '--memory: expected none on webgpu'],
    [['schedule', 'search', 'base.yaml', '--controller', 'best'], '--controller: expected bayesian'],
    [['schedule', 'search', 'base.yaml', '--memory', '2'], '--memory: expected a size such as 80GB'],
    [['train', 'base.yaml', '--schedule', 'best'], '--schedule: expected fixed, efficientnetv2'],
    [['train', 'base.yaml', '--schedule', 'bad.yaml'], 'expected fp32'],
    [['train', 'base.yaml', '--schedule', 'shrinking.yaml'], 'expected at least the 1 of the stage before, got 0.5'],
  ])('says what is wrong with %j', async (args, said) => {
    const { code, stderr } = await ridgepoint(args, cwd);
    expect(stderr).toContain(said);
    expect(code).toBe(2);
  });

  it('offers the schedule of a similar network instead of searching', async () => {
    const found = {
      ...schedulePair(smallBase()),
      data: 'rendered-32',
      tried: 16,
      examples: { scheduled: 8000, fixed: 5000 },
      accuracy: { scheduled: 0.5, fixed: 0.5, seeds: 3 },
    };
    writeFileSync(join(cwd, 'earlier.yaml'), stringify({ stages: [{ share: 1, resolution: 0.5 }], found }));
    const { code, stdout } = await ridgepoint(['schedule', 'search', 'base.yaml', '--out', 'new.yaml'], cwd);
    expect(code).toBe(0);
    expect(stdout).toMatch(/earlier\.yaml was found for a similar network on this device: train --schedule /);
  });
});
