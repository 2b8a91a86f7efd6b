import { describe, expect, test } from 'vitest';
import { cholesky, dot, solve } from '../../core/linear-algebra.ts';
import { Random } from '../../core/random.ts';
import {
  type Dimension,
  fitParameters,
  GaussianProcess,
  negativeLogLikelihood,
  posteriorGradient,
} from '../../search/gaussian-process.ts';

const dimensions: readonly Dimension[] = [
  { kind: 'names', options: 4 },
  { kind: 'steps', options: 5 },
  { kind: 'names', options: 2 },
];
const parameters = { rates: Float64Array.of(0.7, 1.3, 0.2), noise: 0.05 };
const random = new Random('gaussian process');
/** The middle decision is not reachable in some points: level 0. */
const points = Array.from({ length: 20 }, () =>
  Uint16Array.of(1 + random.integer(4), random.integer(6), 1 + random.integer(2)),
);
const values = Float64Array.from(points, () => random.normal());

/** The textbook, with dense matrices. */
function covariance(a: Uint16Array, b: Uint16Array): number {
  const [a0 = 0, a1 = 0, a2 = 0] = a;
  const [b0 = 0, b1 = 0, b2 = 0] = b;
  const step = a1 === b1 ? 0 : a1 === 0 || b1 === 0 ? 1 : Math.abs(a1 - b1) / 4;
  return Math.exp(-0.7 * Number(a0 !== b0) - 1.3 * step - 0.2 * Number(a2 !== b2));
}

describe('a Gaussian process', () => {
  const lower = cholesky(points.map((a, i) => points.map((b, j) => covariance(a, b) + (i === j ? 0.05 : 0))));
  const weights = solve(lower, [...values]);
  const variance = (2 + dot([...values], weights)) / (2 + points.length);

  test('predicts what the textbook formula gives', () => {
    const process = new GaussianProcess(dimensions, parameters);
    process.observe(points, values);
    // Five, for they are solved in fours.
    const asked = [Uint16Array.of(1, 0, 1), Uint16Array.of(4, 5, 2), ...points.slice(3, 6)];
    const means = process.means(asked);
    for (const [place, { mean, sd }] of process.predict(asked).entries()) {
      const row = points.map((other) => covariance(asked[place] ?? Uint16Array.of(), other));
      expect(mean).toBeCloseTo(dot(row, weights), 10);
      expect(means[place]).toBe(mean);
      expect(sd).toBeCloseTo(Math.sqrt((1 - dot(row, solve(lower, row))) * variance), 10);
    }
  });

  test('is the same whether points came at once or one by one, or others were there before', () => {
    const [once, grown] = [new GaussianProcess(dimensions, parameters), new GaussianProcess(dimensions, parameters)];
    once.observe(points, values);
    grown.observe([...points.slice(0, 7), Uint16Array.of(1, 1, 1)], values.slice(0, 8));
    grown.expect(Uint16Array.of(2, 2, 2));
    grown.observe(points, values);
    expect(grown.predict([Uint16Array.of(3, 2, 1)])).toEqual(once.predict([Uint16Array.of(3, 2, 1)]));
  });

  test('an expected point takes away uncertainty and nothing else', () => {
    const process = new GaussianProcess(dimensions, parameters);
    process.observe(points.slice(0, 5), values.slice(0, 5));
    const point = Uint16Array.of(2, 4, 1);
    const [before] = process.predict([point]);
    process.expect(point);
    const [after] = process.predict([point]);
    expect(after?.mean).toBeCloseTo(before?.mean ?? NaN, 10);
    expect(after?.sd).toBeLessThan((before?.sd ?? 0) / 2);
  });

  test('the gradient of its likelihood is that of finite differences', () => {
    const gradient = posteriorGradient(dimensions, points, values, parameters);
    const likelihood = (index: number, step: number) => {
      const rates = parameters.rates.map((rate, d) => (d === index ? rate * Math.exp(step) : rate));
      const noise = index === 3 ? 0.05 * Math.exp(step) : 0.05;
      return negativeLogLikelihood(dimensions, points, values, { rates, noise });
    };
    for (const index of [0, 1, 2, 3])
      expect(gradient[index]).toBeCloseTo((likelihood(index, 1e-4) - likelihood(index, -1e-4)) / 2e-4, 5);
  });

  test('fitting finds which decisions matter', () => {
    const many = Array.from({ length: 60 }, () =>
      Uint16Array.of(1 + random.integer(4), 1 + random.integer(5), 1 + random.integer(2)),
    );
    const target = Float64Array.from(many, ([a = 0]) => (a % 2) - 0.5 + 0.01 * random.normal());
    const { rates, noise } = fitParameters(dimensions, many, target);
    const [first = 0, second = 0, third = 0] = rates;
    expect(first).toBeGreaterThan(5 * Math.max(second, third));
    expect(noise).toBeLessThan(0.01);
  });
});
