import { describe, expect, it } from 'vitest';
import { summaryTable } from '../../report/terminal.ts';
import { prediction, studySummary } from './fixture.ts';

describe('closing table', () => {
  it('fits ninety columns, in plain spaces', () => {
    for (const summary of [studySummary({ targets: 2, rules: 2 }), studySummary({ finished: false })]) {
      const text = summaryTable(summary);
      for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(90);
      expect(text).not.toMatch(/[\u00a0\u202f]/);
    }
  });

  it('aligns a row for each network', () => {
    const lines = summaryTable(studySummary({ rules: 0 })).split('\n');
    expect(lines).toContainEqual(expect.stringMatching(/^ {2}2x .* 76\.8 ± 0\.7 .* 0\.830 .* stable .* met /));
    const rows = lines.filter((line) => /^ {2}(size|[124]x) /.test(line));
    expect(new Set(rows.map((row) => row.length)).size).toBe(1);
    expect(rows).toHaveLength(4);
  });

  it('says where the report is, and the family once there is one', () => {
    expect(summaryTable(studySummary(), 'out/first')).toMatch(
      /out\/first\/report\.html\nfamily {2}out\/first\/family\/$/,
    );
    expect(summaryTable(studySummary({ finished: false }))).not.toContain('family/');
  });

  it('says how many networks each rung of a search had, and how many went on', () => {
    const rungs = [
      {
        examples: 2000,
        trials: ['t0001', 't0002', 't0003'],
        trained: 2,
        promoted: ['t0001'],
        trainS: 90,
        rankCorrelation: 0.75,
      },
      { examples: 6000, trials: ['t0004'], trained: 1, promoted: [], trainS: 60, rankCorrelation: null },
    ];
    const text = summaryTable({ ...studySummary(), rungs });
    for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(90);
    const flowing = text.replaceAll(/\s+/g, ' ');
    expect(flowing).toContain(
      "rung of 2 000 examples: 2 of 3 networks trained in 1 min 30 s, 1 went on; among these, its ranks correlate 0.75 with the next rung's",
    );
    expect(flowing).toMatch(/rung of 6 000 examples: 1 of 1 network trained in 1 min 00 s /);
  });

  it('says where latencies are from, and how far prediction was off', () => {
    const summary = studySummary();
    const targets = summary.targets.map((target) => ({ ...target, prediction }));
    const text = summaryTable({ ...summary, targets });
    for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(90);
    const flowing = text.replaceAll(/\s+/g, ' ');
    expect(flowing).toContain('cpu: batch 1, 1 thread, limit p50 < 2 ms, latency measured');
    expect(flowing).toContain(
      'predictions by my-cpu (calibrated) beside measurements of 14 networks: median error 6.2 %, 71 % within ± 10 %, ' +
        'rank correlation 0.96; 9 networks refused by prediction alone, 3 more measured as a sample, 0 of them within the ' +
        'limit (with 95 % confidence at most 63 % of refusals are wrong)',
    );
  });

  it('shows warnings', () => {
    expect(summaryTable(studySummary())).toContain('warning: cpu 4x: latency is unstable');
  });
});
