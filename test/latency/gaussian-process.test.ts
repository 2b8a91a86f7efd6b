import { describe, expect, it } from 'vitest';
import { cholesky, dot, solve } from '../../core/linear-algebra.ts';
import { Random } from '../../core/random.ts';
import { fitProcess, type GaussianProcess, predictProcess, type Sample } from '../../latency/gaussian-process.ts';

const options = { evidenceSamples: 80, maxPoints: 200 };

function drawn(count: number, noise: number, seed = 0): readonly Sample[] {
  const random = new Random(`process/${seed}`);
  return Array.from({ length: count }, () => {
    const x = [4 * random.uniform(), 4 * random.uniform()];
    return { x, y: truth(x) + noise * random.normal(), variance: 0, count: 1 };
  });
}
const truth = ([a = 0, b = 0]: readonly number[]): number => 0.4 * Math.sin(a) + 0.1 * a * Math.cos(b);

/** Matérn 5/2, written once more. */
function covariance(process: GaussianProcess, a: readonly number[], b: readonly number[]): number {
  const r = Math.hypot(...a.map((value, at) => (value - (b[at] ?? 0)) / (process.lengths[at] ?? 1)));
  return process.amplitude ** 2 * (1 + Math.sqrt(5) * r + (5 * r * r) / 3) * Math.exp(-Math.sqrt(5) * r);
}

const noise = (deviation: number) => fitProcess(drawn(120, deviation), options).noise;
/** Two samples of nearly one place. */
const pair = (variance: number): readonly Sample[] => [
  { x: [0], y: 0, variance: 0, count: 1 },
  { x: [1e-3], y: 0.2, variance, count: 1 },
];

describe('a sparse Gaussian process', () => {
  it('is the exact one where its points say all that the samples do', () => {
    const samples = drawn(40, 0.01);
    const process = fitProcess(samples, options);
    expect(process.points.length).toBeGreaterThan(20);
    const matrix = samples.map((one, i) =>
      samples.map((other, j) => covariance(process, one.x, other.x) + (i === j ? process.noise ** 2 : 0)),
    );
    const weights = solve(
      cholesky(matrix),
      samples.map(({ y }) => y),
    );
    for (const { x } of drawn(20, 0, 1)) {
      const exact = dot(
        samples.map((sample) => covariance(process, sample.x, x)),
        weights,
      );
      expect(Math.abs(predictProcess(process, x).mean - exact)).toBeLessThan(0.003);
    }
  });

  it('foretells a smooth function to its noise, and is surer there than far away', () => {
    const process = fitProcess(drawn(150, 0.02), options);
    const errors = drawn(100, 0, 1).map(({ x }) => Math.abs(predictProcess(process, x).mean - truth(x)));
    expect(errors.toSorted((a, b) => a - b)[90]).toBeLessThan(0.03);
    const [near, far] = [predictProcess(process, [2, 2]), predictProcess(process, [40, 40])];
    expect(far.mean).toBeCloseTo(0, 6);
    expect(far.variance).toBeCloseTo(process.amplitude ** 2 + process.noise ** 2, 9);
    expect(near.variance).toBeLessThan(far.variance / 4);
  });

  it('finds the noise there is', () => {
    expect(noise(0.1)).toBeGreaterThan(0.06);
    expect(noise(0.1)).toBeLessThan(0.16);
    expect(noise(0.01)).toBeLessThan(0.03);
  });

  it('does not follow single disturbed samples', () => {
    const clean = drawn(100, 0.02);
    const disturbed = clean.map((sample, index) => (index % 20 === 7 ? { ...sample, y: sample.y + 2 } : sample));
    const like = fitProcess(clean, options);
    const errorOf = (samples: readonly Sample[]) => {
      const process = fitProcess(samples, { ...options, like });
      const errors = drawn(60, 0, 1).map(({ x }) => Math.abs(predictProcess(process, x).mean - truth(x)));
      return errors.reduce((sum, error) => sum + error, 0) / errors.length;
    };
    expect(errorOf(disturbed)).toBeLessThan(3 * errorOf(clean));
  });

  it('believes a sample with more variance less', () => {
    const like = { amplitude: 1, noise: 0.1, lengths: [1], points: [], weights: [] };
    const middle = (variance: number) => predictProcess(fitProcess(pair(variance), { ...options, like }), [0]).mean;
    expect(middle(0)).toBeCloseTo(0.1, 2);
    expect(middle(100)).toBeLessThan(0.01);
  });

  it('is the same for the same samples', () => {
    expect(fitProcess(drawn(60, 0.05), options)).toEqual(fitProcess(drawn(60, 0.05), options));
  });
});
