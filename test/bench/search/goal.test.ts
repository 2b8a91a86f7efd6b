import { expect, test } from 'vitest';
import { rankSumTest } from '../../../bench/search/rank-sum.ts';
import { median } from '../../../core/quantile.ts';
import { optuna, ourVolumes, tables } from './goal.ts';

const device = 'help_fpga';
const title =
  'the default has more hypervolume after 200 trials on NAS-Bench-201 than Optuna’s NSGA-II after 500 (20 seeds, false alarm below .01)';

if ('missing' in tables) test.skip(`${title}: ${tables.missing}`, () => {});
else {
  const task = tables.tasks.find((candidate) => candidate.device === device);
  test(
    title,
    () => {
      const peer = optuna[device]?.['Optuna nsga2'];
      if (!task || !peer) throw new Error(`expected ${device} in the table and the fixture`);
      const ours = ourVolumes(task, 20);
      expect(median(ours)).toBeGreaterThanOrEqual(0.92);
      expect(rankSumTest(ours, peer['500'] ?? [])).toBeLessThan(0.01);
    },
    600_000,
  ); // Half a minute of processor time.
}
