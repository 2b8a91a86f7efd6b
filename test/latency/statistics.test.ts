import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { studentT } from '../../core/student-t.ts';
import { geometricInterval, leastSamples, orderStatisticInterval, quantileInterval } from '../../latency/statistics.ts';

describe('the interval of session medians', () => {
  it('is a point when all sessions agree', () => {
    const { centre, lo, hi } = geometricInterval([2, 2, 2], 0.95);
    expect([centre, lo, hi].map((value) => value.toFixed(12))).toEqual(Array(3).fill('2.000000000000'));
  });

  it('scales with the unit of time', () => {
    const [inMs, inS] = [geometricInterval([1, 1.1, 1.3], 0.95), geometricInterval([0.001, 0.0011, 0.0013], 0.95)];
    expect(inMs.hi / inS.hi).toBeCloseTo(1000, 6);
    expect(inMs.centre / inS.centre).toBeCloseTo(1000, 6);
  });

  it('covers the true value as often as it says', () => {
    const random = new Random('coverage');
    const trials = 4000;
    let covered = 0;
    for (let trial = 0; trial < trials; trial++) {
      const { lo, hi } = geometricInterval(
        [0, 0, 0, 0].map(() => Math.exp(0.1 * random.normal())),
        0.95,
      );
      if (lo <= 1 && 1 <= hi) covered++;
    }
    // Binomial with σ = √(.95 · .05 ÷ 4000) = .0034; four of them.
    expect(Math.abs(covered / trials - 0.95)).toBeLessThan(0.014);
  });
});

describe('the interval of a tail from order statistics', () => {
  const ramp = Array.from({ length: 1000 }, (_, index) => index + 1);

  it('surrounds the quantile by the binomial spread', () => {
    // n = 1000, q = .9: B has mean 900 and σ 9.49; ± 1.96 σ is 881.4 … 918.6, and one for x₍ᵤ₎.
    const { lo, hi } = orderStatisticInterval(ramp, 0.9, 0.95);
    expect(lo).toBeGreaterThanOrEqual(880);
    expect(lo).toBeLessThanOrEqual(883);
    expect(hi).toBeGreaterThanOrEqual(918);
    expect(hi).toBeLessThanOrEqual(921);
  });

  it('has no upper bound when the samples are too few for the tail', () => {
    expect(orderStatisticInterval(ramp.slice(0, 100), 0.99, 0.95).hi).toBeNull();
    // .99ⁿ ≤ .025 from n = 368 on.
    expect(orderStatisticInterval(ramp.slice(0, 367), 0.99, 0.95).hi).toBeNull();
    expect(orderStatisticInterval(ramp.slice(0, 368), 0.99, 0.95).hi).toBe(368);
  });
});

/** Eight sessions of so many values, all different. */
const eightAlike = (count: number): number[][] =>
  Array.from({ length: 8 }, (_, session) => Array.from({ length: count }, (__, run) => 1 + run + session / 10));

describe('the interval of a tail over sessions', () => {
  it('is that of independent samples, but for the few degrees of freedom, when sessions are alike', () => {
    // 40 sessions that are each the same 25 values: no spread between them at all.
    const values = Array.from({ length: 25 }, (_, index) => index + 1);
    const alike = quantileInterval(
      Array.from({ length: 40 }, () => values),
      0.9,
      0.95,
    );
    const pooled = orderStatisticInterval(
      Array.from({ length: 1000 }, (_, index) => Math.floor(index / 40) + 1),
      0.9,
      0.95,
      1000 / (studentT(0.95, 39) / studentT(0.95, 999)) ** 2,
    );
    expect([alike.lo, alike.hi]).toEqual([pooled.lo, pooled.hi]);
  });

  it('is wider the more sessions differ', () => {
    const random = new Random('wider');
    const sessions = (spread: number): number[][] =>
      [0, 1, 2, 3, 4, 5, 6, 7].map((session) =>
        Array.from({ length: 200 }, () => Math.exp(spread * (session - 3.5) + 0.05 * random.normal())),
      );
    const width = (spread: number): number => {
      const { lo, hi } = quantileInterval(sessions(spread), 0.9, 0.95);
      return hi / lo;
    };
    expect(width(0.05)).toBeGreaterThan(1.5 * width(0));
  });

  it.each([
    [0.5, 0.9, 8, 100],
    [1, 0.9, 8, 100],
    [0.5, 0.99, 8, 300],
  ])(
    'covers the true quantile as often as it says or more, with sessions that differ by %f of the spread inside one (p%f)',
    (between, q, k, count) => {
      // Session effects and runs are normal: the quantile of all is z_q · √(1 + between²).
      const truth = { 0.9: 1.281552, 0.99: 2.326348 }[q as 0.9 | 0.99] * Math.sqrt(1 + between ** 2);
      const random = new Random(`coverage ${between} ${q}`);
      const trials = 400;
      let covered = 0;
      for (let trial = 0; trial < trials; trial++) {
        const sessions = Array.from({ length: k }, () => {
          const effect = between * random.normal();
          return Array.from({ length: count }, () => effect + random.normal());
        });
        const { lo, hi } = quantileInterval(sessions, q, 0.95);
        // The lower end may be 0 for "unbounded", which here is a value like others.
        if ((lo === 0 || lo <= truth) && truth <= hi) covered++;
      }
      // σ = √(.95 · .05 ÷ 400) = .011; one-sided, three of them.
      expect(covered / trials).toBeGreaterThan(0.95 - 0.033);
    },
  );

  it('has no upper end while samples are too few, and has one from leastSamples on', () => {
    const least = leastSamples(0.99, 0.95, 8);
    // 368 independent ones; t of 7 degrees of freedom is 2.365 instead of 1.96.
    expect(least).toBeGreaterThan(368 * 1.44);
    expect(least).toBeLessThan(368 * 1.47);
    expect(quantileInterval(eightAlike(Math.ceil(least / 8)), 0.99, 0.95).hi).toBeLessThan(1e6);
    expect(quantileInterval(eightAlike(Math.floor(least / 8) - 2), 0.99, 0.95).hi).toBe(Number.POSITIVE_INFINITY);
  });
});
