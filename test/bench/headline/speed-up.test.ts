import { describe, expect, it } from 'vitest';
import { pooledDeviation, speedUpAtEqualAccuracy } from '../../../bench/headline/speed-up.ts';
import { Random } from '../../../core/random.ts';

const line = [
  { latencyMs: 1, accuracies: [0.6, 0.6] },
  { latencyMs: 4, accuracies: [0.7, 0.7] },
];
const random = (): Random => new Random('speed-up');

describe('speedUpAtEqualAccuracy', () => {
  it('interpolates the line in ln latency', () => {
    const { ratio, beyond, interval } = speedUpAtEqualAccuracy({ latencyMs: 0.5, accuracies: [0.65] }, line, random());
    expect(ratio).toBeCloseTo(4, 12); // √(1 · 4) ms ÷ 0.5 ms
    expect(beyond).toBeNull();
    expect(interval).toEqual([ratio, ratio]);
  });

  it('gives a bound past either end', () => {
    expect(speedUpAtEqualAccuracy({ latencyMs: 2, accuracies: [0.8] }, line, random())).toMatchObject({
      ratio: 2,
      beyond: 'above',
    });
    expect(speedUpAtEqualAccuracy({ latencyMs: 0.5, accuracies: [0.5] }, line, random())).toMatchObject({
      ratio: 2,
      beyond: 'below',
    });
  });

  it('ignores networks of the line that are slower and no better', () => {
    const dominated = [...line, { latencyMs: 3, accuracies: [0.55] }];
    expect(speedUpAtEqualAccuracy({ latencyMs: 0.5, accuracies: [0.65] }, dominated, random()).ratio).toBeCloseTo(
      4,
      12,
    );
  });

  it('has an interval as wide as the seeds make it', () => {
    // The line's slope at .65 is ln 4 ÷ .1 a unit of accuracy; a network's own mean has deviation .01 ÷ √2.
    const steep = [
      { latencyMs: 1, accuracies: Array<number>(1000).fill(0.6) },
      { latencyMs: 4, accuracies: Array<number>(1000).fill(0.7) },
    ];
    const noisy = { latencyMs: 0.5, accuracies: [0.64, 0.66] };
    const deviation = pooledDeviation([noisy, ...steep]);
    const { interval } = speedUpAtEqualAccuracy(noisy, steep, random());
    const width = Math.log(interval[1] / interval[0]);
    const expected = (2 * 1.96 * (Math.log(4) / 0.1) * deviation) / Math.SQRT2;
    // 4,000 draws: a 2.5 % quantile is off by about 3 % of the half width (one sigma); five sigma here.
    expect(Math.abs(width / expected - 1)).toBeLessThan(0.15);
  });
});

describe('pooledDeviation', () => {
  it('pools sums of squares and degrees of freedom', () => {
    const points = [
      { latencyMs: 1, accuracies: [0.1, 0.3] },
      { latencyMs: 1, accuracies: [0.5, 0.5, 0.8] },
      { latencyMs: 1, accuracies: [0.9] },
    ];
    expect(pooledDeviation(points)).toBeCloseTo(Math.sqrt((0.02 + 0.06) / 3), 12);
  });
});
