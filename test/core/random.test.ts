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

  it('permute, pick and count within bounds', () => {
    const random = new Random(1);
    expect([...random.permutation(50)].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect([...random.permutation(0)]).toEqual([]);
    expect(new Set(Array.from({ length: 200 }, () => random.integer(3)))).toEqual(new Set([0, 1, 2]));
    expect(['a', 'b']).toContain(random.pick(['a', 'b']));
    expect(() => random.pick([])).toThrow(/non-empty/);
  });
});
