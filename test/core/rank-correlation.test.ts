import { expect, it } from 'vitest';
import { rankCorrelation } from '../../core/rank-correlation.ts';

it('is one for any increasing relation, minus one for any decreasing one, and ties share their rank', () => {
  expect(rankCorrelation([1, 2, 3, 10], [1, 4, 9, 1e6])).toBeCloseTo(1, 12);
  expect(rankCorrelation([1, 2, 3], [3, 2, 1])).toBeCloseTo(-1, 12);
  // 1 − 6 Σ d² ÷ (n (n² − 1)) without ties: d² sums to 2 + 2 = 4 of n = 5.
  expect(rankCorrelation([1, 2, 3, 4, 5], [2, 1, 3, 5, 4])).toBeCloseTo(1 - (6 * 4) / 120, 12);
  // Ranks −1, ½, ½ against −1, 0, 1.
  expect(rankCorrelation([1, 2, 2], [1, 2, 3])).toBeCloseTo(1.5 / Math.sqrt(1.5 * 2), 12);
});
