import { describe, expect, it } from 'vitest';
import { renderReport } from '../../report/html.ts';
import type { Latency } from '../../latency/latency.ts';
import type { StudySummary } from '../../study/deliver/summary.ts';
import { elasticity, latency, prediction, studySummary } from './fixture.ts';

const hostile = `<script>alert("x")</script> & 'y'`;

describe('report', () => {
  it('needs nothing but itself: no script, no outside address', () => {
    const html = renderReport(studySummary({ targets: 2, rules: 2 }));
    expect(html).not.toMatch(/<script|<link|<img|url\(|https?:|@import/i);
    expect(html).toMatch(/prefers-color-scheme: dark/);
    expect(html).toMatch(/@media print/);
  });

  it('escapes every text that comes from outside', () => {
    const html = renderReport(poisoned(studySummary()));
    expect(html).not.toContain('<script>');
    expect(html).not.toContain(`"x"`);
    expect(html).toContain('&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &#39;y&#39;');
  });

  it('links files relative to itself, whatever their names', () => {
    const summary = studySummary();
    expect(renderReport(summary)).toContain('href="./family/cpu/4x/model.onnx"');
    const html = renderReport(mapMembers(summary, { file: 'family/a b/javascript:alert(1)#x' }));
    expect(html).toContain('href="./family/a%20b/javascript%3Aalert(1)%23x"');
  });

  it('shows every size, target, warning and reason', () => {
    const html = renderReport(studySummary({ targets: 2, rules: 2 }));
    for (const text of ['cpu', 'gateway', '4x', 'dWr', 'infeasible: latency', 'failed: child-crashed', 'capped at 64'])
      expect(html).toContain(text);
  });

  it('draws no NaN and opens and closes every element, in every kind of study', () => {
    for (const summary of allKinds()) {
      const html = renderReport(summary);
      expect(html).not.toMatch(/NaN|Infinity|undefined|\[object/);
      expect(unbalanced(html)).toEqual([]);
    }
  });

  it('renders an unfinished study with what exists', () => {
    const html = renderReport(studySummary({ finished: false }));
    expect(html).toContain('not finished');
    expect(html).toContain('No network yet.');
    expect(html).toContain('Pareto front');
    expect(html).not.toContain('Multipliers');
  });

  it('renders a study that has only begun', () => {
    const html = renderReport(begun());
    expect(html).toContain('no network has been scored yet');
    expect(html).not.toContain('<svg');
  });

  it('says that a p99 of few runs is not known, and which latency is unstable', () => {
    const html = renderReport(studySummary());
    expect(html).toContain('under 300 runs');
    expect(html).toContain('>unstable<');
  });

  it('says of each latency whether it was measured, predicted, or only reported by a program', () => {
    expect(withLatency({})).toContain('latency measured</small>');
    expect(withLatency({ source: 'command' })).toContain('latency measured by your program</small>');
    const reported = withLatency({ source: 'command', reported: true, p99Ms: null, samples: 0 });
    expect(reported).toContain('latency reported by your program</small>');
    expect(reported).toContain('reported, unchecked');
    expect(reported).toContain('– (not reported)');
    expect(reported).not.toContain('under 300 runs');
    const predicted = withLatency({ source: 'predicted', accelerator: 'tpu-v5e', calibrated: false });
    expect(predicted).toContain('latency predicted by tpu-v5e, never calibrated in fp32</small>');
    expect(predicted).not.toContain('>stable<');
  });

  it('says how far prediction was off, and what it may have refused wrongly, where both are known', () => {
    expect(renderReport(studySummary())).not.toContain('Prediction beside measurement');
    const html = renderReport(mapTargets(studySummary(), { prediction }));
    expect(html).toContain('Prediction beside measurement');
    const row = /<tr><th scope="row">cpu<\/th>.*?<\/tr>/.exec(html.slice(html.indexOf('Prediction beside')))?.[0];
    expect(row?.replace(/<[^>]+>/g, '|').replaceAll('\u00a0', ' ')).toMatch(
      /cpu.*my-cpu.*14.*0\.97.*6\.2 %.*71 %.*0\.96.*9.*3.*0 \(at most 63 %\)/,
    );
    const unmeasured = { ...prediction, networks: 0, medianError: null, medianRatio: null, within10: null };
    expect(
      renderReport(mapTargets(studySummary(), { prediction: { ...unmeasured, rankCorrelation: null, sampled: 0 } })),
    ).not.toMatch(/NaN|null/);
  });

  it('gives the exponents of latency with their intervals', () => {
    const html = renderReport(mapTargets(studySummary(), { elasticity }));
    expect(html).toContain('Latency grows as depth^0.93 (0.90 to 0.96) · width^0.10 (0.05 to 0.15) · resolution^1.60');
  });

  it('marks predictions as what they are', () => {
    const summary = studySummary();
    const [first] = summary.targets.flatMap((target) => target.lines.flatMap((line) => line.members));
    if (!first) throw new Error('fixture without members');
    const html = renderReport(
      mapMembers(summary, { latency: { ...first.latency, source: 'predicted', calibrated: false } }),
    );
    expect(html).toContain('predicted, ranking only');
    expect(html).toContain('predicted p50 latency');
  });
});

function allKinds(): readonly StudySummary[] {
  return [
    studySummary(),
    studySummary({ members: 1, seeds: 1, rules: 0 }),
    studySummary({ members: 1, rules: 2 }),
    studySummary({ targets: 2, rules: 2 }),
    studySummary({ seeds: 1 }),
    studySummary({ finished: false }),
    begun(),
    mapTargets(studySummary({ targets: 2 }), { prediction, elasticity }),
    mapMembers(studySummary(), { curve: [], holdoutAccuracy: null, count: null, multipliers: null }),
  ];
}

function begun(): StudySummary {
  const zero = { trials: [], activeS: 0, phaseS: {}, trainS: 0, measureS: 0 };
  return { ...studySummary({ finished: false }), ...zero };
}

function withLatency(one: Partial<Latency>): string {
  return renderReport(mapMembers(studySummary(), { latency: latency(1, one) }));
}

function mapTargets(summary: StudySummary, changes: Partial<StudySummary['targets'][number]>): StudySummary {
  return { ...summary, targets: summary.targets.map((target) => ({ ...target, ...changes })) };
}

function mapMembers(
  summary: StudySummary,
  changes: Partial<StudySummary['targets'][number]['lines'][number]['members'][number]>,
): StudySummary {
  const targets = summary.targets.map((target) => ({
    ...target,
    lines: target.lines.map((line) => ({ ...line, members: line.members.map((one) => ({ ...one, ...changes })) })),
  }));
  return { ...summary, targets };
}

/** Hostile text wherever a user, a file name or an error message can put it. */
function poisoned(summary: StudySummary): StudySummary {
  const base = summary.base && { ...summary.base, because: hostile };
  return {
    ...mapMembers(summary, { size: hostile }),
    name: hostile,
    base,
    data: { ...summary.data, name: hostile },
    environment: { [hostile]: hostile },
    warnings: [hostile],
    trials: summary.trials.map((trial) => ({ ...trial, reason: hostile, choices: { [hostile]: hostile } })),
  };
}

function unbalanced(html: string): readonly string[] {
  const open: string[] = [];
  for (const [, closing, name = ''] of html.matchAll(/<(\/?)([a-z0-9]+)[^>]*>/gi)) {
    if (name === 'meta') continue;
    if (closing === '') open.push(name);
    else if (open.pop() !== name) return [name];
  }
  return open;
}
