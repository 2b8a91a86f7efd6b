import { describe, expect, test } from 'vitest';
import { Random } from '../../core/random.ts';
import { latencyDesign } from '../../scaling/latency-design.ts';
import type { Multipliers } from '../../scaling/multipliers.ts';
import { fitAccuracy, fitLatency } from '../../scaling/surrogate.ts';
import { smallBase } from './base.ts';

const design = latencyDesign(smallBase(), { maxResolution: 64 }, 4).map(({ realised }) => realised);
const powerLaw = ({ depth, width, resolution }: Multipliers) => 0.8 * depth ** 0.9 * width ** 1.3 * resolution ** 1.9;
const accuracyOf = ({ depth, width, resolution }: Multipliers) =>
  1 / (1 + Math.exp(-(0.4 + 0.1 * Math.log(depth) + 0.6 * Math.log(width) + 0.3 * Math.log(resolution))));
const unseen: Multipliers = { depth: 2, width: 1.5, resolution: 1.4 };

describe('the latency surrogate', () => {
  test('learns a power law from the design, noise of 3 % included', () => {
    const random = new Random('latency');
    const observations = design.map((multipliers) => ({
      multipliers,
      latencyMs: powerLaw(multipliers) * Math.exp(0.03 * random.normal()),
    }));
    const surrogate = fitLatency(observations);
    expect(surrogate.leaveOneOutError).toBeLessThan(0.09);
    expect(Math.abs(Math.log(surrogate.predict(unseen).latencyMs / powerLaw(unseen)))).toBeLessThan(0.09);
    const { lo, hi } = surrogate.predict(unseen).intervalMs;
    expect(lo).toBeLessThan(powerLaw(unseen));
    expect(hi).toBeGreaterThan(powerLaw(unseen));
  });

  test.each([
    { grows: 'never', power: 0 },
    { grows: 'with-depth', power: 1 },
  ])('finds an overhead that grows $grows, and so does not take large networks for fast', ({ grows, power }) => {
    const truth = (multipliers: Multipliers) => 1.5 * multipliers.depth ** power + powerLaw(multipliers);
    const surrogate = fitLatency(design.map((multipliers) => ({ multipliers, latencyMs: truth(multipliers) })));
    expect(surrogate.overhead.grows).toBe(grows);
    expect(surrogate.overhead.ms).toBeCloseTo(1.5, 0);
    const huge = { depth: 4, width: 1, resolution: 1.75 };
    expect(Math.abs(Math.log(surrogate.predict(huge).latencyMs / truth(huge)))).toBeLessThan(0.03);
    // Doubling the width of a network that is mostly overhead hardly costs: the exponent at the base says so.
    expect(surrogate.exponents.width).toBeLessThan(0.6);
  });

  test('from the base alone it still ranks by size, with a wide interval', () => {
    const surrogate = fitLatency([{ multipliers: { depth: 1, width: 1, resolution: 1 }, latencyMs: 2 }]);
    const { latencyMs, intervalMs } = surrogate.predict(unseen);
    expect(latencyMs).toBeGreaterThan(4);
    expect(intervalMs.hi / intervalMs.lo).toBeGreaterThan(1.5);
  });
});

describe('the accuracy surrogate', () => {
  test('finds which direction helps', () => {
    const random = new Random('accuracy');
    const observations = design.map((multipliers) => ({
      multipliers,
      accuracy: accuracyOf(multipliers) + 0.005 * random.normal(),
    }));
    const { predict } = fitAccuracy(observations);
    const wide = predict({ depth: 1, width: 2, resolution: 1 }).accuracy;
    const deep = predict({ depth: 2, width: 1, resolution: 1 }).accuracy;
    expect(wide).toBeGreaterThan(deep + 0.03);
    expect(Math.abs(predict(unseen).accuracy - accuracyOf(unseen))).toBeLessThan(0.03);
  });

  test('is surer where it has seen networks, and never predicts beyond 0 … 1', () => {
    const { predict } = fitAccuracy(design.slice(0, 4).map((multipliers) => ({ multipliers, accuracy: 0.999 })));
    expect(predict(design[1] ?? unseen).logitSd).toBeLessThan(predict({ depth: 8, width: 5, resolution: 3 }).logitSd);
    expect(predict({ depth: 8, width: 5, resolution: 3 }).accuracy).toBeLessThanOrEqual(1);
    expect(fitAccuracy([{ multipliers: unseen, accuracy: 1 }]).predict(unseen).logit).toBeLessThan(8);
  });
});
