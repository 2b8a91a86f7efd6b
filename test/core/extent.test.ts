import { expect, it } from 'vitest';
import { extent } from '../../core/extent.ts';

it('finds the least and the greatest of more values than a call may have arguments', () => {
  expect(extent(Array.from({ length: 500_000 }, (_, index) => (index * 7) % 500_000))).toEqual([0, 499_999]);
  expect(extent([2, NaN])).toEqual([NaN, NaN]);
});
