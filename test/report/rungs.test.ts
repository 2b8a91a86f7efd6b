import { describe, expect, it } from 'vitest';
import { renderReport } from '../../report/html.ts';
import { rungChart } from '../../report/rungs.ts';
import { searchChart } from '../../report/search-chart.ts';
import type { RungSummary, StudySummary, TargetSummary } from '../../study/deliver/summary.ts';
import { studySummary } from './fixture.ts';

const rung = (examples: number, trials: readonly string[], promoted: readonly string[]): RungSummary => ({
  examples,
  trials,
  trained: trials.length,
  promoted,
  trainS: 10,
  rankCorrelation: null,
});

/** The fixture's study with its first ten scored trials at a lower rung, a third of which went on to the others. */
function overRungs(): StudySummary {
  const summary = studySummary();
  const scored = summary.trials.filter(({ accuracy }) => accuracy !== undefined).map(({ id }) => id);
  const lower = new Set(scored.slice(0, 10));
  return {
    ...summary,
    trials: summary.trials.map((trial) =>
      lower.has(trial.id) ? { ...trial, fidelityExamples: 2000, onFront: false } : trial,
    ),
    rungs: [rung(2000, [...lower], scored.slice(0, 3)), rung(8000, scored.slice(10), [])],
  };
}

const targetOf = (summary: StudySummary) => summary.targets[0] as TargetSummary;
const ids = (markup: string) => new Set(markup.match(/t\d{4}/g));

describe('the report of a search over rungs', () => {
  it('never draws accuracies of two rungs on one axis', () => {
    const summary = overRungs();
    const [low, top] = summary.rungs as [RungSummary, RungSummary];
    const main = ids(searchChart(summary, targetOf(summary))?.markup ?? '');
    for (const id of low.trials) expect(main).not.toContain(id);
    for (const id of top.trials) expect(main).toContain(id);
    expect(ids(rungChart(summary, targetOf(summary), low)?.markup ?? '')).toEqual(new Set(low.trials));
  });

  it('draws a finalist once, whatever seeds it was trained with', () => {
    const summary = studySummary();
    const [first, ...others] = summary.trials.filter(
      ({ phase, accuracy }) => phase === 'search' && accuracy !== undefined,
    );
    const again = summary.trials.map((trial) => (trial === first ? { ...trial, seed: summary.seed + 1 } : trial));
    const drawn = ids(searchChart({ ...summary, trials: again }, targetOf(summary))?.markup ?? '');
    expect(drawn).not.toContain(first?.id);
    expect(drawn).toContain(others[0]?.id);
  });

  it('shows each lower rung by itself, on an axis that says after how many examples', () => {
    const html = renderReport(overRungs());
    expect(html).toContain('top-1 after 2\u202f000 examples (%)');
    expect(html).toContain('hold-out top-1 after 8\u202f000 examples (%)');
    expect(html).toMatch(/10 of 10.networks trained/);
    expect(html).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('says nothing of rungs where there is one', () => {
    expect(renderReport(studySummary())).not.toContain('Rungs');
  });
});
