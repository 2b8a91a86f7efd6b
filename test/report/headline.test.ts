import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareAtEqualLatency, headline } from '../../report/headline.ts';
import type { FamilySummary, MemberSummary, StudySummary } from '../../study/deliver/summary.ts';
import { latency, member, overSeeds, spec, studySummary } from './fixture.ts';

function line(kind: FamilySummary['kind'], members: readonly MemberSummary[], name: string = kind): FamilySummary {
  return { kind, name, members };
}

/** A network of its own; the label keeps its spec apart from every other's. */
function point(label: number, p50Ms: number, accuracies: readonly number[]): MemberSummary {
  return member(`${label}x`, p50Ms, accuracies, { spec: spec(label, 1, 32), latency: latency(p50Ms) });
}

function withLines(lines: readonly FamilySummary[]): StudySummary {
  const summary = studySummary();
  return { ...summary, targets: summary.targets.map((target) => ({ ...target, limit: null, lines })) };
}

const rule = line('rule', [point(101, 1, [0.69, 0.7, 0.71]), point(104, 4, [0.79, 0.8, 0.81])], '1.2/1.1/1.15');

describe('comparison at equal latency', () => {
  it('interpolates the rule linearly in log latency', () => {
    const found = compareAtEqualLatency(line('family', [point(2, 2, [0.77, 0.78, 0.79])]), rule);
    expect(found.differencePoints).toBeCloseTo(3, 9);
    expect(found.points).toEqual([{ size: '2x', differencePoints: expect.closeTo(3, 9) }]);
  });

  it('takes noise from the pooled seeds: t over six degrees of freedom', () => {
    const found = compareAtEqualLatency(line('family', [point(2, 2, [0.77, 0.78, 0.79])]), rule);
    // Each sd is 1 point over 3 seeds; the contrast has coefficients 1, −½, −½.
    expect(found.noisePoints).toBeCloseTo(2.447 * Math.sqrt((1 + 0.25 + 0.25) / 3), 3);
    expect(found.verdict).toBe('above');
  });

  it('calls a difference inside the noise noise, whichever its sign', () => {
    for (const accuracy of [0.754, 0.746]) {
      const family = line('family', [point(2, 2, [accuracy - 0.01, accuracy, accuracy + 0.01])]);
      expect(compareAtEqualLatency(family, rule).verdict).toBe('within-noise');
    }
  });

  it('calls a loss a loss', () => {
    const found = compareAtEqualLatency(line('family', [point(2, 2, [0.71, 0.72, 0.73])]), rule);
    expect(found.verdict).toBe('below');
    expect(found.differencePoints).toBeCloseTo(-3, 9);
  });

  it('does not know the noise of single seeds', () => {
    const single = line('rule', [point(101, 1, [0.7]), point(104, 4, [0.8])]);
    const found = compareAtEqualLatency(line('family', [point(2, 2, [0.78])]), single);
    expect(found).toMatchObject({ verdict: 'noise-unknown', noisePoints: null });
  });

  it('leaves out points beyond the range of the rule', () => {
    const family = line('family', [point(1, 0.5, [0.6, 0.61]), point(2, 2, [0.78, 0.79]), point(8, 8, [0.9, 0.91])]);
    expect(compareAtEqualLatency(family, rule).points.map(({ size }) => size)).toEqual(['2x']);
  });

  it('keeps a point past the end whose latency cannot be told from it, on the line of the last segment', () => {
    const past = point(4, 4.02, [0.8, 0.8, 0.8]);
    const met = { ...past, latency: latency(4.02, { intervalMs: { percentile: 50, level: 0.95, lo: 3.9, hi: 4.1 } }) };
    const expected = -10 * (Math.log(4.02 / 4) / Math.log(4));
    const found = compareAtEqualLatency(line('family', [met]), rule);
    expect(found.differencePoints).toBeCloseTo(expected, 9);
  });

  it('compares nothing where nothing overlaps', () => {
    const found = compareAtEqualLatency(line('family', [point(8, 9, [0.9, 0.91])]), rule);
    expect(found).toMatchObject({ verdict: 'no-overlap', differencePoints: null, points: [] });
  });

  it('leaves out networks both lines share, and says when all are', () => {
    const shared = rule.members[0] as MemberSummary;
    const found = compareAtEqualLatency(line('family', [shared, point(2, 2, [0.78, 0.79])]), rule);
    expect(found.shared).toEqual([shared.size]);
    expect(found.points).toHaveLength(1);
    const all = compareAtEqualLatency(line('family', rule.members), rule);
    expect(all).toMatchObject({ verdict: 'same-networks', differencePoints: null });
  });

  it('interpolates the family at a user’s model, whose own accuracy carries no seed noise', () => {
    const family = line('family', [point(1, 1, [0.69, 0.7, 0.71]), point(4, 4, [0.79, 0.8, 0.81])]);
    const own = member('own.onnx', 2, [0.72], { spec: null, multipliers: null, count: null });
    const found = compareAtEqualLatency(family, line('user-model', [own]));
    expect(found.differencePoints).toBeCloseTo(3, 9);
    expect(found.noisePoints).toBeCloseTo(2.776 * Math.sqrt(0.5 / 3), 3);
  });

  it('finds no difference between a line and points on it, wherever they lie', () => {
    fc.assert(
      fc.property(fc.double({ min: 1, max: 4, noNaN: true }), (p50Ms) => {
        const accuracy = 0.7 + 0.1 * (Math.log(p50Ms) / Math.log(4));
        const found = compareAtEqualLatency(line('family', [point(2, p50Ms, [accuracy])]), rule);
        expect(found.differencePoints).toBeCloseTo(0, 9);
      }),
    );
  });
});

