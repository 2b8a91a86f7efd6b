import { describe, expect, test } from 'vitest';
import { meanOverCosts, rewardOf, rewardSchema } from '../../search/reward.ts';

const at = (kind: string, accuracy: number, latencyMs: number, extra: object = {}): number =>
  rewardOf(rewardSchema.parse({ kind, costs: [{ metric: 'latencyMs.cpu', target: 10, ...extra }] }), {
    accuracy,
    'latencyMs.cpu': latencyMs,
  });

describe('rewards', () => {
  test('product: twice the latency for 5 % more accuracy is a tie within .1 %', () => {
    expect(at('product', 0.7 * 1.05, 20) / at('product', 0.7, 10)).toBeCloseTo(1, 3);
  });

  test('hard product: nothing gained below the target, proportional loss above', () => {
    expect(at('product', 0.75, 8, { below: 0, above: -1 })).toBe(0.75);
    expect(at('product', 0.75, 20, { below: 0, above: -1 })).toBeCloseTo(0.375, 12);
  });

  test('absolute: missing the target by a fifth costs .02 on either side', () => {
    expect(at('absolute', 0.75, 12)).toBeCloseTo(0.73, 12);
    expect(at('absolute', 0.75, 8)).toBeCloseTo(0.73, 12);
  });

  test('hard-capped and one-sided: below the target costs nothing', () => {
    expect(at('hard-capped', 0.75, 8)).toBe(0.75);
    expect(at('one-sided', 0.75, 8)).toBe(0.75);
    expect(at('one-sided', 0.75, 12)).toBeCloseTo(0.73, 12);
    expect(at('hard-capped', 0.75, 12)).toBeCloseTo(0.75 * 1.2 ** -0.07, 12);
  });

  test('EfficientNetV2: accuracy, step time and parameters in one product', () => {
    const reward = rewardSchema.parse({
      kind: 'product',
      costs: [
        { metric: 'stepMs', target: 2, below: -0.07, above: -0.07 },
        { metric: 'params', target: 1e6, below: -0.05, above: -0.05 },
      ],
    });
    const value = rewardOf(reward, { accuracy: 0.8, stepMs: 6, params: 4e6 });
    expect(value).toBeCloseTo(0.8 * 3 ** -0.07 * 4 ** -0.05, 12);
  });

  test('several one-sided costs add', () => {
    const costs = [
      { metric: 'a', target: 1 },
      { metric: 'b', target: 1 },
    ];
    const metrics = { accuracy: 0.9, a: 1.5, b: 2 };
    expect(rewardOf(rewardSchema.parse({ kind: 'one-sided', costs }), metrics)).toBeCloseTo(0.75, 12);
  });

  test('a metric that was not measured is named', () => {
    expect(() =>
      rewardOf(rewardSchema.parse({ kind: 'absolute', costs: [{ metric: 'x', target: 1 }] }), { accuracy: 1 }),
    ).toThrow('expected the metric x, got only accuracy');
  });

  test('rewards for being slow are refused', () => {
    const costs = [{ metric: 'x', target: 1, weight: 0.1 }];
    expect(rewardSchema.safeParse({ kind: 'absolute', costs }).success).toBe(false);
  });
});

describe('a reward over several targets', () => {
  const metrics = { accuracy: 0.8, 'latencyMs.a': 7, 'latencyMs.b': 90, 'latencyMs.c': 2 };
  const costs = ['a', 'b', 'c'].map((name) => ({ metric: `latencyMs.${name}`, target: 10 }));
  const alone = (kind: string) => costs.map((cost) => rewardOf(rewardSchema.parse({ kind, costs: [cost] }), metrics));
  const together = (kind: string) => rewardOf(meanOverCosts(rewardSchema.parse({ kind, costs })), metrics);

  test.each(['product', 'hard-capped'])('%s: it is the geometric mean of the targets’ own', (kind) => {
    expect(together(kind)).toBeCloseTo(alone(kind).reduce((all, one) => all * one, 1) ** (1 / 3), 12);
  });

  test.each(['absolute', 'one-sided'])('%s: it is the mean of the targets’ own', (kind) => {
    expect(together(kind)).toBeCloseTo(alone(kind).reduce((all, one) => all + one, 0) / 3, 12);
  });

  test('with one target it is that target’s', () => {
    for (const kind of ['product', 'hard-capped', 'absolute', 'one-sided']) {
      const reward = rewardSchema.parse({ kind, costs: [{ metric: 'latencyMs.a', target: 10 }] });
      expect(meanOverCosts(reward)).toEqual(reward);
    }
  });
});
