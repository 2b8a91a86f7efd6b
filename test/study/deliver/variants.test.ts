import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { digestBytes } from '../../../core/digest.ts';
import { InfeasibleModelError } from '../../../core/errors.ts';
import { filePrecision } from '../../../latency/file-precision.ts';
import type { Latency } from '../../../latency/latency.ts';
import { describeOnnx } from '../../../models/onnx.ts';
import type { TargetConfig } from '../../../study/study-file.ts';
import { rebuildResults } from '../../../study/deliver/results.ts';
import type { MemberSummary, StudySummary } from '../../../study/deliver/summary.ts';
import { variantRefusal } from '../../../study/deliver/variants.ts';
import { FakeMeter } from '../fake-meter.ts';
import { eventsOf, newFolder, runFake, smallStudy, smallStudyFile, story } from '../small-study.ts';

const withVariants = (variants: readonly string[]) =>
  smallStudy({
    targets: { edge: { device: 'cpu' } },
    family: { edge: ['1x'] },
    final: { ...smallStudyFile.final, variants },
  });

/** Files in int8 take half of 2 ms longer, those in fp16 half as long. */
class PrecisionMeter extends FakeMeter {
  readonly files: { readonly path: string; readonly precision: string }[] = [];

  constructor() {
    super((_spec, _call, { precision }) => ({ int8: 3, fp16: 1 })[precision as string] ?? 2);
  }

  override measureFile(...[path, target, spec]: Parameters<FakeMeter['measureFile']>): Promise<Latency> {
    this.files.push({ path, precision: target.precision });
    return super.measureFile(path, target, spec);
  }
}

const familyMember = ({ targets }: StudySummary): MemberSummary =>
  targets[0]?.lines.find(({ kind }) => kind === 'family')?.members[0] as MemberSummary;

describe('a study that delivers variants', () => {
  const folder = newFolder();
  const meter = new PrecisionMeter();
  let summary: StudySummary;
  const read = (file: string) => readFileSync(join(folder, file), 'utf8');

  beforeAll(async () => {
    ({ summary } = await runFake(withVariants(['fp16', 'int8']), folder, { makeMeter: () => meter }));
  }, 60_000);

  it('puts each beside the delivered file, in its precision, and in the manifest', () => {
    const { files } = JSON.parse(read('manifest.json')) as { readonly files: Record<string, string> };
    for (const precision of ['fp16', 'int8']) {
      const path = `family/edge/1x/model-${precision}.onnx`;
      const bytes = readFileSync(join(folder, path));
      expect(filePrecision(bytes)).toBe(precision);
      expect(files[path]).toBe(digestBytes(bytes));
    }
    expect(describeOnnx(readFileSync(join(folder, 'family/edge/1x/model-int8.onnx')), 'int8').metadata).toMatchObject({
      quantization: expect.stringMatching(/^int8 in QDQ form: weights of 7 bits/) as string,
      class_names: expect.any(String) as string,
    });
  });

  it('scores and measures each, and says how it compares', () => {
    const { variants, delivered } = familyMember(summary);
    expect(variants).toMatchObject([
      { precision: 'fp16', latency: { p50Ms: 1, precision: 'fp16' }, speedUp: { ratio: 2, verdict: 'faster' } },
      { precision: 'int8', latency: { p50Ms: 3, precision: 'int8' }, speedUp: { ratio: 2 / 3, verdict: 'slower' } },
    ]);
    for (const variant of variants)
      if ('file' in variant) {
        expect(variant.testAccuracy).toBeGreaterThan(0);
        expect(variant.accuracyChange).toBeCloseTo(variant.testAccuracy - (delivered?.testAccuracy ?? NaN), 12);
      }
    expect(meter.files.slice(-2).map(({ precision }) => precision)).toEqual(['fp16', 'int8']);
    expect(new Set(meter.files.map(({ path }) => path)).size).toBe(meter.files.length);
  });

  it('warns of one that is slower, in the report, the card and the tables alike', () => {
    expect(summary.warnings).toContain(
      'edge: int8 of 1x is slower than the delivered file: it takes 1.50 times as long',
    );
    const rows = read('family.csv').trimEnd().split('\n');
    expect(rows.map((row) => row.split(',').slice(1, 4).join(' '))).toEqual([
      'line name size',
      'family ridgepoint 1x',
      'variant ridgepoint 1x fp16',
      'variant ridgepoint 1x int8',
      'rule dWr 1x',
    ]);
    expect(read('family/edge/1x/card.md')).toMatch(
      /\| model-int8\.onnx \| int8 \| [\d.]+\sKiB \| [\d.]+\s% \| 3\.00\sms/,
    );
    expect(read('report.html')).toContain('1x int8: slower: 1.50 times as long as the original');
    const metrics = JSON.parse(read('family/edge/1x/metrics.json')) as { readonly variants: readonly object[] };
    expect(metrics.variants).toMatchObject([
      { precision: 'fp16', bytes: expect.any(Number) as number, digest: expect.stringMatching(/^sha256:/) as string },
      { precision: 'int8', file: 'family/edge/1x/model-int8.onnx' },
    ]);
  });

  it('resumes without doing any of it again, and shows the same from its journal', async () => {
    const before = story(eventsOf(folder));
    const card = read('family/edge/1x/card.md');
    const again = new PrecisionMeter();
    await runFake(withVariants(['fp16', 'int8']), folder, { makeMeter: () => again });
    expect(again.files).toEqual([]);
    expect(story(eventsOf(folder))).toEqual(before);
    expect(familyMember(await rebuildResults(folder)).variants).toEqual(familyMember(summary).variants);
    expect(read('family/edge/1x/card.md')).toBe(card);
  });
});

