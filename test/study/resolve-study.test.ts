import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { baseLimitMs } from '../../study/sizes.ts';
import { readStudyFile, resolveStudy } from '../../study/resolve-study.ts';

const where = '/somewhere/study.yaml';

describe('study file', () => {
  it('needs nothing but a name', () => {
    const config = resolveStudy({ study: 'first' }, where);
    expect(config.data).toMatchObject({ format: 'rendered', resolution: 64 });
    expect(config.family['cpu']?.map(({ name }) => name)).toEqual(['1x', '2x', '4x']);
    expect(config.baseDirectory).toBe('/somewhere');
  });

  it('reads units: limits, sizes, durations, bytes and shares', () => {
    const config = resolveStudy(
      {
        study: 'units',
        targets: { edge: { device: 'cpu', limit: 'p90 < 2ms', memory: '512MiB' } },
        family: { edge: ['0.5ms', '1500us'] },
        budget: { time: '2h', split: { search: '50%', scale: 0.2, train: '30%' } },
      },
      where,
    );
    expect(config.targets['edge']).toMatchObject({ limit: { percentile: 90, ms: 2 }, memory: 512 * 2 ** 20 });
    expect(config.family['edge']?.map(({ ms }) => ms)).toEqual([0.5, 1.5]);
    expect(config.budget).toMatchObject({ time: 7_200_000, split: { search: 0.5, scale: 0.2, train: 0.3 } });
  });

  it.each([
    [{ study: 'x', serch: {} }, /serch/],
    [{ study: 'a b' }, /study.*letters, digits/s],
    [{ study: 'x', targets: { a: { device: 'cpu', limit: '2ms' } } }, /"p50 < 2ms", got "2ms"/],
    [{ study: 'x', targets: { a: { device: 'cpu', limit: 'p50 < 2' } } }, /a duration such as 1.5ms.*got "2"/s],
    [{ study: 'x', family: { gpu: ['1x'] } }, /family\.gpu: expected one of the targets cpu, got gpu/],
    [{ study: 'x', family: { cpu: ['0.5x'] } }, /at least 1x.*got 0\.5x/],
    [{ study: 'x', family: { cpu: ['2x', '2x'] } }, /different sizes/],
    [
      { study: 'x', targets: { a: { device: 'cpu', limit: 'p50 < 1ms' } }, family: { a: ['2ms'] } },
      /within the limit of 1 ms, got 2ms/,
    ],
    [
      { study: 'x', targets: { a: { device: 'cpu', precision: 'int8' } } },
      /targets\.a\.precision: expected fp32 on cpu/,
    ],
    [
      { study: 'x', targets: { a: { device: 'tensorrt', precision: 'int8' } } },
      /targets\.a\.precision: expected fp32 on tensorrt, got int8: .*no precision flag.*trtexec/,
    ],
    [{ study: 'x', targets: {} }, /at least one target/],
    [{ study: 'x', search: { space: 'nope' } }, /search\.space|space/],
    [{ study: 'x', budget: { time: '10 parsecs' } }, /a duration/],
    [{ study: 'x', trainer: { augmentation: { crop: {}, shift: 0.1 } } }, /either a crop or a shift.*shift/s],
    [{ study: 'x', trainer: { augmentation: { randAugment: { operations: ['spin'] } } } }, /operations/],
    [
      { study: 'x', trainer: { batchSize: 1, augmentation: { cutmix: 1 } } },
      /trainer: .* at least 2 examples .* got 1/,
    ],
    [{ study: 'x', data: { format: 'csv', path: 'a.csv', range: [16, 0] } }, /data\.range/],
    [{ study: 'x', data: { format: 'mnist', path: 'a' } }, /expected one of rendered, .*idx, csv, .*got mnist.*data/s],
    [{ study: 'x', data: { format: 'csv' } }, /path: expected a path or a list of paths.*data/s],
    [{ study: 'x', data: 'renderd' }, /the path of a folder.*got "renderd".*data/s],
    [[], /study/],
  ])('names what is wrong in %j', (data, message) => {
    expect(() => resolveStudy(data, where)).toThrow(ConfigError);
    expect(() => resolveStudy(data, where)).toThrow(message);
  });

  it('says which file is missing or not YAML', () => {
    expect(() => readStudyFile('/no/such.yaml')).toThrow(/no\/such\.yaml: expected a study file, got ENOENT/);
    const path = join(mkdtempSync(join(tmpdir(), 'study-')), 'bad.yaml');
    writeFileSync(path, 'a: [1,\nb: }');
    expect(() => readStudyFile(path)).toThrow(/bad\.yaml: not YAML/);
  });

  it('may name commands and precisions that only workers elsewhere have, when told that there are some', () => {
    const file = {
      study: 'x',
      targets: { far: { device: 'trt-a100', precision: 'fp16' }, own: { command: 'trt@1' } },
      trainer: { command: 'torch-train@3' },
    };
    expect(() => resolveStudy(file, where)).toThrow(ConfigError);
    const { targets, trainerCommand } = resolveStudy(file, where, { elsewhere: true });
    expect(targets).toMatchObject({ far: { device: 'trt-a100', precision: 'fp16' }, own: { device: 'command:trt@1' } });
    expect(trainerCommand).toEqual({ name: 'torch-train@3', params: {} });
  });

  it('leaves room below a limit for the largest member', () => {
    const { family, targets } = resolveStudy(
      { study: 'x', targets: { a: { device: 'cpu', limit: 'p50 < 2ms' } }, family: { a: ['1x', '4x'] } },
      where,
    );
    expect(baseLimitMs(family['a'] ?? [], targets['a']?.limit)).toBe(0.5);
    expect(baseLimitMs([{ name: '3ms', ms: 3 }], undefined)).toBe(3);
    expect(baseLimitMs([{ name: '2x', multiple: 2 }], undefined)).toBeUndefined();
  });
});
