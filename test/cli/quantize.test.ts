import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { filePrecision } from '../../latency/file-precision.ts';
import { buildNetwork } from '../../models/build.ts';
import { exportOnnx } from '../../models/export.ts';
import { initialWeights } from '../../models/initialise.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { smallBase } from '../scaling/base.ts';
import { newFolder, runFake, smallStudy, smallStudyFile } from '../study/small-study.ts';
import { ridgepoint } from './ridgepoint.ts';

const cwd = fileFolder();
const spec = smallBase(16);
const data = JSON.stringify({
  format: 'rendered',
  classes: spec.classes,
  train: 160,
  test: 40,
  resolution: 16,
});

beforeAll(() => {
  writeFileSync(
    join(cwd, 'model.onnx'),
    exportOnnx(spec, initialWeights(buildNetwork(spec, 1), new Random(0)), 'batch'),
  );
});

describe('ridgepoint quantize', () => {
  it('makes a file beside, and says what it costs', async () => {
    const { code, stdout, stderr } = await ridgepoint(
      ['quantize', 'model.onnx', '--data', data, '--on', 'none', '--examples', '32'],
      cwd,
    );
    expect(stderr).toContain('preparing the data');
    expect(stdout).toMatch(
      /^model-int8\.onnx: int8 of model\.onnx\n {2}size .* to .*\n {2}accuracy {2}[\d.]+\s% to [\d.]+\s% of 40 test examples/,
    );
    expect(code).toBe(0);
    expect(filePrecision(readFileSync(join(cwd, 'model-int8.onnx')))).toBe('int8');
  });

  it('quantises what a study has delivered, what its targets share too, on the data that it prepared', async () => {
    const folder = newFolder();
    const small = smallStudy({
      targets: { edge: { device: 'simulated' }, batched: { device: 'simulated', batch: 8 } },
      family: { edge: ['1x'], batched: ['1x'] },
      final: { ...smallStudyFile.final, baselines: [] },
    });
    await runFake(small, folder);
    const { code, stdout } = await ridgepoint(
      ['quantize', folder, '--precision', 'fp16', '--on', 'none', '--json'],
      cwd,
    );
    expect(code).toBe(0);
    const { files } = JSON.parse(stdout) as { files: readonly { file: string }[] };
    expect(files.map(({ file }) => file).toSorted()).toEqual(
      ['family/batched/1x', 'family/edge/1x', 'shared/1x'].map((place) => join(folder, place, 'model-fp16.onnx')),
    );
    for (const file of files) {
      expect(file).toMatchObject({ precision: 'fp16', measured: [] });
      expect(existsSync(file.file)).toBe(true);
    }
  }, 60_000);

  it.each([
    ['no data', [], /--data: expected what model\.onnx was trained on, got none/],
    ['another precision', ['--precision', 'bf16'], /--precision: expected fp16, int8, got "bf16"/],
    ['a provider that cannot be told', ['--data', data, '--on', 'tensorrt'], /tensorrt.*no precision flag/],
    ['a file that is there', ['--data', data, '--to', 'model.onnx'], /does not exist yet, got model\.onnx/],
    ['numbers that are none', ['--data', data, '--mean', '0.5,x'], /--mean: expected numbers such as/],
    ['nine bits', ['--data', data, '--weight-bits', '9'], /--weight-bits: expected 7, 8, got "9"/],
  ])('refuses %s, and writes nothing', async (_, flags, message) => {
    const { code, stderr } = await ridgepoint(['quantize', 'model.onnx', ...flags], cwd);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(existsSync(join(cwd, 'model-bf16.onnx'))).toBe(false);
  });
});
