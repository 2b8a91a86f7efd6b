import { describe, expect, it } from 'vitest';
import { curvesChart } from '../../report/curves.ts';
import { familyChart } from '../../report/family-chart.ts';
import { rungChart } from '../../report/rungs.ts';
import { searchChart } from '../../report/search-chart.ts';
import { xyChart } from '../../report/xy-chart.ts';
import type { StudySummary, TargetSummary } from '../../study/deliver/summary.ts';
import { member, studySummary } from './fixture.ts';

/** Tick labels of the axis of a chart that stands upright, from the lowest. */
function ticksOfY(chart: string | undefined): readonly number[] {
  return [...(chart ?? '').matchAll(/text-anchor="end" class="soft">(-?[\d.]+)<\/text>/g)].map(([, text]) =>
    Number(text),
  );
}

function targetOf(accuracies: readonly (readonly number[])[]): TargetSummary {
  const [target] = studySummary().targets as [TargetSummary];
  const members = accuracies.map((values, index) => member(`${2 ** index}x`, 0.4 * 2 ** index, values));
  return { ...target, lines: [{ kind: 'family', name: 'ridgepoint', members }] };
}

function withAccuracies(accuracy: number): StudySummary {
  const summary = studySummary();
  return {
    ...summary,
    trials: summary.trials.map((trial) => (trial.accuracy === undefined ? trial : { ...trial, accuracy })),
  };
}

describe('an axis of accuracy', () => {
  it.each([
    ['of a single network', [[1]]],
    [
      'of error bars beyond them',
      [
        [0.01, 0, 0.4],
        [0.9, 1, 1],
      ],
    ],
    ['of nothing right', [[0, 0]]],
  ])('stays between 0 and 100 %%: %s', (_, accuracies) => {
    const chart = familyChart(targetOf(accuracies))?.markup;
    const ticks = ticksOfY(chart);
    expect(ticks.length).toBeGreaterThan(1);
    expect(Math.min(...ticks)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...ticks)).toBeLessThanOrEqual(100);
    // The legend is 18 px high, the title stands in 28 more: nothing is drawn above the plot, nor below it.
    const heights = [...(chart ?? '').matchAll(/ y[12]="(-?[\d.]+)"/g)].map(([, y]) => Number(y));
    expect(Math.min(...heights)).toBeGreaterThanOrEqual(18 + 28 - 8);
    expect(Math.max(...heights)).toBeLessThanOrEqual(380 - 44 + 5);
  });

  it('stays so in every figure', () => {
    const summary = withAccuracies(1);
    const [target] = summary.targets as [TargetSummary];
    const trials = summary.trials.map(({ id }) => id);
    const rung = { examples: 8000, trials, trained: 60, promoted: [], trainS: 1, rankCorrelation: null };
    const curve = [1, 2].map((examples) => ({ examples, loss: 0, accuracy: 1 }));
    const figures = [
      searchChart(summary, target),
      rungChart(summary, target, rung),
      curvesChart([{ size: '1x', curve }], 'accuracy'),
      xyChart('c', { title: 'ms', log: true }, { title: 'top-1 (%)', log: false, within: [0, 100] }, [
        { name: 'networks', kind: 'points', points: [[1, 100]] },
      ]),
    ];
    for (const figure of figures) expect(Math.max(...ticksOfY(figure?.markup))).toBe(100);
  });
});
