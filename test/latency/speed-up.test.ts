import { describe, expect, it } from 'vitest';
import type { Latency } from '../../latency/latency.ts';
import { speedUp } from '../../latency/speed-up.ts';
import { latency } from '../report/fixture.ts';

const within = (p50Ms: number, lo: number, hi: number, percentile: 50 | 99 = 50): Latency =>
  latency(p50Ms, { intervalMs: { percentile, level: 0.95, lo, hi } });

describe('how a latency compares', () => {
  it('is told where the intervals of the medians do not meet', () => {
    expect(speedUp(within(2, 1.9, 2.1), within(1, 0.9, 1.1))).toEqual({ ratio: 2, verdict: 'faster' });
    expect(speedUp(within(1, 0.9, 1.1), within(2, 1.9, 2.1))).toEqual({ ratio: 0.5, verdict: 'slower' });
  });

  it('is not told where they do', () => {
    expect(speedUp(within(2, 1.4, 2.1), within(1.5, 1.2, 1.5)).verdict).toBe('alike');
  });

  it('goes by the medians alone where the interval is a tail’s', () => {
    expect(speedUp(within(2, 5, 6, 99), within(1.9, 2, 3, 99)).verdict).toBe('alike');
    expect(speedUp(within(2, 5, 6, 99), within(1.5, 5, 6, 99)).verdict).toBe('faster');
  });
});