it('a target that cannot run a precision gets no file of it, and the reason', async () => {
  const folder = newFolder();
  class WithoutInt8 extends PrecisionMeter {
    override measureFile(...[path, target, spec]: Parameters<FakeMeter['measureFile']>): Promise<Latency> {
      if (target.precision !== 'int8') return super.measureFile(path, target, spec);
      throw new InfeasibleModelError('webgpu: expected operators it runs', { reason: 'unsupported' });
    }
  }
  const { summary } = await runFake(withVariants(['int8']), folder, { makeMeter: () => new WithoutInt8() });
  expect(familyMember(summary).variants).toEqual([
    { precision: 'int8', refusal: 'webgpu: expected operators it runs' },
  ]);
  const { files } = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as { readonly files: object };
  expect(Object.keys(files)).not.toContain('family/edge/1x/model-int8.onnx');
  expect(readFileSync(join(folder, 'family/edge/1x/card.md'), 'utf8')).toContain('int8: none: webgpu');
}, 60_000);

const on = (device: string): Pick<TargetConfig, 'device'> => ({ device });

describe('variants are refused beforehand', () => {
  it('where the delivered file is in the precision itself', () => {
    expect(variantRefusal(on('cpu'), 'fp16', 'fp16')).toMatch(/in fp16 itself/);
    expect(variantRefusal(on('cpu'), 'fp16', 'int8')).toBeUndefined();
  });

  it('where a latency is predicted, a program converts, or a provider cannot be told', () => {
    expect(variantRefusal(on('tpu-v5e'), 'fp32', 'int8')).toMatch(/predicted/);
    expect(variantRefusal(on('command:trt'), 'fp32', 'int8')).toMatch(/precision: int8/);
    expect(variantRefusal(on('tensorrt'), 'fp32', 'fp16')).toMatch(/no precision flag/);
    expect(variantRefusal(on('cpu'), 'fp32', 'int8')).toBeUndefined();
  });

  it('by the study file where it is no precision that files are made in', () => {
    expect(() => withVariants(['bf16'])).toThrow(/variants/);
    expect(() => withVariants(['int8', 'int8'])).toThrow(/different precisions/);
  });
});
