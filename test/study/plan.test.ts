import { describe, expect, it } from 'vitest';
import { describePlan, planStudy } from '../../study/plan.ts';
import { issuedIn, powerLaw, scaledEvents, scalingStudy } from './scaled-study.ts';
import { smallStudy } from './small-study.ts';

it('planning a study renders none of its pictures', { timeout: 30_000 }, async () => {
  // Rendering these takes minutes.
  const plan = await planStudy(smallStudy({ data: { format: 'rendered', resolution: 32, train: 500_000 } }));
  expect(plan.candidate.macs).toBeGreaterThan(0);
});

const largePictures = { format: 'rendered', classes: 4, train: 200, test: 50, resolution: 32 };

it('a study whose base is given searches nothing: the base is trained once', async () => {
  const config = smallStudy({ base: 'resnet-18', data: largePictures });
  const { spaceSize, candidate, trainings } = await planStudy(config);
  expect(spaceSize).toBeNull();
  expect(trainings.search).toEqual({ networks: 1, examples: 100, flops: 100 * 6 * candidate.macs });
  const text = await describePlan(config, { json: false });
  expect(text).toMatch(
    /\nbase: resnet-18 has \d+ parameters and \d+ multiply-adds\n {2}search {2}up to {4}1 training of 100 /,
  );
  expect(text).not.toMatch(/\nspace: /);
});

it('a base that does not fit the data is refused as the study would', async () => {
  const plan = planStudy(
    scalingStudy({ data: { format: 'rendered', classes: 3, train: 200, test: 50, resolution: 48 } }),
  );
  await expect(plan).rejects.toThrow(/expected 3 classes, .* got 4/);
});

describe('a study plans what its rule of scaling trains, and no more:', () => {
  const family = { edge: ['1x', '2x', '4x'] };
  it.each([
    ['per-size', 1 + 2 * (4 + 3), 2 * (3 + 2 * (2 - 1))],
    ['single-triple', 1 + 2 * (4 + 2), 2 * 3],
    ['dWr', 1, 2 * 3],
  ])('%s', async (rule, scaled, trained) => {
    const config = scalingStudy({
      family,
      scale: { rule, trials: 4, examples: 100, finalists: 2, seeds: 2 },
      final: { examples: 200, seeds: 2, baselines: [] },
    });
    const { scale, train } = (await planStudy(config)).trainings;
    expect([scale.networks, train.networks]).toEqual([scaled, trained]);
    const events = await scaledEvents(config, powerLaw(1, { depth: 0.9, width: 1.2, resolution: 1.7 }), {
      last: ({ type, id }) => type === 'phase' && id === 'deliver',
    });
    expect(issuedIn(events, 'search')).toHaveLength(1);
    expect(issuedIn(events, 'scale').length).toBeLessThanOrEqual(scaled);
    expect(issuedIn(events, 'train').length).toBeLessThanOrEqual(trained);
  });
});
