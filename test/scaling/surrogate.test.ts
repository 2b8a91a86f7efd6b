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
});
