import { describe, expect, test } from 'vitest';
import { Random } from '../../core/random.ts';
import { type FamilyCandidate, type FamilyRange, selectFamily } from '../../scaling/family-selection.ts';

const range: FamilyRange = { members: 4, fromMs: 1, toMs: 8 };

function drawn(seed: number, count = 12): readonly FamilyCandidate[] {
  const random = new Random('family').child(seed);
  return Array.from({ length: count }, () => {
    const latencyMs = Math.exp(Math.log(8) * random.uniform());
    return { latencyMs, accuracy: 0.4 + 0.1 * Math.log(latencyMs) + 0.04 * random.normal() };
  });
}

function logit({ accuracy }: FamilyCandidate): number {
  return Math.log(accuracy / (1 - accuracy));
}

/** Accuracy, in logits, that budgets evenly spread in ln latency get from a family, by summing over a fine grid of budgets. */
function area(
  family: readonly FamilyCandidate[],
  front: readonly FamilyCandidate[],
  { members, fromMs, toMs }: FamilyRange,
): number {
  const logits = front.map(logit);
  const floor = Math.min(...logits) - (Math.max(...logits) - Math.min(...logits)) / members;
  const end = Math.log(toMs) + Math.log(toMs / fromMs) / members;
  const steps = 4000;
  let sum = 0;
  for (let step = 0; step < steps; step++) {
    const budgetMs = Math.exp((end * (step + 0.5)) / steps);
    const within = family.filter(({ latencyMs }) => latencyMs <= budgetMs).map(logit);
    sum += Math.max(0, ...within.map((value) => value - floor)) * (end / steps);
  }
  return sum;
}

function subsets<T>(items: readonly T[], most: number): readonly (readonly T[])[] {
  const [first, ...rest] = items;
  if (first === undefined || most === 0) return [[]];
  return [...subsets(rest, most), ...subsets(rest, most - 1).map((subset) => [first, ...subset])];
}

describe('a family selected from trained candidates', () => {
  test.each([1, 2, 3, 4, 5])('is the best of all subsets, by brute force (draw %i)', (seed) => {
    const candidates = drawn(seed);
    const front = candidates.filter(
      (a) => !candidates.some((b) => b !== a && b.latencyMs <= a.latencyMs && b.accuracy >= a.accuracy),
    );
    const chosen = selectFamily(candidates, range);
    const best = Math.max(...subsets(front, range.members).map((subset) => area(subset, front, range)));
    // The grid of budgets is off by less than one of its steps for each member: 4 · (ln 8 ÷ 4000).
    expect(area(chosen, front, range)).toBeGreaterThan(best - 3e-3);
  });

  test('has no member that a faster one equals', () => {
    for (let seed = 0; seed < 20; seed++) {
      const chosen = selectFamily(drawn(seed, 40), range);
      expect(chosen.length).toBeLessThanOrEqual(4);
      for (const [index, member] of chosen.entries()) {
        expect(member.latencyMs).toBeGreaterThan(chosen[index - 1]?.latencyMs ?? 0);
        expect(member.accuracy).toBeGreaterThan(chosen[index - 1]?.accuracy ?? 0);
      }
    }
  });

  test('spreads over the range where accuracy grows evenly', () => {
    const even = Array.from({ length: 61 }, (_, index) => {
      const x = (Math.log(8) * index) / 60;
      return { latencyMs: Math.exp(x), accuracy: 1 / (1 + Math.exp(-0.2 * x)) };
    });
    const steps = selectFamily(even, { ...range, members: 5 }).map(({ latencyMs }) => Math.log(latencyMs));
    expect(steps).toHaveLength(5);
    const gaps = steps.slice(1).map((x, index) => x - (steps[index] ?? 0));
    expect(Math.max(...gaps) / Math.min(...gaps)).toBeLessThan(1.35);
    expect((steps.at(-1) ?? 0) - (steps[0] ?? 0)).toBeGreaterThan(0.7 * Math.log(8));
  });

  test('is smaller where the front is, and empty without candidates', () => {
    const only = { latencyMs: 1, accuracy: 0.9 };
    expect(selectFamily([only, { latencyMs: 2, accuracy: 0.8 }, { latencyMs: 4, accuracy: 0.9 }], range)).toEqual([
      only,
    ]);
    expect(selectFamily([], range)).toEqual([]);
  });
});
