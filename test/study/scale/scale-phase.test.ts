import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { fingerprint } from '../../../latency/fingerprint.ts';
import type { Latency } from '../../../latency/latency.ts';
import { type NetworkSpec, specDigest } from '../../../models/spec.ts';
import { realisedMultipliers } from '../../../scaling/apply.ts';
import type { EventOf, JournalEvent } from '../../../study/journal/events.ts';
import { elasticityId } from '../../../study/scale/scalings.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { smallBase } from '../../scaling/base.ts';
import { FakeMeter } from '../fake-meter.ts';
import { scalingStudy } from '../scaled-study.ts';
import { eventsUntil, smallStudy } from '../small-study.ts';

const base: NetworkSpec = { ...smallBase(24), classes: 4 };
const basePath = join(fileFolder(), 'base.yaml');
writeFileSync(basePath, stringify(base));

const isTraining = ({ type, id }: JournalEvent) => type === 'phase' && id === 'train';

/** Scales the base, to twice its latency unless told otherwise; proposals after the design measure `penalty(n)` times what the design promised. */
async function scaled(
  penalty: (proposal: number, promisedMs: number) => number,
  { trials = 1, grown = ['2x'] }: { trials?: number; grown?: string[] } = {},
) {
  const config = smallStudy({
    data: { format: 'rendered', classes: 4, train: 200, test: 50, resolution: 48 },
    base: basePath,
    targets: { edge: { device: 'cpu' } },
    family: { edge: ['1x', ...grown] },
    scale: { trials, round: 1, examples: 100, finalists: 1, seeds: 1 },
    final: { examples: 200, seeds: 1, baselines: [] },
  });
  let isDesigned = false;
  const seen = new Set<string>();
  const proposals: string[] = [];
  const meter = new FakeMeter((spec) => {
    const { depth, width, resolution } = realisedMultipliers(base, spec);
    const ms = 0.5 * depth ** 0.9 * width ** 1.2 * resolution ** 1.7;
    const digest = specDigest(spec);
    if (!isDesigned || seen.has(digest)) {
      seen.add(digest);
      return ms;
    }
    proposals.push(digest);
    return ms * penalty(proposals.length, ms);
  });
  const events = await eventsUntil(config, isTraining, {
    makeMeter: () => meter,
    onEvent: ({ type, id }) => {
      if (type === 'decision' && id === elasticityId('edge')) isDesigned = true;
    },
  });
  const trained = events
    .filter((event): event is EventOf<'issued'> => event.type === 'issued' && event.phase === 'scale')
    .map((event) => event.specDigest)
    .filter((digest) => digest !== specDigest(base));
  return { events, proposals, trained };
}

describe('proposals for a size', () => {
  it('that fit are trained, one attempt a round', async () => {
    const { proposals, trained } = await scaled(() => 1, { trials: 2 });
    expect(trained).toHaveLength(2);
    expect(proposals).toEqual(trained);
  });

  it('that all measure above it are asked for again before anything is trained, for other sizes too', async () => {
    // The first proposal, for 2x, comes out too slow; the one for 4x and the next for 2x keep their promise.
    const { events, proposals, trained } = await scaled((proposal) => (proposal === 1 ? 1.5 : 1), {
      grown: ['2x', '4x'],
    });
    expect(proposals).toHaveLength(3);
    expect(new Set(trained)).toEqual(new Set(proposals.slice(1)));
    const measuredAgain = events.findIndex(({ type, id }) => type === 'measured' && id === `edge ${proposals[2]}`);
    const firstTrained = events.findIndex((event) => event.type === 'issued' && trained.includes(event.specDigest));
    expect(measuredAgain).toBeGreaterThan(0);
    expect(firstTrained).toBeGreaterThan(measuredAgain);
  });

  it('are asked for three times a round at most, and rounds are bounded: the size then holds the base', async () => {
    const { events, proposals, trained } = await scaled((_, promisedMs) => 1.05 / promisedMs);
    expect(trained).toEqual([]);
    // The size is 1 ms. Three rounds for each trial wanted, three attempts each.
    expect(proposals.length).toBeGreaterThan(3);
    expect(proposals.length).toBeLessThanOrEqual(9);
    const chosen = events.flatMap((event) =>
      event.type === 'decision' && event.id === 'scaling edge family 2x'
        ? (event.value as { finalists: { digest: string }[] }).finalists
        : [],
    );
    expect(chosen.map(({ digest }) => digest)).toEqual([specDigest(base)]);
  });

  it('come from exponents that the journal holds, with their intervals', async () => {
    const { events } = await scaled(() => 1);
    const decision = events.find((event) => event.type === 'decision' && event.id === elasticityId('edge'));
    expect(decision?.type === 'decision' && decision.value).toMatchObject({
      determined: true,
      exponents: {
        depth: { value: expect.closeTo(0.9, 6) },
        width: { value: expect.closeTo(1.2, 6) },
        resolution: { value: expect.closeTo(1.7, 6) },
      },
    });
  });
});

describe('the base’s latency, which sizes are multiples of', () => {
  it.each([
    ['thoroughly, three times while it is unstable', {}, 3],
    ['no more than a candidate’s where a driver emulates the device', { software: 'SwiftShader' }, 0],
  ])('is measured %s', async (_, driver, attempts) => {
    class UnstableMeter extends FakeMeter {
      override async measureSpec(...asked: Parameters<FakeMeter['measureSpec']>): Promise<Latency> {
        const latency = await super.measureSpec(...asked);
        return { ...latency, stable: false, fingerprint: { ...fingerprint('cpu'), ...driver } };
      }
    }
    const events = await eventsUntil(scalingStudy({ family: { edge: ['1x'] } }), isTraining, {
      makeMeter: () => new UnstableMeter(() => 1),
    });
    const measured = events.filter(({ type, id }) => type === 'measured' && id.startsWith('base edge '));
    expect(measured).toHaveLength(attempts);
  });
});
