import { describe, expect, it } from 'vitest';
import { agreementOf, rateAtMost } from '../../latency/agreement.ts';

describe('predictions beside measurements', () => {
  it('have a median error, a share within ± 10 % and a rank correlation', () => {
    const pairs = [
      { predictedMs: 1.05, measuredMs: 1 },
      { predictedMs: 1.8, measuredMs: 2 },
      { predictedMs: 6, measuredMs: 4 },
      { predictedMs: 3, measuredMs: 8 },
    ];
    const { medianError, medianRatio, ...rest } = agreementOf(pairs);
    expect(medianError).toBeCloseTo((0.1 + 0.5) / 2, 12);
    expect(medianRatio).toBeCloseTo((0.9 + 1.05) / 2, 12);
    // Ranks 1, 2, 4, 3 against 1, 2, 3, 4: 1 − 6 · 2 ÷ (4 · 15).
    expect(rest).toEqual({ networks: 4, within10: 0.5, rankCorrelation: expect.closeTo(0.8, 12) });
  });

  it('say nothing where there are too few of them, or nothing to rank', () => {
    expect(agreementOf([])).toEqual({
      networks: 0,
      medianError: null,
      medianRatio: null,
      within10: null,
      rankCorrelation: null,
    });
    const same = { predictedMs: 1, measuredMs: 1 };
    expect(agreementOf([same, same]).rankCorrelation).toBeNull();
    expect(agreementOf([same, same, same]).rankCorrelation).toBeNull();
  });
});

describe('the most a rate can be', () => {
  it('is the tables’ Clopper–Pearson bound', () => {
    expect(rateAtMost(0, 0)).toBe(1);
    expect(rateAtMost(2, 2)).toBe(1);
    // 1 − .05^(1 ÷ n) after no hit.
    expect(rateAtMost(0, 10)).toBeCloseTo(1 - 0.05 ** 0.1, 9);
    expect(rateAtMost(0, 59)).toBeLessThan(0.05);
    expect(rateAtMost(0, 58)).toBeGreaterThan(0.05);
    expect(rateAtMost(1, 10)).toBeCloseTo(0.3942, 4);
    expect(rateAtMost(3, 20)).toBeCloseTo(0.3437, 4);
  });
});
