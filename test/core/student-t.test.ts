import { expect, it } from 'vitest';
import { studentT } from '../../core/student-t.ts';

it.each([
  [1, 12.7062],
  [2, 4.30265],
  [3, 3.18245],
  [4, 2.77645],
  [7, 2.36462],
  [30, 2.04227],
])('Student’s t at 95 %% with %i degrees of freedom is the tables’ %f', (degrees, expected) => {
  expect(studentT(0.95, degrees)).toBeCloseTo(expected, 4);
});
