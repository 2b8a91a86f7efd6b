import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileFolder } from '../cases/file-folder.ts';
import { ridgepoint } from './ridgepoint.ts';

const cwd = fileFolder();
const values = [1, 2, 3, 4, 5, 6];
writeFileSync(
  join(cwd, 'grid.csv'),
  ['a,b,accuracy,ms,s', ...values.flatMap((a) => values.map((b) => `${a},${b},${0.5 + 0.05 * a},${a + b},3600`))].join(
    '\n',
  ),
);
writeFileSync(
  join(cwd, 'study.yaml'),
  `study: grid
search: {space: table, trials: 8}
targets: {gpu: {device: 1080ti, limit: p50 < 40ms}}
trainer: {parallel: 2, table: {file: grid.csv, key: [a, b], metrics: {accuracy: accuracy, latencyMs.gpu: ms}, cost: s}}
`,
);

describe('ridgepoint replay', () => {
  it('replays searches that would take hours, and says what they would find and cost', async () => {
    const { code, stdout } = await ridgepoint(['replay', 'study.yaml', '--seeds', '3', '--json'], cwd);
    expect(code).toBe(0);
    const { replays, workers } = JSON.parse(stdout) as {
      readonly workers: number;
      readonly replays: readonly { readonly wallS: number; readonly trials: readonly object[] }[];
    };
    expect(workers).toBe(2);
    expect(replays.map(({ trials }) => trials.length)).toEqual([8, 8, 8]);
    for (const { wallS } of replays) expect(wallS).toBe(4 * 3600);
  });

  it('prints a row for a quarter, a half and all of the trials', async () => {
    const { code, stdout } = await ridgepoint(['replay', 'study.yaml', '--seeds', '2', '--workers', '4'], cwd);
    expect(code).toBe(0);
    expect(stdout).toMatch(/2 trials .*\n.*4 trials .*\n.*8 trials +2\.000 \(2\.000 … 2\.000\) h +reward/);
  });

  it('counts the trials that there were where the time ends a search early', async () => {
    const study = readFileSync(join(cwd, 'study.yaml'), 'utf8');
    // The search has four of ten hours, in which two at a time train for an hour each.
    const short = `${study.replace('trials: 8', 'trials: 30, round: 2')}budget: {time: 10h}\n`;
    writeFileSync(join(cwd, 'short.yaml'), short);
    const { code, stdout } = await ridgepoint(['replay', 'short.yaml', '--seeds', '2'], cwd);
    expect(code).toBe(0);
    expect(stdout.match(/\d+ trials/g)).toEqual(['2 trials', '4 trials', '8 trials']);
  });

  it('refuses a study that trains, and search refuses one that does not', async () => {
    writeFileSync(join(cwd, 'trains.yaml'), 'study: trains\n');
    const trains = await ridgepoint(['replay', 'trains.yaml'], cwd);
    expect(trains).toMatchObject({ code: 2, stdout: '' });
    expect(trains.stderr).toMatch(/trainer\.table/);
    for (const more of [[], ['--dry-run']]) {
      const searches = await ridgepoint(['search', 'study.yaml', ...more], cwd);
      expect(searches.code).toBe(2);
      expect(searches.stderr).toMatch(/ridgepoint replay/);
    }
  });
});
