import { describe, expect, test } from 'vitest';
import { Random } from '../../core/random.ts';
import type { Dimension } from '../../search/gaussian-process.ts';
import { EarlierTrends, trendWeights } from '../../search/trend.ts';

const random = new Random('trend');
const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
const normals = (count: number) => Float64Array.from({ length: count }, () => random.normal());

describe('the weights of trends', () => {
  test('are those of ridge regression where these are positive', () => {
    const features = [normals(20), normals(20)];
    const [f = new Float64Array(), g = new Float64Array()] = features;
    const values = f.map((value, index) => 0.8 * value + 0.3 * (g[index] ?? 0));
    const [ff, fg, gg] = [dot(f, f) + 3, dot(f, g), dot(g, g) + 3];
    const [fy, gy] = [dot(f, values), dot(g, values)];
    const [first, second] = trendWeights(features, values);
    // The two normal equations by Cramer's rule.
    expect(first).toBeCloseTo((fy * gg - gy * fg) / (ff * gg - fg * fg), 8);
    expect(second).toBeCloseTo((ff * gy - fg * fy) / (ff * gg - fg * fg), 8);
  });

  test('are 0 for what says the opposite, and close to it for what says nothing', () => {
    const values = normals(200);
    expect(trendWeights([values.map((value) => -value)], values)).toEqual([0]);
    // A weight of independent normals deviates by 1 ÷ √200: a false alarm at 4.2 deviations is below 3e-5.
    expect(trendWeights([normals(200)], values)[0]).toBeLessThan(0.3);
  });
});

const dimensions: readonly Dimension[] = Array.from({ length: 6 }, () => ({ kind: 'names', options: 4 }));
const draw = () => Uint16Array.from(dimensions, () => 1 + random.integer(4));
const lossOf = (point: Uint16Array) => point.reduce((sum, level, place) => sum + (level % 3) * (place + 1), 0);

const centred = (values: readonly number[]) => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Float64Array.from(values, (value) => (value - mean) / 5);
};

describe('trends of earlier searches', () => {
  const points = Array.from({ length: 120 }, draw);
  const seen = Array.from({ length: 15 }, draw);
  const asked = Array.from({ length: 100 }, draw);
  /** Mean square of what a trend learned at `seen` leaves at `asked`, as a share of what there is. */
  const left = (trends: EarlierTrends): number => {
    const trend = trends.fit(seen, centred(seen.map(lossOf)));
    const expected = trend(asked);
    const values = centred(asked.map(lossOf));
    const rest = values.map((value, index) => value - (expected[index] ?? 0));
    return dot(rest, rest) / dot(values, values);
  };

  test('explain results of another unit whose order is the same', () => {
    const losses = points.map((point) => Math.exp(lossOf(point) / 4) * 1e3);
    expect(left(new EarlierTrends(dimensions, [{ points, losses }]))).toBeLessThan(0.5);
  });

  test('are left out where they contradict, and explain nothing away', () => {
    const losses = points.map((point) => -lossOf(point));
    expect(left(new EarlierTrends(dimensions, [{ points, losses }]))).toBeCloseTo(1, 10);
  });
});
