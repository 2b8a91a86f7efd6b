import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SimulatedClock } from '../../core/clock.ts';
import { ConfigError } from '../../core/errors.ts';
import { bestReward, replaySearch, studyTable } from '../../study/replay.ts';
import { runStudy } from '../../study/study.ts';
import { resolveStudy } from '../../study/study-file.ts';
import { fileFolder } from '../cases/file-folder.ts';

const folder = fileFolder();
/** Accuracy and latency grow with depth and width; a training takes an hour a unit of depth; one row is missing. */
const depths = [1, 2, 3, 4];
const widths = [1, 2, 3, 4, 5];
const rows = depths.flatMap((depth) =>
  widths.map((width) => `${depth},${width},${0.5 + 0.05 * depth + 0.04 * width},${depth * width},${3600 * depth}`),
);
writeFileSync(join(folder, 'grid.csv'), ['depth,width,accuracy,ms,s', ...rows.slice(1)].join('\n'));

const study = (
  over: { readonly search?: object; readonly budget?: object; readonly limit?: string; readonly trainer?: object } = {},
) =>
  resolveStudy(
    {
      study: 'grid',
      search: { space: 'table', trials: 12, round: 4, controller: 'random', ...over.search },
      targets: { gpu: { device: 'cuda', ...(over.limit === undefined ? {} : { limit: over.limit }) } },
      family: { gpu: ['1x'] },
      trainer: over.trainer ?? {
        table: {
          file: 'grid.csv',
          key: ['depth', 'width'],
          metrics: { accuracy: 'accuracy', 'latencyMs.gpu': 'ms' },
          cost: 's',
        },
      },
      ...(over.budget === undefined ? {} : { budget: over.budget }),
    },
    join(folder, 'study.yaml'),
  );

async function replay(config: ReturnType<typeof study>, workers = 2, seed = 1) {
  const clock = new SimulatedClock(5000);
  const replayed = await replaySearch(config, studyTable(config), { seed, workers, clock });
  return { ...replayed, clockS: (clock.now() - 5000) / 1e3 };
}

const key = ({ metrics }: { metrics: Readonly<Record<string, number>> }) =>
  [metrics['accuracy'] ?? 0, metrics['latencyMs.gpu'] ?? 0] as const;

describe('a replayed search', () => {
  test('takes simulated time: as many trainings at once as there are workers, and a round waits for its last', async () => {
    const { trials, wallS, workS, clockS } = await replay(study());
    expect(trials).toHaveLength(12);
    expect(clockS).toBe(wallS);
    let now = 0;
    for (let round = 0; round < 3; round++) {
      const part = trials.slice(4 * round, 4 * round + 4);
      // By hand: each goes to the worker that is free first.
      const free = [now, now];
      for (const { choices, status, startedS, endedS } of part) {
        const hours = status === 'ok' ? 3600 * Number(choices['depth']) : 0;
        const worker = (free[0] ?? 0) <= (free[1] ?? 0) ? 0 : 1;
        expect(startedS).toBe(status === 'ok' ? free[worker] : now);
        expect(endedS).toBe(startedS + hours);
        if (status === 'ok') free[worker] = endedS;
      }
      now = Math.max(...free);
    }
    expect(wallS).toBe(now);
    expect(workS).toBe(trials.reduce((sum, { startedS, endedS }) => sum + endedS - startedS, 0));
  });

  test('more workers take less time over the same trials', async () => {
    const [one, four] = [await replay(study(), 1), await replay(study(), 4)];
    expect(four.trials.map(({ choices }) => choices)).toEqual(one.trials.map(({ choices }) => choices));
    expect(four.wallS).toBeLessThan(one.wallS / 2);
    expect(one.wallS).toBe(one.workS);
  });

  test('ends when the search’s share of the time budget is used, after the round under way', async () => {
    const { trials, wallS } = await replay(study({ budget: { time: '10h' }, search: { trials: 18 } }), 1);
    expect(trials.length).toBeLessThan(18);
    expect(trials.length % 4).toBe(0);
    expect(trials.at(-5)?.startedS ?? 0).toBeLessThan(0.4 * 36_000);
    expect(wallS).toBeGreaterThanOrEqual(0.4 * 36_000);
  });

  test('what is over a limit, or not in the table, is infeasible, says why, and costs no time', async () => {
    const { trials } = await replay(study({ limit: 'p50 < 6ms', search: { trials: 20, round: 20 } }));
    for (const { choices, status, reason, violation, startedS, endedS } of trials) {
      const ms = Number(choices['depth']) * Number(choices['width']);
      const isMissing = ms === 1;
      expect(status).toBe(isMissing || ms > 6 ? 'infeasible' : 'ok');
      if (status === 'ok') continue;
      expect(endedS).toBe(startedS);
      expect(reason).toMatch(isMissing ? /no such row/ : /ms on gpu against 6/);
      expect(violation).toBe(isMissing ? undefined : ms / 6 - 1);
    }
  });

  test('its front holds what no other trial beats, and its best the highest reward, the table’s when all is tried', async () => {
    const config = study({ search: { trials: 20, round: 5 } });
    const { front, best, trials } = await replay(config);
    for (const member of front) {
      const [accuracy, ms] = key(member);
      expect(trials.some((other) => other.status === 'ok' && key(other)[0] > accuracy && key(other)[1] <= ms)).toBe(
        false,
      );
    }
    expect(best?.reward).toBeCloseTo(bestReward(config, studyTable(config)) ?? 0, 12);
  });

  test('equal seeds replay alike, by every controller', async () => {
    for (const controller of ['bayesian', 'nsga2', 'evolution', 'reinforce', 'local', 'random']) {
      const config = study({ search: { controller } });
      expect(await replay(config)).toEqual(await replay(config));
    }
  });

  test('a table that lacks a target’s latency is refused', () => {
    const table = { file: 'grid.csv', key: ['depth'], metrics: { accuracy: 'accuracy' } };
    expect(() => studyTable(study({ trainer: { table } }))).toThrow(/expected latencyMs\.gpu/);
  });
});

describe('a study over a table', () => {
  test('is refused where networks would be trained, before anything is written', async () => {
    await expect(runStudy(study(), { folder: join(folder, 'runs') })).rejects.toThrow(/ridgepoint replay/);
  });

  test('needs its space, and the space a table', () => {
    expect(() => study({ search: { space: 'mobile' } })).toThrow(ConfigError);
    expect(() => study({ trainer: {} })).toThrow(/trainer\.table with search\.space nas-bench-201 or table/);
  });
});
