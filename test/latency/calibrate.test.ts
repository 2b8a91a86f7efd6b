import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatProfile, parseProfile } from '../../accelerators/profile-file.ts';
import { Random } from '../../core/random.ts';
import { calibratedProfile, type NetworkDraw, observeNetworks } from '../../latency/calibrate.ts';
import { programOf } from '../../latency/calibration.ts';
import { openObservations } from '../../latency/calibration-observations.ts';
import { fingerprint } from '../../latency/fingerprint.ts';
import { predictLatency } from '../../latency/predicted.ts';
import { drawNetwork } from '../../study/evaluation/calibration-networks.ts';
import { parse } from 'yaml';
import { fileFolder } from '../cases/file-folder.ts';
import { observed } from './synthetic-device.ts';

const drawn = { precision: 'fp32' as const, space: 'built-in', threads: 1, seed: '0' };
const header = { schema: 2 as const, ...drawn, fingerprint: fingerprint('cpu') };
const folder = fileFolder();

/** A clock that networks move, a second each. */
async function calibrate(name: string, budgetMs: number, signal?: AbortSignal, stopAt = Infinity) {
  const file = await openObservations(join(folder, name), header);
  let nowMs = 0;
  const asked: { network: NetworkDraw; profiles: boolean }[] = [];
  const observe = (network: NetworkDraw, profiles: boolean) => {
    asked.push({ network, profiles });
    nowMs += 1000;
    if (asked.length >= stopAt) controller.abort();
    const { kernels, ...times } = observed(network, new Random('noise').child(asked.length));
    const named = kernels.map(([key, count, ms]) => ({ key, count, ms }));
    return Promise.resolve({ ...times, kernels: profiles ? named : [], fingerprint: header.fingerprint });
  };
  const controller = new AbortController();
  const context = {
    file,
    random: new Random('calibrate'),
    draw: drawNetwork,
    observe,
    clock: { now: () => nowMs, sleep: () => Promise.resolve() },
    signal: signal ?? controller.signal,
  };
  return { file, asked, done: observeNetworks(context, budgetMs) };
}

describe('observing networks', () => {
  it('spends its budget on random networks, chosen ones and repeats, and adds to what the file has', async () => {
    const first = await calibrate('budget.ndjson', 20_000);
    await first.done;
    expect(first.file.observations).toHaveLength(20);
    const roles = first.file.observations.map(({ role }) => role);
    expect(roles.slice(0, 12)).toEqual(Array(12).fill('random'));
    expect(new Set(roles.slice(12))).toEqual(new Set(['random', 'chosen', 'repeat']));
    for (const [index, { profiles }] of first.asked.entries()) expect(profiles).toBe(roles[index] !== 'repeat');
    const repeat = first.file.observations.find(({ role }) => role === 'repeat');
    expect(
      first.file.observations.filter(({ spec }) => JSON.stringify(spec) === JSON.stringify(repeat?.spec)),
    ).toHaveLength(2);

    const again = await calibrate('budget.ndjson', 3000);
    await again.done;
    expect(again.file.observations).toHaveLength(23);
    expect(again.file.observations.slice(0, 20)).toEqual(first.file.observations);
  });

  it('draws the same networks whether it was interrupted or not', async () => {
    const whole = await calibrate('whole.ndjson', 6000);
    await whole.done;
    const part = await calibrate('part.ndjson', 6000, undefined, 2);
    await expect(part.done).rejects.toThrow(/interrupted/);
    expect(part.file.observations).toHaveLength(2);
    const rest = await calibrate('part.ndjson', 4000);
    await rest.done;
    expect(rest.file.observations.map(({ spec }) => spec)).toEqual(whole.file.observations.map(({ spec }) => spec));
  });
});

describe('a calibrated profile', () => {
  const identity = { id: 'here', threads: 1, fingerprint: header.fingerprint, seed: '0' };
  const random = new Random('profile');
  const observations = Array.from({ length: 14 }, (_, index) =>
    observed(drawNetwork(random.child(index)), random.child('noise', index)),
  );

  it('goes through its file without a change of what it foretells', () => {
    const profile = calibratedProfile(observations, identity, { maxPoints: 30, evidenceSamples: 30 });
    const again = parseProfile(parse(formatProfile(profile)), 'profile.yaml');
    const program = programOf(drawNetwork(random.child('other')), profile.fusion);
    const [before, after] = [profile, again].map((one) => predictLatency(program, one, 'fp32').latency);
    expect(after?.p50Ms).toBeCloseTo(before?.p50Ms ?? 0, 9);
    expect(after).toMatchObject({ calibrated: true, threads: 1, precision: 'fp32', accelerator: 'here' });
    expect(again.calibration).toMatchObject({ points: 14, agreement: 1, runtime: header.fingerprint.runtime });
    expect(calibratedProfile(observations, identity, { maxPoints: 30, evidenceSamples: 30 })).toEqual(profile);
  });

  it('is refused for fewer than ten networks', () => {
    expect(() => calibratedProfile(observations.slice(0, 9), identity)).toThrow(/at least 10 networks.*got 9/);
    expect(() => calibratedProfile([], identity)).toThrow(/expected an observation/);
  });
});
