import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { findProfile } from '../../../accelerators/profile-file.ts';
import type { DeviceProfile } from '../../../accelerators/device-profile.ts';
import { Random } from '../../../core/random.ts';
import { type NetworkSpec, specDigest } from '../../../models/spec.ts';
import type { EventOf, JournalEvent } from '../../../study/journal/events.ts';
import { explainTrial } from '../../../study/explain.ts';
import { journalPath } from '../../../study/journal/journal.ts';
import { predictSpec } from '../../../study/evaluation/profiles.ts';
import { predictionId, screeningId } from '../../../study/evaluation/screening.ts';
import type { TargetConfig } from '../../../study/study-file.ts';
import { summarise } from '../../../study/deliver/summarise.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { FakeMeter } from '../fake-meter.ts';
import { eventsUntil, newFolder, smallStudy, story } from '../small-study.ts';

const profilePath = join(fileFolder(), 'cpu.yaml');
const search = { scale: 'tiny', controller: 'random', trials: 40, round: 10, examples: 100, finalists: 1, seeds: 1 };
const isBase = ({ type, id }: JournalEvent) => type === 'decision' && id === 'base';

let profile: DeviceProfile;
/** What the device really takes: what the profile says × `factor`, and up to 8 % more or less. */
const truthMs = (spec: NetworkSpec, factor: number) => {
  const target = { batch: 1, precision: 'fp32' } as TargetConfig;
  const noise = 0.16 * new Random('noise').child(specDigest(spec)).uniform() - 0.08;
  return predictSpec(spec, profile, target).latency.p50Ms * factor * (1 + noise);
};

beforeAll(async () => {
  writeFileSync(
    profilePath,
    'like: simulated\nid: my-cpu\ncalibration: { precision: fp32, points: 30, logDeviation: 0.05 }\n',
  );
  profile = await findProfile(profilePath);
});

/** A study that searches with a limit about which half the candidates lie. */
async function searched(factor: number, limitMs: number, runs?: string) {
  const targets = { laptop: { device: 'cpu', profile: profilePath, limit: `p50 < ${limitMs}ms` } };
  const config = smallStudy({ search, targets, family: { laptop: ['1x'] } });
  const meter = new FakeMeter((spec) => truthMs(spec, factor));
  const trained: string[] = [];
  const options = {
    makeMeter: () => meter,
    answer: (_: number, { spec }: { readonly spec: NetworkSpec }) => {
      trained.push(specDigest(spec));
      return undefined;
    },
    ...(runs === undefined ? {} : { folder: runs }),
  };
  const events = await eventsUntil(config, isBase, options);
  const issued = events.filter((event): event is EventOf<'issued'> => event.type === 'issued');
  const verdictOf = (digest: string) =>
    events.flatMap((event) =>
      event.type === 'decision' && event.id === screeningId('laptop', digest)
        ? [(event.value as { verdict: string }).verdict]
        : [],
    )[0];
  return { events, issued, meter, trained, verdictOf };
}

const limitMs = 0.1;

const storyToBase = (events: readonly JournalEvent[]) => story(events.slice(0, events.findIndex(isBase) + 1));

