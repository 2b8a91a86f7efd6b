import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError, UnreachableLimitError } from '../../../core/errors.ts';
import { findProfile } from '../../../accelerators/profile-file.ts';
import { Random } from '../../../core/random.ts';
import { latencySchema } from '../../../latency/latency.ts';
import { buildNetwork } from '../../../models/build.ts';
import { exportOnnx } from '../../../models/export.ts';
import { initialWeights } from '../../../models/initialise.ts';
import { readOnnx } from '../../../models/onnx.ts';
import { loadNetwork } from '../../../scaling/built-in-networks.ts';
import type { JournalEvent } from '../../../study/journal/events.ts';
import { openProfiles, predictGraph, predictSpec } from '../../../study/evaluation/profiles.ts';
import { resolveStudy } from '../../../study/resolve-study.ts';
import type { TargetConfig } from '../../../study/study-file.ts';
import { summarise } from '../../../study/deliver/summarise.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { smallBase } from '../../scaling/base.ts';
import { eventsUntil, newFolder, runFake, smallStudy } from '../small-study.ts';

const folder = fileFolder();
const where = join(folder, 'study.yaml');
const withTarget = (target: object, changes: object = {}) =>
  resolveStudy({ study: 'profiles', targets: { tpu: target }, ...changes }, where);

/** A profile of the user's own beside the study file. */
function profileFile(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return `./${name}`;
}

const search = { scale: 'tiny', controller: 'random', trials: 4, round: 4, examples: 100, finalists: 1, seeds: 1 };
const isBase = ({ type, id }: JournalEvent) => type === 'decision' && id === 'base';

