import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { macsRatio, type Multipliers } from '../../scaling/multipliers.ts';
import { parseRule } from '../../scaling/rules.ts';
import { solveRule, solveRuleMeasured } from '../../scaling/solve-rule.ts';

const rule = parseRule('efficientnet');

const measure = (multipliers: Multipliers) => Promise.resolve(macsRatio(multipliers));

test('it stops within the tolerance below the target, never above', () => {
  fc.assert(
    fc.property(fc.double({ min: 1.01, max: 200, noNaN: true }), (targetMs) => {
      const solution = solveRule(rule, macsRatio, targetMs);
      expect(solution.status).toBe('reached');
      expect(solution.latencyMs).toBeLessThanOrEqual(targetMs);
      expect(solution.latencyMs).toBeGreaterThanOrEqual(0.97 * targetMs);
      expect(solution.latencyMs).toBe(macsRatio(solution.multipliers));
    }),
  );
});

test('a staircase without a step in the band gives the step below', () => {
  const solution = solveRule(rule, (multipliers) => 2 ** Math.floor(Math.log2(macsRatio(multipliers))), 7);
  expect(solution).toMatchObject({ status: 'below', latencyMs: 4 });
});

test('a target below the base is unreachable, told after one look', () => {
  expect(solveRule(rule, (multipliers) => 5 * macsRatio(multipliers), 4)).toMatchObject({
    status: 'unreachable',
    phi: 0,
    latencyMs: 5,
    evaluations: 1,
  });
});

test('a latency that never grows or is not a number ends the search', () => {
  expect(solveRule(rule, () => 1, 10)).toMatchObject({ status: 'below', latencyMs: 1 });
  expect(solveRule(rule, () => Number.NaN, 10).status).toBe('unreachable');
});

test('a good guess makes few measurements enough', async () => {
  const guess = Math.log(3.95) / Math.log(1.92027);
  const solution = await solveRuleMeasured(rule, measure, 4, { guess, maxEvaluations: 5 });
  expect(solution.status).toBe('reached');
  expect(solution.evaluations).toBe(2);
  const blind = await solveRuleMeasured(rule, measure, 40, { maxEvaluations: 3 });
  expect(blind.evaluations).toBe(3);
  expect(blind.latencyMs).toBeLessThanOrEqual(40);
});