describe('headline', () => {
  it('states a win with its noise', () => {
    const summary = withLines([line('family', [point(2, 2, [0.77, 0.78, 0.79])]), rule]);
    expect(plain(headline(summary))).toBe(
      'For cpu (batch 1), one network of 2.00 ms reaches 78.0 % top-1 on rendered-64; ' +
        'at equal latency that is 3.0 ± 1.7 points above 1.2/1.1/1.15 scaling of the same base.',
    );
  });

  it('states a loss as points below', () => {
    const summary = withLines([line('family', [point(2, 2, [0.71, 0.72, 0.73])]), rule]);
    expect(plain(headline(summary))).toContain('3.0 ± 1.7 points below 1.2/1.1/1.15');
  });

  it('claims nothing within noise', () => {
    const summary = withLines([line('family', [point(2, 2, [0.744, 0.754, 0.764])]), rule]);
    expect(plain(headline(summary))).toContain(
      'within seed noise of 1.2/1.1/1.15 scaling of the same base, +0.4 ± 1.7',
    );
    expect(plain(headline(summary))).not.toMatch(/above|below/);
  });

  it('admits unknown noise with one seed', () => {
    expect(plain(headline(studySummary({ seeds: 1 })))).toContain('one seed each, noise unknown');
  });

  it('compares with the rule that leaves the smallest gain', () => {
    const strong = line('rule', [point(201, 1, [0.72, 0.73]), point(204, 4, [0.82, 0.83])], 'dWr');
    const family = line('family', [point(2, 2, [0.78, 0.79])]);
    expect(plain(headline(withLines([family, rule, strong])))).toMatch(/noise of dWr scaling .*strongest of 2 rules/);
  });

  it('counts the networks within the limit', () => {
    const summary = studySummary();
    const missed = summary.targets.map((target) => ({
      ...target,
      lines: target.lines.map((one) => ({
        ...one,
        members: one.members.map((each) => ({ ...each, limitMet: each.size !== '4x' })),
      })),
    }));
    expect(plain(headline(summary))).toContain('all within the limit p50 < 2 ms');
    expect(plain(headline({ ...summary, targets: missed }))).toContain('2 of them within the limit p50 < 2 ms');
    const doubted = missed.map((target) => ({
      ...target,
      lines: target.lines.map((one) => ({
        ...one,
        members: one.members.map((each) => ({ ...each, limitMet: each.limitMet || ('unknown' as const) })),
      })),
    }));
    expect(plain(headline({ ...summary, targets: doubted }))).toContain(
      '2 of them known to be within the limit p50 < 2 ms',
    );
  });

  it('names the hold-out, not the test split, while unfinished', () => {
    const [sentence] = headline(studySummary({ finished: false }));
    expect(sentence).toMatch(/not finished: .* hold-out/);
    expect(headline({ ...studySummary({ finished: false }), trials: [] })[0]).toContain(
      'no network has been scored yet',
    );
  });

  it('says a sentence a target, and that latencies were predicted', () => {
    expect(headline(studySummary({ targets: 2 }))).toHaveLength(2);
    const guessed = { ...point(2, 2, [0.78]), latency: latency(2, { source: 'predicted' }) };
    expect(plain(headline(withLines([line('family', [guessed])])))).toContain('2.00 ms (predicted)');
  });
});

it('means and deviations of the fixture are those of its values', () => {
  expect(overSeeds(1, 2, 3)).toEqual({ mean: 2, sd: 1, values: [1, 2, 3] });
});

function plain(sentences: readonly string[]): string {
  return sentences.join(' ').replaceAll('\u00a0', ' ');
}
