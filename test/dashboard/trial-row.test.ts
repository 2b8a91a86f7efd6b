import { describe, expect, it } from 'vitest';
import { queryText, selectTrials, trialQuery, type TrialRow } from '../../dashboard/trial-row.ts';

const row = (index: number, overrides: Partial<TrialRow> = {}): TrialRow => ({
  id: `t${String(index).padStart(4, '0')}`,
  phase: 'search',
  by: 'evolution',
  because: 'round 1 of the search',
  specDigest: '',
  examples: 100,
  seed: 0,
  status: 'ok',
  latencyMs: {},
  startedMs: index,
  changed: index,
  ...overrides,
});
const rows = [
  row(1, { accuracy: 0.5, latencyMs: { cpu: 3 } }),
  row(2, { status: 'failed', reason: 'environment: disk full', latencyMs: { cpu: 1 } }),
  row(3, { accuracy: 0.7, phase: 'scale', by: 'scaling', latencyMs: { cpu: 2 } }),
  row(4, { status: 'issued' }),
  row(5, { accuracy: 0.5 }),
];
const front = new Set(['t0003']);
const idsOf = (query: string): string =>
  selectTrials(rows, trialQuery(new URLSearchParams(query)), front)
    .map(({ id }) => id.slice(-1))
    .join('');

describe('the trials a person asks for', () => {
  it.each([
    ['', '54321'],
    ['sort=id', '12345'],
    ['sort=-accuracy', '31524'],
    ['sort=accuracy', '15324'],
    ['sort=latency:cpu', '23145'],
    ['sort=-latency:cpu', '13245'],
    ['sort=latency:tpu', '12345'],
    ['sort=nonsense', '54321'],
    ['sort=constructor', '54321'],
    ['phase=scale', '3'],
    ['status=failed', '2'],
    ['status=issued', '4'],
    ['front=1', '3'],
    ['q=DISK', '2'],
    ['q=scaling', '3'],
    ['q=t0004', '4'],
    ['q=nothing of the kind', ''],
    ['status=ok&sort=accuracy&q=evolution', '15'],
  ])('%s', (query, expected) => expect(idsOf(query)).toBe(expected));

  it('are asked for by an address that says the same again', () => {
    const asked = '?phase=scale&status=ok&front=1&q=a+b&sort=-accuracy&page=3';
    expect(queryText(trialQuery(new URLSearchParams(asked)))).toBe(asked);
    for (const page of ['0', '-1', '1.5', 'x', '1e99'])
      expect(queryText(trialQuery(new URLSearchParams({ page })))).toBe('');
  });
});
