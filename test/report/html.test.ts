import { describe, expect, it } from 'vitest';
import { renderReport } from '../../report/html.ts';
import type { StudySummary } from '../../study/summary.ts';
import { studySummary } from './fixture.ts';

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
    mapMembers(studySummary(), { curve: [], holdoutAccuracy: null, count: null, multipliers: null }),
  ];
}

function begun(): StudySummary {
  const zero = { trials: [], activeS: 0, phaseS: {}, trainS: 0, measureS: 0 };
  return { ...studySummary({ finished: false }), ...zero };
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
