import { describe, expect, test } from 'vitest';
import { Random } from '../../core/random.ts';
import { fitRegression, type RegressionPrior } from '../../scaling/bayesian-regression.ts';

const vague: RegressionPrior = { mean: [0, 0], sd: [1e4, 1e4], noiseSd: 1, noiseWeight: 1e-6 };
const xs = [0, 1, 2, 3, 5, 8];
const ys = [1.2, 2.9, 5.3, 6.8, 11.1, 17.2];
const rows = xs.map((x) => [1, x]);

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

describe('Bayesian linear regression', () => {
  test('with a vague prior it is least squares', () => {
    const [mx, my] = [mean(xs), mean(ys)];
    const slope = mean(xs.map((x, i) => (x - mx) * ((ys[i] ?? 0) - my))) / mean(xs.map((x) => (x - mx) ** 2));
    const { coefficients } = fitRegression(rows, ys, vague);
    expect(coefficients[1]).toBeCloseTo(slope, 6);
    expect(coefficients[0]).toBeCloseTo(my - slope * mx, 6);
  });

  test('without observations it is the prior', () => {
    const { coefficients, predict } = fitRegression([], [], { mean: [1, 2], sd: [3, 4], noiseSd: 0.5, noiseWeight: 4 });
    expect(coefficients).toEqual([1, 2]);
    expect(predict([1, 1]).mean).toBeCloseTo(3, 12);
    expect(predict([1, 1]).meanSd).toBeCloseTo(5, 12);
  });

  test('leave-one-out errors are those of leaving one out', () => {
    const prior = { mean: [1, 1], sd: [2, 1], noiseSd: 0.3, noiseWeight: 3 };
    const { leaveOneOut } = fitRegression(rows, ys, prior);
    for (const left of xs.keys()) {
      const others = <T>(values: readonly T[]) => values.filter((_, index) => index !== left);
      const refit = fitRegression(others(rows), others(ys), prior);
      expect(leaveOneOut[left]).toBeCloseTo((ys[left] ?? 0) - refit.predict(rows[left] ?? []).mean, 9);
    }
  });

  test('intervals hold as often as they say when the prior is true', () => {
    const random = new Random('coverage');
    let inside = 0;
    const runs = 600;
    for (let run = 0; run < runs; run++) {
      const truth = [0.5 + random.normal(), 1 + 0.5 * random.normal()];
      const draw = (x: number) => (truth[0] ?? 0) + (truth[1] ?? 0) * x + 0.2 * random.normal();
      const prior = { mean: [0.5, 1], sd: [1, 0.5], noiseSd: 0.2, noiseWeight: 1e4 };
      const { predict } = fitRegression(rows, xs.map(draw), prior);
      const { mean, sd } = predict([1, 4]);
      if (Math.abs(draw(4) - mean) < 1.645 * sd) inside++;
    }
    // 90 % with a standard deviation of 1.2 %: five of them.
    expect(Math.abs(inside / runs - 0.9)).toBeLessThan(5 * Math.sqrt((0.9 * 0.1) / runs));
  });

  test('rows of another width are refused', () => {
    expect(() => fitRegression([[1]], [1], vague)).toThrow('expected 2 features, got 1');
  });
});
