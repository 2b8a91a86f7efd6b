import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { handOver } from '../../handover/export.ts';
import type { BundleManifest } from '../../handover/manifest.ts';
import { folderSubjects, type Subject } from '../../handover/subject.ts';
import { type Finding, findBundles, verifyBundle } from '../../handover/verify.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { FakeMeter } from '../study/fake-meter.ts';
import { newFolder, runFake, smallStudy, smallStudyFile } from '../study/small-study.ts';

/** Files in int8 take half of 2 ms longer. */
class PrecisionMeter extends FakeMeter {
  constructor() {
    super((_spec, _call, { precision }) => (precision === 'int8' ? 3 : 2));
  }
}

describe('a study that delivered a variant in int8', () => {
  const folder = newFolder();
  let subjects: readonly Subject[];

  beforeAll(async () => {
    const config = smallStudy({
      targets: { edge: { device: 'cpu' } },
      family: { edge: ['1x'] },
      final: { ...smallStudyFile.final, variants: ['int8'] },
    });
    await runFake(config, folder, { makeMeter: () => new PrecisionMeter() });
    subjects = await folderSubjects(folder, {});
  }, 60_000);

  it('bundles it with the precision, accuracy and latency of its own file', async () => {
    const to = join(fileFolder(), 'bundles');
    await handOver({ subjects, format: 'bundle', to });
    const bundles = findBundles(to);
    const manifests = bundles.map(
      (place) => JSON.parse(readFileSync(join(place, 'manifest.json'), 'utf8')) as BundleManifest,
    );
    expect(manifests.map(({ precision }) => precision)).toEqual(['fp32', 'int8']);
    expect(manifests.map(({ claims }) => claims.latency?.measured.p50Ms)).toEqual([2, 3]);
    const metrics = JSON.parse(readFileSync(join(folder, 'family/edge/1x/metrics.json'), 'utf8')) as {
      readonly delivered: { readonly testAccuracy: number };
      readonly variants: readonly { readonly testAccuracy: number }[];
    };
    expect(manifests.map(({ claims }) => claims.accuracy?.test)).toEqual([
      metrics.delivered.testAccuracy,
      metrics.variants[0]?.testAccuracy,
    ]);
    for (const place of bundles) {
      const findings: Finding[] = [];
      const checked = verifyBundle({
        folder: place,
        accelerator: 'cpu',
        baseDirectory: '',
        measure: () => Promise.reject(new Error('nobody measures here')),
        onFinding: (finding) => findings.push(finding),
      });
      await expect(checked).rejects.toThrow('nobody measures here');
      expect(findings.map(({ what, verdict }) => `${what} ${verdict}`)).toEqual([
        'files ok',
        'parity ok',
        'accuracy skipped',
      ]);
    }
  }, 60_000);

  it('hands its weights over once where the format has no precision of its own', async () => {
    const to = join(fileFolder(), 'weights');
    const handed = await handOver({ subjects, format: 'safetensors', to });
    expect(handed.map(({ place }) => place)).toEqual(['family/edge/1x']);
  });
});
