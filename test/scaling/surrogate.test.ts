import { describe, expect, test } from 'vitest';
import { Random } from '../../core/random.ts';
import { latencyDesign } from '../../scaling/latency-design.ts';
import type { Multipliers } from '../../scaling/multipliers.ts';
import { fitAccuracy } from '../../scaling/surrogate.ts';
import { smallBase } from './base.ts';

const design = latencyDesign(smallBase(), { maxResolution: 64 }, 4).map(({ realised }) => realised);
const accuracyOf = ({ depth, width, resolution }: Multipliers) =>
  1 / (1 + Math.exp(-(0.4 + 0.1 * Math.log(depth) + 0.6 * Math.log(width) + 0.3 * Math.log(resolution))));
const unseen: Multipliers = { depth: 2, width: 1.5, resolution: 1.4 };

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

  test('predicts unseen scalings better with trainings at another fidelity than without them', () => {
    const random = new Random('fidelity');
    let [without, withThem] = [0, 0];
    for (let draw = 0; draw < 20; draw++) {
      const slopes = {
        depth: 0.5 * random.uniform(),
        width: 0.7 * random.uniform(),
        resolution: 0.9 * random.uniform(),
      };
      const truth = ({ depth, width, resolution }: Multipliers) =>
        0.3 +
        slopes.depth * Math.log(depth) +
        slopes.width * Math.log(width) +
        slopes.resolution * Math.log(resolution);
      const trained = (multipliers: Multipliers, level: number) =>
        1 / (1 + Math.exp(-(truth(multipliers) + level + 0.05 * random.normal())));
      const known = design.slice(0, 3).map((multipliers) => ({ multipliers, accuracy: trained(multipliers, 0) }));
      const lower = design.map((multipliers) => ({
        multipliers,
        accuracy: trained(multipliers, -0.6),
        examplesRatio: 0.3,
      }));
      const error = (observations: Parameters<typeof fitAccuracy>[0]) =>
        design
          .slice(3)
          .reduce((sum, each) => sum + (fitAccuracy(observations).predict(each).logit - truth(each)) ** 2, 0);
      without += error(known);
      withThem += error([...known, ...lower]);
    }
    expect(withThem).toBeLessThan(0.5 * without);
  });

  test('learns from other networks how accuracy grows, not where it stands', () => {
    const others = design.map((multipliers) => ({
      multipliers,
      accuracy: accuracyOf(multipliers) * 0.8,
      isOther: true,
    }));
    const anchor = { multipliers: { depth: 1, width: 1, resolution: 1 }, accuracy: 0.6 };
    const alone = fitAccuracy([anchor]);
    const informed = fitAccuracy([anchor, ...others]);
    expect(informed.predict(anchor.multipliers).accuracy).toBeCloseTo(0.6, 1);
    expect(informed.predict(unseen).logitSd).toBeLessThan(alone.predict(unseen).logitSd);
  });
});
