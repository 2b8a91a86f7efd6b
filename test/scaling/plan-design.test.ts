import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { logLosses } from '../../scaling/fit-selection.ts';
import { fitLaw } from '../../scaling/fit.ts';
import { curvatureAt } from '../../scaling/fit-identifiability.ts';
import { chinchilla } from '../../scaling/laws/chinchilla.ts';
import { dataConstrained } from '../../scaling/laws/data-constrained.ts';
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
    const promised = expected.exponent ?? Number.NaN;
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
    expect(deviation / promised).toBeGreaterThan(0.6);
    expect(deviation / promised).toBeLessThan(1.4);
  });

  it('tells more with more trials', () => {
    const errors = [6, 10, 20].map((trials) => proposeTrials({ ...request, trials }).expected.logParams);
    expect(errors).toEqual(errors.toSorted((a, b) => b - a));
  });

  it('repeats data where a law is of repeats, so that it tells what they are worth', () => {
    const constants = dataConstrained.constants[0]?.values ?? {};
    const repeated = { ...request, trials: 8, law: dataConstrained, theta: thetaOf(dataConstrained, constants) };
    const { trials, check, expected } = proposeTrials(repeated);
    const passes = trials.map(({ data, uniqueData = data }) => data / uniqueData);
    expect(Math.min(...passes)).toBe(1);
    expect(Math.max(...passes)).toBeGreaterThan(10);
    expect(check.problems).toEqual([]);
    const { standardErrors } = curvatureAt(dataConstrained, repeated.theta, columnsOf(trials), request.noise);
    // Of ln R_D* and ln R_N*.
    expect(Math.max(...standardErrors.slice(4))).toBeLessThan(0.1);
    // Its mapping is no power law; with little data the size at the target depends on what repeats are worth.
    expect(expected.exponent).toBeNull();
    expect(proposeTrials({ ...repeated, uniqueData: 1e10 }).expected.logParams).not.toBeCloseTo(expected.logParams, 4);
    // Where repeats were as good as new data, no trials would tell how many are.
    const endless = { ...constants, repeatsHalfLifeData: 1e7 };
    const untold = proposeTrials({ ...repeated, theta: thetaOf(dataConstrained, endless) });
    expect(untold.check.problems.join()).toMatch(/hardly determine repeatsHalfLifeData of data-constrained/);
  });

  it('needs more trials than parameters', () => {
    expect(() => proposeTrials({ ...request, trials: 5 })).toThrow(/expected more than 5 trials/);
    expect(() => proposeTrials({ ...request, trials: 41 })).toThrow(/at most 40 trials/);
  });
});
