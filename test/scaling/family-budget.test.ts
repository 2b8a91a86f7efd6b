import { array, assert, double, property, tuple } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allocateExamples, evenExamples, type FamilyPart, leanToEven } from '../../scaling/family-budget.ts';
import { effectiveData } from '../../scaling/laws/data-constrained.ts';

const wide = { least: 1, most: 1e12 };

/** A part whose loss is `scale` ÷ D^β. */
const powerPart = (cost: number, scale: number, beta: number): FamilyPart => ({
  cost,
  gain: (examples) => (beta * scale) / examples ** (beta + 1),
});

function ratioOf([small = 0, large = 1]: readonly number[]): number {
  return small / large;
}

describe('a budget divided over a family', () => {
  it('gives D ∝ cost^(−1/(1+β)) where the loss falls as a power, and is spent', () => {
    const costs = [1, 2, 8];
    const beta = 0.4;
    const total = 1e7;
    const examples = allocateExamples(
      costs.map((cost) => powerPart(cost, 300, beta)),
      { ...wide, total },
    );
    const shares = costs.map((cost) => cost ** (-1 / (1 + beta)));
    const unit = total / costs.reduce((sum, cost, k) => sum + cost * (shares[k] ?? 0), 0);
    for (const [k, share] of shares.entries()) expect((examples[k] ?? 0) / (unit * share)).toBeCloseTo(1, 5);
    expect(examples.reduce((sum, amount, k) => sum + amount * (costs[k] ?? 0), 0)).toBeLessThanOrEqual(total);
  });

  it('has the least loss of all divisions on a fine grid, repeats discounted and within bounds', () => {
    const unique = 5000;
    const loss = (scale: number, examples: number): number => scale / effectiveData(examples, unique) ** 0.5;
    const parts = [
      { cost: 1, scale: 10 },
      { cost: 3, scale: 14 },
      { cost: 7, scale: 8 },
    ];
    for (const total of [3e4, 2e5, 3e6]) {
      const budget = { total, least: 1500, most: 150_000 };
      const found = allocateExamples(
        parts.map(({ cost, scale }) => ({
          cost,
          gain: (x: number) => (loss(scale, x * 0.9999) - loss(scale, x * 1.0001)) / (2e-4 * x),
        })),
        budget,
      );
      const sumOf = (examples: readonly number[]): number =>
        parts.reduce((sum, { scale }, k) => sum + loss(scale, examples[k] ?? 0), 0);
      const grid = Array.from({ length: 200 }, (_, i) => budget.least * (budget.most / budget.least) ** (i / 199));
      let best = Infinity;
      for (const first of grid)
        for (const second of grid) {
          const third = Math.min((total - first - 3 * second) / 7, budget.most);
          if (third >= budget.least) best = Math.min(best, sumOf([first, second, third]));
        }
      // With the fraction of an example each that rounding took.
      expect(sumOf(found.map((amount) => amount + 1))).toBeLessThan(best * (1 + 1e-9));
      expect(found.reduce((sum, amount, k) => sum + amount * (parts[k]?.cost ?? 0), 0)).toBeLessThanOrEqual(total);
    }
  });

  it('never passes the budget or a bound, and gives nobody less when there is more', () => {
    assert(
      property(
        array(tuple(double({ min: 0.1, max: 1e6, noNaN: true }), double({ min: 0.1, max: 10, noNaN: true })), {
          minLength: 1,
          maxLength: 6,
        }),
        double({ min: 1, max: 1e4, noNaN: true }),
        (parts, scale) => {
          const bounds = { least: 100, most: 1e5 };
          const family = parts.map(([cost, weight]) => powerPart(cost, weight, 0.5));
          const floor = parts.reduce((sum, [cost]) => sum + cost * bounds.least, 0);
          const spentBy = (examples: readonly number[]) =>
            examples.reduce((sum, amount, k) => sum + amount * (parts[k]?.[0] ?? 0), 0);
          const some = allocateExamples(family, { ...bounds, total: floor * scale });
          const more = allocateExamples(family, { ...bounds, total: 2 * floor * scale });
          expect(spentBy(some)).toBeLessThanOrEqual(floor * scale * (1 + 1e-9));
          for (const [k, amount] of some.entries()) {
            expect(amount).toBeGreaterThanOrEqual(bounds.least - 1);
            expect(amount).toBeLessThanOrEqual(bounds.most);
            expect(more[k]).toBeGreaterThanOrEqual(amount - 1);
          }
        },
      ),
    );
  });

  it('gives all the least where there is too little, and the most where there is plenty', () => {
    const parts = [powerPart(1, 1, 0.3), powerPart(5, 1, 0.3)];
    expect(allocateExamples(parts, { total: 10, least: 50, most: 900 })).toEqual([50, 50]);
    expect(allocateExamples(parts, { total: 1e9, least: 50, most: 900 })).toEqual([900, 900]);
  });

  it('leans to the same for all as far as it must, and no further', () => {
    const parts = [powerPart(1, 10, 0.4), powerPart(4, 10, 0.4)];
    const budget = { ...wide, total: 1e6 };
    const free = leanToEven(parts, budget, () => true);
    expect(free.lean).toBe(0);
    expect(free.examples).toEqual(allocateExamples(parts, budget));
    const bound = leanToEven(parts, budget, (examples) => ratioOf(examples) < 1.5);
    expect(ratioOf(bound.examples)).toBeLessThan(1.5);
    // 4^((1 − lean) ÷ 1.4) is below 1.5 from a lean of .6 on.
    expect(bound.lean).toBe(0.6);
    expect(ratioOf(bound.examples)).toBeCloseTo(4 ** (0.4 / 1.4), 3);
    expect(leanToEven(parts, budget, () => false)).toEqual({ examples: [200_000, 200_000], lean: 1 });
  });

  it('evenly gives all the same', () => {
    expect(evenExamples([1, 3], { ...wide, total: 4000 })).toBe(1000);
    expect(evenExamples([1, 3], { total: 4000, least: 2000, most: 5000 })).toBe(2000);
  });
});
