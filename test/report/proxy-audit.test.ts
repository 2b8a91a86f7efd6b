import { describe, expect, it } from 'vitest';
import { auditChart, auditNotes, auditTables, proxySection, proxyVerdict } from '../../report/proxy-audit.ts';
import type { AuditedProxy, ProxyAudit } from '../../study/search/proxy-audit.ts';
import { renderReport } from '../../report/html.ts';
import { studySummary } from './fixture.ts';

const quality = (
  networks: number,
  value: number,
  interval: { lo: number; hi: number } | null,
): AuditedProxy['quality'] => ({
  networks,
  kendall: { value, interval },
  spearman: { value, interval: null },
  regrets: [{ chosen: 1, value: 0.012, lo: 0, hi: 0.03, chance: 0.04 }],
});
const macs: AuditedProxy = {
  proxy: 'MACs',
  truth: 'accuracy after 6000 examples',
  kind: 'accuracy',
  decided: null,
  quality: quality(20, -0.34, { lo: -0.6, hi: 0.02 }),
};
const seed: AuditedProxy = {
  ...macs,
  proxy: 'one <seed>',
  decided: 'the finalists',
  quality: quality(20, 0.5, { lo: 0.2, hi: 0.7 }),
};
const latency: AuditedProxy = {
  ...macs,
  truth: 'p50 on cpu',
  kind: 'latency',
  quality: { ...quality(3, 1, null), regrets: [] },
};
const audit: ProxyAudit = {
  proxies: [macs, seed, latency],
  seedSd: 0.019,
  zeroCost: { networks: 20, secondsPerNetwork: 0.605, shareOfTraining: 0.09 },
};

it('says in words what an interval allows to say', () => {
  expect(proxyVerdict(quality(20, 0.5, { lo: 0.2, hi: 0.7 }))).toBe('better than chance');
  expect(proxyVerdict(quality(20, -0.5, { lo: -0.7, hi: -0.2 }))).toBe('the wrong way round');
  expect(proxyVerdict(quality(20, 0.2, { lo: -0.2, hi: 0.5 }))).toBe('not told from chance');
  expect(proxyVerdict(quality(7, 0.2, { lo: -0.5, hi: 0.7 }))).toBe('7\u00a0networks: nothing can be said');
  expect(proxyVerdict(quality(3, 1, null))).toBe('3\u00a0networks: nothing can be said');
  expect(proxyVerdict({ ...quality(20, 0, null), kendall: null })).toBe('the same for all');
});

describe('the audit in the report', () => {
  it('is a table for each truth, with losses of accuracy only', () => {
    const [accuracy, p50] = auditTables(audit);
    expect(accuracy?.rows).toEqual([
      [
        'MACs',
        '20',
        '−0.34',
        '−0.60 to 0.02',
        '−0.34',
        '1.2 (0.0 to 3.0; chance 4.0)',
        '–',
        'not told from chance',
        '–',
      ],
      [
        'one <seed>',
        '20',
        '0.50',
        '0.20 to 0.70',
        '0.50',
        '1.2 (0.0 to 3.0; chance 4.0)',
        '–',
        'better than chance',
        'the finalists',
      ],
    ]);
    expect(p50?.columns).toHaveLength(7);
    expect(p50?.rows).toEqual([['MACs', '3', '1.00', '–', '1.00', '3\u00a0networks: nothing can be said', '–']]);
  });

  it('says how far one training scatters and what the scores cost', () => {
    expect(auditNotes(audit).slice(1)).toEqual([
      expect.stringContaining(
        'Trainings of one network scatter by 1.9 points (one standard deviation, over seeds), which bounds',
      ),
      'Zero-cost scores took 0.605 s a network, 9\u00a0% of a training at the search’s fidelity.',
    ]);
    expect(auditNotes({ ...audit, seedSd: null, zeroCost: null })).toHaveLength(1);
  });

  it('draws an interval a proxy that has one, and what decided as a square', () => {
    const drawn = auditChart(audit.proxies, 'accuracy')?.markup ?? '';
    expect(drawn.match(/<title>/g)).toHaveLength(2);
    expect(drawn).toContain('one &lt;seed&gt;: τ 0.50, 0.20 to 0.70; decided the finalists');
    expect(auditChart([latency], 'p50')).toBeNull();
  });

  it('stands in the report where there is something to say', () => {
    expect(renderReport({ ...studySummary(), proxyAudit: audit }).includes('<h2>Proxies</h2>')).toBe(true);
    expect(renderReport(studySummary()).includes('<h2>Proxies</h2>')).toBe(false);
    expect(proxySection({ ...audit, proxies: [latency] })).toBeNull();
  });
});
