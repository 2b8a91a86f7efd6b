import { describe, expect, it } from 'vitest';
import { chinchilla } from '../../../scaling/laws/chinchilla.ts';
import {
  bestForLifetime,
  cheapestForLoss,
  inferenceAwareConstants,
  lifetimeFlops,
} from '../../../scaling/laws/inference-aware.ts';
import { lossAt, thetaOf } from '../../../scaling/laws/law.ts';

const theta = thetaOf(chinchilla, inferenceAwareConstants.values);

describe('inference-aware allocation', () => {
  it('without inference is the compute-optimal one', () => {
    const { params, data } = chinchilla.optimum(theta, 1e22);
    const tuple = cheapestForLoss(chinchilla, theta, lossAt(chinchilla, theta, { params, data }), 0);
    expect((tuple?.params ?? 0) / params).toBeCloseTo(1, 3);
    expect((tuple?.data ?? 0) / data).toBeCloseTo(1, 3);
  });

  it('serves more with a smaller, longer-trained model', () => {
    const sizes = [0, 1e11, 1e12, 1e13].map((tokens) => cheapestForLoss(chinchilla, theta, 2.1, tokens)?.params ?? 0);
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
    expect(new Set(sizes).size).toBe(4);
  });

  it('is one curve read from either side: the budget for a loss buys that loss', () => {
    const tuple = cheapestForLoss(chinchilla, theta, 2.0, 3e12);
    if (!tuple) throw new Error('2.0 nats can be reached');
    const back = bestForLifetime(chinchilla, theta, lifetimeFlops(tuple, 3e12), 3e12);
    expect(back.params / tuple.params).toBeCloseTo(1, 3);
    expect(lossAt(chinchilla, theta, back)).toBeCloseTo(2, 6);
  });

  it('knows a loss that no model reaches', () => {
    expect(cheapestForLoss(chinchilla, theta, 1.6, 1e12)).toBeNull();
  });
});
