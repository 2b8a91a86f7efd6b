import { describe, expect, it } from 'vitest';
import { familyCsv, paretoCsv, trialsCsv } from '../../report/tables.ts';
import type { TrialSummary } from '../../study/deliver/summary.ts';
import { studySummary } from './fixture.ts';

/** RFC 4180, read independently of the writer. */
function parseCsv(text: string): readonly (readonly string[])[] {
  const rows: string[][] = [[]];
  const field = /(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n|$)/gy;
  while (field.lastIndex < text.length) {
    const match = field.exec(text);
    if (!match) throw new Error(`not CSV at ${field.lastIndex}`);
    rows.at(-1)?.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
    if (match[3] === '\n') rows.push([]);
  }
  return rows.slice(0, -1);
}

describe('trials.csv', () => {
  it('has exactly the columns of the contract, a latency a target', () => {
    expect(trialsCsv(studySummary({ targets: 2 })).split('\n')[0]).toBe(
      'id,phase,candidate,status,reason,fidelity_examples,accuracy,cross_entropy,' +
        'latency_ms.cpu,latency_ms.gateway,cost_s,started,ended',
    );
  });

  it('has a row a trial, with choices as JSON, costs in seconds and ISO times', () => {
    const summary = studySummary();
    const [, first, ...rest] = parseCsv(trialsCsv(summary));
    expect(rest).toHaveLength(summary.trials.length - 1);
    expect(first?.[0]).toBe('t0001');
    expect(JSON.parse(first?.[2] ?? '')).toEqual(summary.trials[0]?.choices);
    expect(first?.slice(-3)).toEqual(['1.05', '2026-11-03T14:05:00.000Z', '2026-11-03T14:05:01.100Z']);
  });

  it('leaves empty what is not known', () => {
    const issued = parseCsv(trialsCsv(studySummary({ finished: false }))).at(-1);
    expect(issued?.slice(3)).toEqual(['issued', '', '8000', '', '', '', '', expect.stringMatching(/^2026-/), '']);
  });

  it('quotes commas, quotes and line breaks so that they are read back', () => {
    const reason = 'said "no",\nthen left';
    const summary = studySummary();
    const trials = summary.trials.map((trial): TrialSummary => ({ ...trial, reason }));
    const text = trialsCsv({ ...summary, trials });
    expect(text).toContain('"said ""no"",\nthen left"');
    for (const row of parseCsv(text).slice(1)) {
      expect(row).toHaveLength(12);
      expect(row[4]).toBe(reason);
    }
  });
});

it('pareto.csv holds the front, fastest first', () => {
  const summary = studySummary();
  const [header, ...rows] = parseCsv(paretoCsv(summary));
  const column = header?.indexOf('latency_ms.cpu') ?? -1;
  const latencies = rows.map((row) => Number(row[column]));
  expect(rows).toHaveLength(summary.trials.filter((trial) => trial.onFront).length);
  expect(latencies).toEqual(latencies.toSorted((a, b) => a - b));
});

it('family.csv holds every network of every line and target', () => {
  const [header, ...rows] = parseCsv(familyCsv(studySummary({ targets: 2, rules: 2 })));
  expect(rows).toHaveLength(2 * (3 + 3 + 3 + 1));
  for (const row of rows) expect(row).toHaveLength(header?.length ?? 0);
  const at = (row: readonly string[], name: string): string | undefined => row[header?.indexOf(name) ?? -1];
  const large = rows.find((row) => at(row, 'line') === 'family' && at(row, 'size') === '4x') ?? [];
  expect([at(large, 'width'), at(large, 'seeds'), at(large, 'p99_ms'), at(large, 'stable'), at(large, 'file')]).toEqual(
    ['1.5', '3', '', 'false', 'family/cpu/4x/model.onnx'],
  );
});
