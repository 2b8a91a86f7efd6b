import { describe, expect, it } from 'vitest';
import { allocationLines, allocationSection, divisionText, forecastText } from '../../report/allocation.ts';
import { renderReport } from '../../report/html.ts';
import { summaryTable } from '../../report/terminal.ts';
import type { AllocatedSize, AllocationSummary } from '../../study/deliver/summary.ts';
import { studySummary } from './fixture.ts';

const size = (name: string, reached: number | null): AllocatedSize => ({
  target: 'cpu',
  size: name,
  examples: 24_000,
  passes: 3,
  flops: 6e12,
  seconds: 75,
  forecast: { crossEntropy: 1, lo: 0.95, hi: 1.1 },
  reached,
});
const byLaw: AllocationSummary = {
  split: 'law',
  because: '5e12 training FLOPs are left',
  sizes: [size('1x', 1.04), { ...size('2x', 0.9), examples: 9000 }, size('4x', null)],
  law: {
    name: 'tied',
    values: { A: 2.5, eta: 0.4 },
    unitMacs: 4000,
    trials: 21,
    meanError: 0.013,
    expected: { law: 2.9, even: 3 },
  },
  problem: null,
};
const evenly: AllocationSummary = {
  ...byLaw,
  split: 'even',
  sizes: [{ ...size('1x', 1.04), forecast: null }],
  law: null,
  problem: 'expected <3> amounts',
};

/** Without the spaces that keep numbers and units together. */
const plain = (text: string | null | undefined): string => (text ?? '').replaceAll(/[\u00a0\u202f\u2009]/g, ' ');

describe('a divided budget', () => {
  it('says what the law promised and how near it came', () => {
    expect(plain(divisionText(byLaw))).toMatch(/expected to take 0\.10 nats off the sum/);
    expect(divisionText({ ...byLaw, sizes: [size('1x', 1), size('2x', 1)] })).toMatch(/gives all sizes the same$/);
    expect(plain(forecastText(byLaw))).toBe("the law's losses were 7.0 % off; 1 of 2 sizes ended within the interval");
    expect(forecastText({ ...byLaw, sizes: [size('1x', null)] })).toBeNull();
    expect(forecastText(evenly)).toBeNull();
  });

  it('is a table in the report and lines in the terminal, with what each size reached', () => {
    const summary = { ...studySummary(), allocation: byLaw };
    const page = plain(renderReport(summary));
    expect(page).toMatch(/Training budget/);
    expect(page).toContain('24 000');
    expect(page).toContain('+4.0 %');
    expect(page).toContain('−10.0 %');
    expect(page).toMatch(/A 2\.500, eta 0\.4000; N in units of 4\.00 k/);
    expect(plain(allocationLines(summary)[1])).toMatch(
      /^ {2}1x .*1 min 15 s each, loss 1\.000 expected, 1\.040 reached$/,
    );
    expect(plain(allocationLines(summary)[3])).toMatch(/loss 1\.000 expected$/);
    expect(summaryTable(summary)).toMatch(/1 of 2 sizes ended within the\s+interval/);
  });

  it('evenly says why, and nothing is there without a budget', () => {
    const summary = { ...studySummary(), allocation: evenly };
    expect(renderReport(summary)).toMatch(
      /divided evenly, for the trials do not identify a law of the loss: expected &lt;3&gt; amounts/,
    );
    expect(allocationLines(summary)).toHaveLength(2);
    expect(allocationSection(studySummary())).toBeNull();
    expect(allocationLines(studySummary())).toEqual([]);
  });
});
