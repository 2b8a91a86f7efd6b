import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nonNegativeLeastSquares, polynomialFit } from '../../core/least-squares.ts';
import { symmetricEigen } from '../../core/linear-algebra.ts';
import { Random } from '../../core/random.ts';

describe('non-negative least squares', () => {
  it('gives back positive coefficients of columns that differ by fifteen powers of ten', () => {
    const random = new Random('nnls');
    const columns = [1, 1e8, 1e15].map((scale) => Array.from({ length: 20 }, () => scale * random.uniform()));
    const truth = [3, 2e-8, 5e-15];
    const target = Array.from({ length: 20 }, (_, i) =>
      columns.reduce((sum, column, k) => sum + (column[i] ?? 0) * (truth[k] ?? 0), 0),
    );
    const { coefficients } = nonNegativeLeastSquares(columns, target);
    for (const [k, value] of coefficients.entries()) expect(value / (truth[k] ?? 1)).toBeCloseTo(1, 6);
  });

  it('meets the conditions of Karush, Kuhn and Tucker: no gradient on what is used, an upward one on what is not', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 4 }), (seed, count) => {
        const random = new Random(seed);
        const columns = Array.from({ length: count }, () => Array.from({ length: 8 }, () => random.normal()));
        const target = Array.from({ length: 8 }, () => random.normal());
        const { coefficients, squaredError } = nonNegativeLeastSquares(columns, target);
        const residual = target.map(
          (value, i) => value - columns.reduce((sum, column, k) => sum + (column[i] ?? 0) * (coefficients[k] ?? 0), 0),
        );
        expect(squaredError).toBeCloseTo(
          residual.reduce((sum, value) => sum + value * value, 0),
          8,
        );
        for (const [k, column] of columns.entries()) {
          const slope = column.reduce((sum, value, i) => sum + value * (residual[i] ?? 0), 0);
          if ((coefficients[k] ?? 0) > 0) expect(Math.abs(slope)).toBeLessThan(1e-7);
          else expect(slope).toBeLessThan(1e-7);
        }
      }),
    );
  });

  it('leaves a column out that the others span', () => {
    const { coefficients } = nonNegativeLeastSquares(
      [
        [1, 2, 3],
        [2, 4, 6],
      ],
      [1, 2, 3],
    );
    expect(coefficients.reduce((sum, value, k) => sum + value * (k + 1), 0)).toBeCloseTo(1, 8);
  });
});

describe('polynomial fits', () => {
  it('recover a parabola far from the origin', () => {
    const x = [20, 20.1, 20.25, 20.4, 20.6];
    const [c0 = 0, c1 = 0, c2 = 0] = polynomialFit(
      x,
      x.map((value) => 3 + 0.5 * (value - 20.3) ** 2),
      2,
    );
    expect(-c1 / (2 * c2)).toBeCloseTo(20.3, 9);
    expect(c0 - c1 ** 2 / (4 * c2)).toBeCloseTo(3, 8);
  });

  it('want enough distinct abscissae', () => {
    expect(() => polynomialFit([1, 1, 1], [1, 2, 3], 1)).toThrow(/at least 2 distinct/);
    expect(() => polynomialFit([1, 2, 1], [1, 2, 3], 2)).toThrow(/at least 3 distinct/);
  });
});

describe('eigenvalues of a symmetric matrix', () => {
  it('come with vectors that they stretch, largest first', () => {
    const random = new Random('eigen');
    const half = Array.from({ length: 5 }, () => Array.from({ length: 5 }, () => random.normal()));
    const matrix = half.map((a) => half.map((b) => a.reduce((sum, value, k) => sum + value * (b[k] ?? 0), 0)));
    const { values, vectors } = symmetricEigen(matrix);
    expect(values).toEqual(values.toSorted((a, b) => b - a));
    for (const [k, vector] of vectors.entries())
      for (const [i, row] of matrix.entries())
        expect(row.reduce((sum, value, j) => sum + value * (vector[j] ?? 0), 0)).toBeCloseTo(
          (values[k] ?? 0) * (vector[i] ?? 0),
          9,
        );
  });
});
