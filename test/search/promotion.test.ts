import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dominates } from '../../search/pareto.ts';
import { dominatesBeyondNoise, promotionOrder, type RungResult } from '../../search/promotion.ts';

const loss = fc.integer({ min: 0, max: 5 });
const results = (tolerance: fc.Arbitrary<number>) =>
  fc
    .array(fc.tuple(loss, loss, loss, tolerance, tolerance, fc.integer({ min: 0, max: 9 })), { maxLength: 14 })
    .map((rows) =>
      rows.map(([a, b, c, noiseOfB, noiseOfC, reward], index): RungResult => ({
        id: `t${index}`,
        losses: [a, b, c],
        tolerances: [0, noiseOfB, noiseOfC],
        reward,
      })),
    );
const noisy = results(fc.constantFrom(0, 0.5, 1, 2));
const exact = results(fc.constant(0));

const result = (id: string, losses: readonly number[], over: Partial<RungResult> = {}): RungResult => ({
  id,
  losses,
  tolerances: losses.map(() => 0),
  reward: 0,
  ...over,
});

/** The rule word for word, at each place from the beginning: slow, and another program than the one that is tested. */
function byDefinition(all: readonly RungResult[]): readonly RungResult[] {
  const left = [...all];
  const placed: RungResult[] = [];
  const take = (one: RungResult) => placed.push(...left.splice(left.indexOf(one), 1));
  for (const one of all)
    if (all.every((other) => other.reward <= one.reward)) {
      take(one);
      break;
    }
  let peeled: readonly RungResult[] = [];
  while (left.length > 0) {
    const rest = all.filter((one) => !peeled.includes(one));
    const front = rest.filter((one) => rest.every((other) => !dominatesBeyondNoise(other, one)));
    const span = [0, 1, 2].map((k) => {
      const values = front.map(({ losses }) => losses[k] ?? 0);
      return Math.max(...values) - Math.min(...values) || 1;
    });
    const gap = (one: RungResult) =>
      Math.min(
        ...placed.map((other) =>
          Math.sqrt(
            span.reduce((sum, range, k) => sum + (((one.losses[k] ?? 0) - (other.losses[k] ?? 0)) / range) ** 2, 0),
          ),
        ),
      );
    for (;;) {
      const waiting = front.filter((one) => left.includes(one));
      if (waiting.length === 0) break;
      const gaps = waiting.map(gap);
      // Equal to the last digit but one: two ways to sum a square root.
      take(waiting[gaps.findIndex((value) => value > Math.max(...gaps) - 1e-9)] as RungResult);
    }
    peeled = [...peeled, ...front];
  }
  return placed;
}

describe('better beyond noise', () => {
  test('is Pareto dominance where values are exact', () => {
    fc.assert(
      fc.property(exact, (all) => {
        for (const a of all)
          for (const b of all)
            expect(dominatesBeyondNoise(a, b)).toBe(dominates(a.losses, b.losses, ['min', 'min', 'min']));
      }),
    );
  });

  test('a latency that is less within noise does not make up for an accuracy that is lower', () => {
    const tolerances = [0, 0.03];
    const [good, poorer] = [result('good', [0.1, 1], { tolerances }), result('poorer', [0.2, 0.97], { tolerances })];
    expect(dominatesBeyondNoise(good, poorer)).toBe(true);
    expect(dominatesBeyondNoise(poorer, good)).toBe(false);
    expect(dominatesBeyondNoise(good, result('faster', [0.2, 0.95], { tolerances }))).toBe(false);
  });

  test('has no cycles: something is always unbeaten', () => {
    fc.assert(
      fc.property(noisy, (all) => {
        fc.pre(all.length > 0);
        expect(all.some((one) => all.every((other) => !dominatesBeyondNoise(other, one)))).toBe(true);
      }),
    );
  });
});

describe('the order of promotion', () => {
  test('is the definition, computed by another program', () => {
    fc.assert(
      fc.property(noisy, (all) => {
        expect(promotionOrder(all, all.length).map(({ id }) => id)).toEqual(byDefinition(all).map(({ id }) => id));
      }),
      { numRuns: 500 },
    );
  });

  test('of a few is the beginning of the order of all', () => {
    fc.assert(
      fc.property(noisy, fc.integer({ min: 0, max: 14 }), (all, count) => {
        expect(promotionOrder(all, count)).toEqual(promotionOrder(all, all.length).slice(0, count));
      }),
    );
  });

  test('begins with the highest reward, then spreads over the front', () => {
    const front = [0, 1, 2, 3, 4].map((x) => result(`f${x}`, [x, 4 - x], { reward: x === 1 ? 1 : 0 }));
    const beaten = result('beaten', [5, 5]);
    const order = promotionOrder([beaten, ...front], 6).map(({ id }) => id);
    expect(order.slice(0, 2)).toEqual(['f1', 'f4']);
    expect(order.at(-1)).toBe('beaten');
  });
});