describe('the profiles of a study', () => {
  it('are those of the table by their ids, and files beside the study file', async () => {
    const mine = profileFile('mine.yaml', 'like: l4\nid: mine\nkernelOverheadUs: 9\n');
    const config = resolveStudy(
      {
        study: 'both',
        targets: {
          tpu: { device: 'tpu-v5e', precision: 'bf16' },
          gpu: { device: mine, precision: 'fp16' },
          laptop: { device: 'cpu', profile: mine },
        },
      },
      where,
    );
    const profiles = await openProfiles(config);
    expect([...profiles].map(([source, { id }]) => [source, id])).toEqual([
      ['tpu-v5e', 'tpu-v5e'],
      [mine, 'mine'],
    ]);
  });

  it.each([
    [
      'a file that is not there',
      { device: './absent.yaml' },
      /targets\.tpu\.device: .*absent\.yaml: expected a readable/,
    ],
    [
      'a precision the device has no peak of',
      { device: 'tpu-v5e' },
      /targets\.tpu\.precision: expected one that tpu-v5e has a peak of \(bf16, int8\), got fp32/,
    ],
    [
      'a hard limit on a profile that was never calibrated',
      { device: 'tpu-v5e', precision: 'bf16', limit: 'p50 < 12ms' },
      /targets\.tpu: expected "allow: predicted" beside a limit .* tpu-v5e was never calibrated/,
    ],
    [
      'a limit that screening by such a profile would judge',
      { device: 'cpu', profile: 'simulated', limit: 'p50 < 12ms' },
      /"allow: predicted"/,
    ],
  ])('are refused with the key: %s', async (_, target, message) => {
    const opened = openProfiles(withTarget(target));
    await expect(opened).rejects.toThrow(ConfigError);
    await expect(opened).rejects.toThrow(message);
  });

  it('take sizes in milliseconds for the limits they are', async () => {
    const target = { device: 'tpu-v5e', precision: 'bf16' };
    const family = { tpu: ['2ms', '4ms'] };
    await expect(openProfiles(withTarget(target, { family }))).rejects.toThrow('allow: predicted');
    const allowed = await openProfiles(withTarget({ ...target, allow: 'predicted' }, { family }));
    expect(allowed.size).toBe(1);
  });

  it('need no permission once they are calibrated', async () => {
    const calibrated = profileFile(
      'calibrated.yaml',
      'like: t4\nid: calibrated\ncalibration: { precision: fp16, points: 20, logDeviation: 0.05 }\n',
    );
    const target = { device: calibrated, precision: 'fp16', limit: 'p50 < 2ms' };
    expect((await openProfiles(withTarget(target))).size).toBe(1);
    await expect(openProfiles(withTarget({ ...target, precision: 'int8' }))).rejects.toThrow(
      /allow: predicted.* calibrated was calibrated in fp16, never in int8/,
    );
    const silent = profileFile(
      'silent.yaml',
      'like: t4\nid: silent\ncalibration: { points: 20, logDeviation: 0.05 }\n',
    );
    await expect(openProfiles(withTarget({ ...target, device: silent }))).rejects.toThrow(
      /silent does not say in which precision it was calibrated \(calibration\.precision\)/,
    );
  });

  it.each([
    [{ device: 'tpu-v9' }, /targets\.tpu\.device: expected a provider \(cpu, .*a profile \(tpu-v2, .*got "tpu-v9"/],
    [{ device: 'tpu-v5e', profile: 't4' }, /targets\.tpu\.profile: expected none, for tpu-v5e is a profile, got t4/],
    [{ device: 'cpu', allow: 'predicted' }, /targets\.tpu\.allow: expected a profile that it is for, got none/],
    [{ device: 'cpu', allow: 'everything' }, /targets\.tpu\.allow/],
    [{ device: 'cpu', profile: 't4', precision: 'int8' }, /targets\.tpu\.precision: expected fp32 on cpu, got int8/],
  ])('have keys that agree with each other: %j', (target, message) => {
    expect(() => withTarget(target)).toThrow(message);
  });
});

describe('a study for a device that is not here', () => {
  const tpu = { device: 'tpu-v5e', batch: 128, precision: 'bf16', limit: 'p50 < 12ms', allow: 'predicted' };
  const config = smallStudy({ search, targets: { tpu }, family: { tpu: ['1x', '2x'] } });

  it('takes every latency from the profile and says so in the journal and the summary', async () => {
    const events = await eventsUntil(config, isBase);
    const measured = events.flatMap((event) => (event.type === 'measured' ? [event.latency] : []));
    expect(measured.length).toBeGreaterThanOrEqual(4);
    const profile = await findProfile('tpu-v5e');
    for (const latency of measured) {
      expect(latencySchema.parse(latency)).toMatchObject({
        source: 'predicted',
        accelerator: 'tpu-v5e',
        batch: 128,
        precision: 'bf16',
        calibrated: false,
      });
    }
    const issued = events.flatMap((event) => (event.type === 'issued' ? [event] : []));
    for (const { spec, specDigest } of issued) {
      const event = events.find(({ id }) => id === `tpu ${specDigest}`);
      const { latency } = predictSpec(spec, profile, config.targets['tpu'] as TargetConfig);
      expect(event?.type === 'measured' && event.latency.p50Ms).toBeCloseTo(latency.p50Ms, 12);
    }
    const [target] = summarise(events).targets;
    expect(target).toMatchObject({ predictedBy: { profile: 'tpu-v5e', calibrated: false }, prediction: null });
  });

  it('predicts a delivered file as it predicted its network', async () => {
    const profile = await findProfile('tpu-v5e');
    const target = config.targets['tpu'] as TargetConfig;
    for (const spec of [smallBase(), { ...loadNetwork('mobilenet-v3-small'), classes: 10 }]) {
      const name = spec.name ?? 'network';
      const weights = initialWeights(buildNetwork(spec, 1), new Random(name));
      const file = readOnnx(exportOnnx(spec, weights, 'batch'), name);
      const fromFile = predictGraph(file, profile, target, name).latency;
      expect(fromFile).toEqual(predictSpec(spec, profile, target).latency);
    }
  });

  it('finds what does not fit the device infeasible, with both numbers', async () => {
    const small = profileFile(
      'small.yaml',
      'like: tpu-v5e\nid: small-tpu\nmemory: { gigabytes: 0.000001, gigabytesPerS: 819 }\n',
    );
    const targets = { tpu: { ...tpu, limit: undefined, device: join(dirname(where), small) } };
    const run = runFake(smallStudy({ search, targets, family: { tpu: ['1x'] } }), newFolder());
    await expect(run).rejects.toThrow(UnreachableLimitError);
    await expect(run).rejects.toThrow(
      /has memory \d\S* against 1\.00e\+3 small-tpu has 0\.00000100 GB, batch 128 in bf16 needs 0\.00\d+ GB/,
    );
  });

  it('goes on with the profile it began with, and with no other', async () => {
    const own = join(dirname(where), profileFile('own.yaml', 'like: tpu-v5e\nid: own\n'));
    const targets = { tpu: { ...tpu, device: own } };
    const study = smallStudy({ search, targets, family: { tpu: ['1x'] } });
    const runs = newFolder();
    await eventsUntil(study, isBase, { folder: runs });
    writeFileSync(own, 'like: tpu-v5e\nid: own\nkernelOverheadUs: 50\n');
    await expect(runFake(study, runs)).rejects.toThrow(
      /own\.yaml: expected the profile this study began with .*changed/,
    );
  });
});
