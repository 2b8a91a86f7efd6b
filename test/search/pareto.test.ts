import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Random } from '../../core/random.ts';
import { dominates, hypervolume, nonDominated, paretoSet } from '../../search/pareto.ts';

const accuracyLatency = ['max', 'min'] as const;
const point = fc.tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 6 }));
const mixed = ['max', 'min', 'max'] as const;

describe('dominance', () => {
  test('accuracy up and latency down: better in one and worse in none', () => {
    expect(dominates([0.9, 5], [0.8, 5], accuracyLatency)).toBe(true);
    expect(dominates([0.9, 6], [0.8, 5], accuracyLatency)).toBe(false);
    expect(dominates([0.9, 5], [0.9, 5], accuracyLatency)).toBe(false);
  });

  test('it is a strict partial order', () => {
    fc.assert(
      fc.property(point, point, point, (a, b, c) => {
        expect(dominates(a, b, mixed) && dominates(b, a, mixed)).toBe(false);
        if (dominates(a, b, mixed) && dominates(b, c, mixed)) expect(dominates(a, c, mixed)).toBe(true);
      }),
    );
  });

  test('every point is in the front or dominated by one that is', () => {
    fc.assert(
      fc.property(fc.array(point, { minLength: 1, maxLength: 20 }), (points) => {
        const front = nonDominated(points, mixed);
        const items = paretoSet(points, (item) => item, mixed);
        expect(items).toEqual(front.map((index) => points[index]));
        for (const [index, candidate] of points.entries())
          expect(front.includes(index)).toBe(!items.some((item) => dominates(item, candidate, mixed)));
        expect(front.length).toBeGreaterThan(0);
      }),
    );
  });

  test('NaN and a wrong number of objectives are refused', () => {
    expect(() => nonDominated([[Number.NaN, 1]], accuracyLatency)).toThrow(RangeError);
    expect(() => dominates([1], [1, 2], accuracyLatency)).toThrow('expected 2 objectives');
  });
});

describe('hypervolume', () => {
  test('two steps in two dimensions, by hand', () => {
    // From the reference (0, 10): (.5, 4) spans .5 × 6, (.8, 8) adds .3 × 2.
    expect(
      hypervolume(
        [
          [0.5, 4],
          [0.8, 8],
        ],
        accuracyLatency,
        [0, 10],
      ),
    ).toBeCloseTo(3.6, 12);
  });

  test('points beyond the reference and dominated ones add nothing', () => {
    const points = [
      [0.5, 4],
      [0.4, 5],
      [0.9, 11],
      [-1, 1],
    ];
    expect(hypervolume(points, accuracyLatency, [0, 10])).toBeCloseTo(3, 12);
    expect(hypervolume([], accuracyLatency, [0, 10])).toBe(0);
  });

  test('in three dimensions it is the union of boxes counted cell by cell', () => {
    fc.assert(
      fc.property(fc.array(point, { maxLength: 8 }), (points) => {
        let cells = 0;
        // Unit cells of the box between the reference (0, 6, 0) and the ideal (6, 0, 6).
        for (let x = 0; x < 6; x++)
          for (let y = 0; y < 6; y++)
            for (let z = 0; z < 6; z++) if (points.some(([a, b, c]) => a > x && b <= y && c > z)) cells++;
        expect(hypervolume(points, mixed, [0, 6, 0])).toBeCloseTo(cells, 9);
      }),
    );
  });

  test('in four dimensions it agrees with random sampling within five sigma', () => {
    const random = new Random('hypervolume');
    const points = Array.from({ length: 6 }, () => Array.from({ length: 4 }, () => random.uniform()));
    const samples = 20_000;
    let inside = 0;
    for (let index = 0; index < samples; index++) {
      const sample = Array.from({ length: 4 }, () => random.uniform());
      if (points.some((candidate) => candidate.every((value, axis) => value >= (sample[axis] ?? 0)))) inside++;
    }
    const exact = hypervolume(points, ['max', 'max', 'max', 'max'], [0, 0, 0, 0]);
    const sigma = Math.sqrt((exact * (1 - exact)) / samples);
    expect(Math.abs(inside / samples - exact)).toBeLessThan(5 * sigma);
  });
});