describe('screening by prediction', () => {
  it('refuses beyond doubt without measuring, measures the rest, and trains nothing that was not measured', async () => {
    const { events, issued, meter, trained, verdictOf } = await searched(1, limitMs);
    const verdicts = { refused: 0, sampled: 0, close: 0 };
    for (const { id, spec, specDigest: digest } of issued) {
      const { latency } = predictSpec(spec, profile, { batch: 1, precision: 'fp32' } as TargetConfig);
      const predicted = events.find((event) => event.id === predictionId('laptop', digest));
      expect(predicted?.type === 'measured' && predicted.latency).toMatchObject({
        source: 'predicted',
        accelerator: 'my-cpu',
        calibrated: true,
        p50Ms: latency.p50Ms,
      });
      const outcome = events.flatMap((event) =>
        event.type === 'outcome' && event.id === id ? [event.outcome] : [],
      )[0];
      if (latency.intervalMs.lo <= limitMs) {
        expect(verdictOf(digest)).toBeUndefined();
        expect(meter.calls).toContain(digest);
        verdicts.close++;
      } else if (verdictOf(digest) === 'refused') {
        expect(meter.calls).not.toContain(digest);
        expect(outcome).toMatchObject({
          status: 'infeasible',
          reason: 'latency',
          detail: 'on laptop, predicted',
          limit: limitMs,
          observed: latency.p50Ms,
        });
        verdicts.refused++;
      } else {
        expect(verdictOf(digest)).toBe('measured anyway');
        expect(meter.calls).toContain(digest);
        expect(outcome).toMatchObject({ status: 'infeasible', detail: 'on laptop' });
        verdicts.sampled++;
      }
    }
    expect(verdicts.refused).toBeGreaterThan(5);
    expect(verdicts.sampled).toBeGreaterThan(0);
    expect(verdicts.close).toBeGreaterThan(5);
    // A fifth of what would be refused, four standard deviations about it.
    const above = verdicts.refused + verdicts.sampled;
    expect(Math.abs(verdicts.sampled - 0.2 * above)).toBeLessThan(4 * Math.sqrt(0.16 * above));
    for (const digest of trained) expect(meter.calls).toContain(digest);
    const { prediction } = summarise(events).targets[0] ?? {};
    expect(prediction).toMatchObject({
      profile: 'my-cpu',
      calibrated: true,
      networks: verdicts.sampled + verdicts.close,
      refused: verdicts.refused,
      sampled: verdicts.sampled,
      wronglyRefused: 0,
      within10: 1,
    });
    expect(prediction?.medianError).toBeGreaterThan(0.01);
    expect(prediction?.medianError).toBeLessThan(0.09);
    expect(prediction?.rankCorrelation).toBeGreaterThan(0.9);
    expect(prediction?.wronglyRefusedAtMost).toBeCloseTo(1 - 0.05 ** (1 / verdicts.sampled), 6);
  });

  it('by a profile that is too pessimistic is found out: the sample holds networks within the limit', async () => {
    const { events, issued, meter, trained, verdictOf } = await searched(0.4, limitMs);
    const sampled = issued.filter(({ specDigest: digest }) => verdictOf(digest) === 'measured anyway');
    const within = sampled.filter(({ spec }) => truthMs(spec, 0.4) <= limitMs);
    expect(within.length).toBeGreaterThan(0);
    // They are candidates like any other: measured within the limit, so trained.
    for (const { specDigest: digest } of within) expect(trained).toContain(digest);
    for (const digest of trained) expect(meter.calls).toContain(digest);
    expect(summarise(events).targets[0]?.prediction).toMatchObject({
      sampled: sampled.length,
      wronglyRefused: within.length,
      within10: 0,
    });
  });

  it('is the same in a study that was killed in the middle and resumed, measuring nothing again', async () => {
    const runs = newFolder();
    const { events, meter } = await searched(1, limitMs, runs);
    const path = journalPath(runs);
    const lines = readFileSync(path, 'utf8').split('\n');
    const kept = Math.floor(events.length / 2);
    writeFileSync(
      path,
      lines
        .slice(0, kept)
        .map((line) => `${line}\n`)
        .join(''),
    );
    const resumed = await searched(1, limitMs, runs);
    expect(storyToBase(resumed.events)).toEqual(storyToBase(events));
    const before = events.slice(0, kept).filter(({ type, id }) => type === 'measured' && id.startsWith('laptop '));
    expect(resumed.meter.calls).toEqual(meter.calls.slice(before.length));
  });

  it('is part of a trial’s story', async () => {
    const { events, issued, verdictOf } = await searched(1, limitMs);
    const refused = issued.find(({ specDigest: digest }) => verdictOf(digest) === 'refused');
    const { text } = explainTrial(events, refused?.id ?? '');
    expect(text).toMatch(/predicted 0\.\d+ ms \(0\.\d+ to 0\.\d+\) on laptop by my-cpu/);
    expect(text).toMatch(/decision "screened laptop .*": predicted .* on laptop, above 0\.100 ms/);
    expect(text).toMatch(/infeasible by latency on laptop, predicted: 0\.\d+ against a limit of 0\.100/);
    expect(text).not.toContain('stable');
  });

  it('asks the profile nothing but figures where there is no limit', async () => {
    const targets = { laptop: { device: 'cpu', profile: profilePath } };
    const config = smallStudy({ search: { ...search, trials: 5, round: 5 }, targets, family: { laptop: ['1x'] } });
    const meter = new FakeMeter((spec) => truthMs(spec, 1));
    const events = await eventsUntil(config, isBase, { makeMeter: () => meter });
    const digests = new Set(events.flatMap((event) => (event.type === 'issued' ? [event.specDigest] : [])));
    expect(new Set(meter.calls)).toEqual(digests);
    expect(events.some(({ id }) => id.startsWith('screened '))).toBe(false);
    expect(summarise(events).targets[0]?.prediction).toMatchObject({ networks: digests.size, refused: 0, sampled: 0 });
  });
});
