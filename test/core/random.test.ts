import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';

const draws = (random: Random, count = 5) => Array.from({ length: count }, () => random.uniform());

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('random numbers', () => {
  it('are these for ever: stored studies depend on them', () => {
    const random = new Random(42);
    expect(Array.from({ length: 4 }, () => random.integer(2 ** 32))).toEqual([
      525_357_159, 3_402_160_022, 1_011_003_302, 4_255_893_469,
    ]);
    expect(new Random(42).child('augment', 3).integer(2 ** 32)).toBe(1_834_841_426);
  });

  it('of a child depend on names alone, not on what else was drawn or in which order', () => {
    const one = new Random('study');
    const augment = draws(one.child('augment'));
    const other = new Random('study');
    draws(other, 100);
    draws(other.child('weights'), 7);
    expect(draws(other.child('augment'))).toEqual(augment);
    // Asking for a child takes nothing from the parent.
    expect(draws(one)).toEqual(draws(new Random('study')));
  });

  it('differ between seeds, names and levels', () => {
    const first = ['a', 'b', 0, 1].map((seed) => new Random(seed).uniform());
    const children = ['x', 'y'].map((name) => new Random('a').child(name).uniform());
    const nested = new Random('a').child('x').child('x').uniform();
    expect(new Set([...first, ...children, nested]).size).toBe(7);
    expect(new Random('a').child('x', 1).uniform()).toBe(new Random('a').child('x').child(1).uniform());
  });

  it('have the moments they should, within 4.5 standard errors', () => {
    const random = new Random('moments');
    const count = 20_000;
    const uniform = draws(random, count);
    expect(Math.abs(mean(uniform) - 1 / 2)).toBeLessThan(4.5 / Math.sqrt(12 * count));
    expect(Math.min(...uniform)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...uniform)).toBeLessThan(1);
    const normal = Array.from({ length: count }, () => random.normal());
    expect(Math.abs(mean(normal))).toBeLessThan(4.5 / Math.sqrt(count));
    expect(Math.abs(mean(normal.map((value) => value ** 2)) - 1)).toBeLessThan(4.5 * Math.sqrt(2 / count));
  });

  it('have the mean and variance of a gamma, within 4.5 standard errors', () => {
    const count = 20_000;
    for (const shape of [0.3, 1, 2.5, 40]) {
      const random = new Random('gamma').child(shape);
      const values = Array.from({ length: count }, () => random.gamma(shape));
      expect(Math.min(...values)).toBeGreaterThan(0);
      expect(Math.abs(mean(values) - shape)).toBeLessThan(4.5 * Math.sqrt(shape / count));
      // The fourth central moment is 3 k² + 6 k, so the squared deviation varies by 2 k² + 6 k.
      const spread = mean(values.map((value) => (value - shape) ** 2));
      expect(Math.abs(spread - shape)).toBeLessThan(4.5 * Math.sqrt((2 * shape ** 2 + 6 * shape) / count));
    }
  });

  // Distribution functions in closed form.
  it.each([
    ['uniform', 1, 1, (x: number) => x],
    ['arcsine', 0.5, 0.5, (x: number) => (2 / Math.PI) * Math.asin(Math.sqrt(x))],
    ['parabolic', 2, 2, (x: number) => 3 * x ** 2 - 2 * x ** 3],
    ['skewed', 3, 1, (x: number) => x ** 3],
    ['skewed, from small parameters', 0.2, 1, (x: number) => x ** 0.2],
  ])('follow the %s beta distribution (Kolmogorov–Smirnov, one in a million)', (_, a, b, distribution) => {
    const random = new Random('beta').child(a, b);
    const count = 20_000;
    const sorted = Array.from({ length: count }, () => random.beta(a, b)).toSorted((x, y) => x - y);
    const gaps = sorted.map((x, rank) => Math.abs(distribution(x) - (rank + 0.5) / count) + 0.5 / count);
    // P(√n D > 2.69) = 2 exp(−2 · 2.69²) = 1e-6.
    expect(Math.max(...gaps)).toBeLessThan(2.69 / Math.sqrt(count));
  });

  it('stay beta where gammas would underflow, or hardly vary', () => {
    const random = new Random('extremes');
    const tiny = Array.from({ length: 2000 }, () => random.beta(1e-4, 1e-4));
    expect(tiny.every((value) => value >= 0 && value <= 1)).toBe(true);
    // All but about 1 in 2000 lie at an end, and half of them at either: 4.5 sigma.
    const [low, high] = [tiny.filter((value) => value < 0.01).length, tiny.filter((value) => value > 0.99).length];
    expect(Math.abs(low - 1000)).toBeLessThan(4.5 * Math.sqrt(500));
    expect(low + high).toBeGreaterThan(1985);
    const large = Array.from({ length: 500 }, () => random.beta(1e6, 1e6));
    // The standard deviation is 1 ÷ √(8e6).
    expect(Math.max(...large.map((value) => Math.abs(value - 0.5)))).toBeLessThan(5 / Math.sqrt(8e6));
    expect(() => random.beta(0, 1)).toThrow(/two positive parameters, got 0 and 1/);
    expect(() => random.gamma(-1)).toThrow(/positive shape, got -1/);
  });

  it('permute, pick and count within bounds', () => {
    const random = new Random(1);
    expect([...random.permutation(50)].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect([...random.permutation(0)]).toEqual([]);
    expect(new Set(Array.from({ length: 200 }, () => random.integer(3)))).toEqual(new Set([0, 1, 2]));
    expect(['a', 'b']).toContain(random.pick(['a', 'b']));
    expect(() => random.pick([])).toThrow(/non-empty/);
  });
});
