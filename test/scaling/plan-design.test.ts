import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { logLosses } from '../../scaling/fit-selection.ts';
import { fitLaw } from '../../scaling/fit.ts';
import { chinchilla } from '../../scaling/laws/chinchilla.ts';
import { columnsOf, lossAt, thetaOf } from '../../scaling/laws/law.ts';
import { proposeTrials } from '../../scaling/plan-design.ts';

const theta = thetaOf(chinchilla, { A: 482, B: 2085, E: 1.8169, alpha: 0.3478, beta: 0.3659 });
const request = { law: chinchilla, theta, trials: 10, flops: 1e20, targetFlops: 1e22, noise: 0.002 };

describe('a proposed design', () => {
  it('keeps to its budget, repeats no trial and can be identified', () => {
    const { trials, flops, check } = proposeTrials(request);
    expect(trials).toHaveLength(10);
    expect(new Set(trials.map(({ params, data }) => `${params}/${data}`)).size).toBe(10);
    expect(flops).toBeLessThanOrEqual(1e20);
    expect(check.problems).toEqual([]);
    expect(check.ratioSpread).toBeGreaterThan(0.02);
  });

  it('gives the exponent the standard error it promises', () => {
    const { trials, expected } = proposeTrials({ ...request, trials: 14 });
    const random = new Random('promise');
    const points = columnsOf(trials);
    const exponents = Array.from({ length: 60 }, () => {
      const runs = trials.map((trial) => ({
        ...trial,
        loss: lossAt(chinchilla, theta, trial) * Math.exp(0.002 * random.normal()),
        line: 0,
      }));
      const fit = fitLaw(chinchilla, points, logLosses(runs), {
        penalty: { kind: 'huber', delta: 1 },
        starts: [theta],
      });
      return chinchilla.exponents(fit.theta)?.params ?? Number.NaN;
    });
    const mean = exponents.reduce((sum, value) => sum + value, 0) / exponents.length;
    const deviation = Math.sqrt(exponents.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 59);
    // The standard deviation of 60 normals is known to 9 %: four sigma, and some for curvature.
    expect(deviation / expected.exponent).toBeGreaterThan(0.6);
    expect(deviation / expected.exponent).toBeLessThan(1.4);
  });

  it('tells more with more trials', () => {
    const errors = [6, 10, 20].map((trials) => proposeTrials({ ...request, trials }).expected.logParams);
    expect(errors).toEqual(errors.toSorted((a, b) => b - a));
  });

  it('needs more trials than parameters', () => {
    expect(() => proposeTrials({ ...request, trials: 5 })).toThrow(/expected more than 5 trials/);
    expect(() => proposeTrials({ ...request, trials: 41 })).toThrow(/at most 40 trials/);
  });
});
