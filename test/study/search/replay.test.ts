import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SimulatedClock } from '../../../core/clock.ts';
import { ConfigError } from '../../../core/errors.ts';
import { bestReward, replaySearch, studyTable, tableTransfer } from '../../../study/search/replay.ts';
import { runStudy } from '../../../study/study.ts';
import { resolveStudy } from '../../../study/resolve-study.ts';
import { fileFolder } from '../../cases/file-folder.ts';

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

  test('over a table of some of the points, tries its rows alone where the study says so', async () => {
    const some = ['depth,width,accuracy,ms', '1,5,0.7,5', '4,1,0.72,4', '2,3,0.74,6', '3,2,0.8,7', '4,5,0.9,20'];
    writeFileSync(join(folder, 'some.csv'), some.join('\n'));
    const metrics = { accuracy: 'accuracy', 'latencyMs.gpu': 'ms' };
    const table = { file: 'some.csv', key: ['depth', 'width'], metrics };
    const over = (absent: object) =>
      replay(study({ search: { trials: 5, round: 2 }, trainer: { table: { ...table, ...absent } } }));
    const statuses = async (absent: object) => (await over(absent)).trials.map(({ status }) => status);
    expect(await statuses({ absent: 'nearest' })).toEqual(['ok', 'ok', 'ok', 'ok', 'ok']);
    const { trials } = await over({ absent: 'nearest' });
    expect(new Set(trials.map(({ metrics: { accuracy } }) => accuracy)).size).toBe(5);
    expect(await statuses({})).toContain('infeasible');
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

/** Share of their time that four workers train. */
const busy = ({ workS, wallS }: { workS: number; wallS: number }) => workS / (4 * wallS);

describe('a replayed search over rungs', () => {
  // After a tenth of the time everything is less accurate by .3, and .01 is noise.
  const short = rows.slice(1).map((row, index) => {
    const [depth, width, accuracy, ms, s] = row.split(',').map(Number) as [number, number, number, number, number];
    return `${depth},${width},${accuracy},${accuracy - 0.3 + 0.01 * (index % 2)},${ms},${s},${s / 10}`;
  });
  writeFileSync(join(folder, 'rungs.csv'), ['depth,width,accuracy,early,ms,s,early_s', ...short].join('\n'));
  const table = {
    file: 'rungs.csv',
    key: ['depth', 'width'],
    metrics: { accuracy: ['early', 'accuracy'], 'latencyMs.gpu': 'ms' },
    cost: ['early_s', 's'],
  };
  const search = { trials: 18, examples: [100, 1000], finalists: 2 };
  const overRungs = (over: object = {}, keys: object = {}) =>
    study({ search: { ...search, ...over }, trainer: { table: { ...table, ...keys } } });
  const replayed = async (rolling: boolean, workers: number) => {
    const config = overRungs();
    const clock = new SimulatedClock(0);
    return replaySearch(config, studyTable(config), { seed: 1, workers, clock, rolling });
  };

  test.each([false, true])(
    'takes accuracy and seconds of the rung, and its best from the highest (rolling: %s)',
    async (rolling) => {
      const { trials, best, front, workS } = await replayed(rolling, 3);
      const [low, top] = [0, 1].map((rung) => trials.filter((trial) => trial.rung === rung && trial.status === 'ok'));
      expect(trials.filter(({ rung }) => rung === 0)).toHaveLength(18);
      expect(top?.length).toBeGreaterThanOrEqual(2);
      expect(top?.length).toBeLessThan(9);
      for (const { network, choices, metrics, endedS, startedS } of top ?? []) {
        const below = low?.find((trial) => trial.id === network);
        expect(below?.choices).toEqual(choices);
        expect(below?.endedS).toBeLessThanOrEqual(startedS);
        expect((metrics['accuracy'] ?? 0) - (below?.metrics['accuracy'] ?? 0)).toBeGreaterThan(0.28);
        expect(endedS - startedS).toBeCloseTo(10 * ((below?.endedS ?? 0) - (below?.startedS ?? 0)), 6);
      }
      expect(best?.rung).toBe(1);
      for (const { rung } of front) expect(rung).toBe(1);
      expect(workS).toBeCloseTo(
        trials.reduce((sum, { startedS, endedS }) => sum + endedS - startedS, 0),
        6,
      );
    },
  );

  test('rolling, workers never wait for the longest training', async () => {
    const [rounds, rolling] = [await replayed(false, 4), await replayed(true, 4)];
    expect(busy(rolling)).toBeGreaterThan(busy(rounds));
    // No worker does two things at once.
    for (const { startedS } of rolling.trials)
      expect(
        rolling.trials.filter((other) => other.startedS <= startedS && startedS < other.endedS).length,
      ).toBeLessThanOrEqual(4);
  });

  test('with one worker, rolling with one under way is rounds of one', async () => {
    const config = overRungs({ round: 1 });
    const [rounds, rolling] = await Promise.all(
      [false, true].map((isRolling) =>
        replaySearch(config, studyTable(config), {
          seed: 3,
          workers: 1,
          clock: new SimulatedClock(0),
          rolling: isRolling,
        }),
      ),
    );
    expect(rolling?.trials).toEqual(rounds?.trials);
  });

  test('a list that is not a column for each rung is refused', () => {
    expect(() => studyTable(overRungs({ examples: [100, 300, 900] }))).toThrow(
      /trainer\.table\.metrics\.accuracy: expected a column for each of the 3 rungs of search\.examples, got 2/,
    );
    expect(() => studyTable(overRungs({}, { cost: ['s'] }))).toThrow(/trainer\.table\.cost: .* 2 rungs .* got 1/);
  });
});

describe('a table with several targets', () => {
  // Each device is fast for what is slow on the other, and a third network is neither's best.
  const rows = ['a,0.8,1,20', 'b,0.8,20,1', 'c,0.79,3,3', 'd,0.5,2,2'];
  writeFileSync(join(folder, 'two.csv'), ['name,accuracy,x,y', ...rows].join('\n'));
  const two = (across: string) =>
    resolveStudy(
      {
        study: 'two',
        search: { space: 'table', trials: 4, controller: 'random', across },
        targets: { x: { device: 'cuda' }, y: { device: 'cpu' } },
        family: { x: ['1x'], y: ['1x'] },
        trainer: {
          table: {
            file: 'two.csv',
            key: 'name',
            metrics: { accuracy: 'accuracy', 'latencyMs.x': 'x', 'latencyMs.y': 'y' },
          },
        },
      },
      join(folder, 'two.yaml'),
    );

  test('its base is the one that is least bad on all of them', async () => {
    expect((await replay(two('least-regret'))).best?.choices).toEqual({ name: 'c' });
  });

  test('one target’s front on the other is told of', () => {
    const config = two('least-regret');
    const [row] = tableTransfer(config, studyTable(config)) ?? [];
    // x's front is a alone, and y's is b alone.
    expect(row).toMatchObject([
      { overlap: 1, meanLoss: 0 },
      { overlap: 0, meanLoss: 0, slowdown: expect.closeTo(20, 9) },
    ]);
    const one = study();
    expect(tableTransfer(one, studyTable(one))).toBeUndefined();
  });
});
