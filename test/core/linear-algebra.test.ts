import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { cholesky, dot, multiply, solve } from '../../core/linear-algebra.ts';

const entry = fc.double({ min: -3, max: 3, noNaN: true });

test('solving with the Cholesky factor undoes multiplication', () => {
  fc.assert(
    fc.property(fc.array(fc.array(entry, { minLength: 4, maxLength: 4 }), { minLength: 4, maxLength: 4 }), (rows) => {
      // RᵀR + I is symmetric and positive definite whatever R is.
      const columns = [0, 1, 2, 3].map((index) => rows.map((row) => row[index] ?? 0));
      const matrix = columns.map((a, i) => columns.map((b, j) => dot(a, b) + (i === j ? 1 : 0)));
      const x = [1, -2, 0.5, 3];
      const solved = solve(cholesky(matrix), multiply(matrix, x));
      for (const [index, value] of x.entries()) expect(solved[index]).toBeCloseTo(value, 6);
    }),
  );
});

test('the factor of a known matrix', () => {
  expect(
    cholesky([
      [4, 2],
      [2, 5],
    ]),
  ).toEqual([
    [2, 0],
    [1, 2],
  ]);
});

test('a matrix that is not positive definite is refused', () => {
  expect(() =>
    cholesky([
      [1, 2],
      [2, 1],
    ]),
  ).toThrow('positive-definite');
});
