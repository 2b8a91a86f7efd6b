import { describe, expect, it } from 'vitest';
import { minimise } from '../../core/minimise.ts';
import { Random } from '../../core/random.ts';
import { percentileInterval } from '../../scaling/fit-bootstrap.ts';
import { curvatureAt } from '../../scaling/fit-identifiability.ts';
import { cornersOf, type Penalty, totalPenalty } from '../../scaling/fit-penalty.ts';
import { rollingHoldOut } from '../../scaling/fit-selection.ts';
import { fitLaw, penaltyOf } from '../../scaling/fit.ts';
import { fittableLaws } from '../../scaling/laws/laws.ts';
import { chinchilla, referenceStarts } from '../../scaling/laws/chinchilla.ts';
import { columnsOf, lossAt, type LossLaw, naturalValues, thetaOf } from '../../scaling/laws/law.ts';
import { tied } from '../../scaling/laws/tied.ts';

const truth = { A: 300, B: 900, E: 1.9, alpha: 0.31, beta: 0.34 };

function surface(law: LossLaw, values: Readonly<Record<string, number>>, noise: number, seed = 'fit') {
  const random = new Random(seed);
  const theta = thetaOf(law, values);
  const runs = [1e7, 3e7, 1e8, 3e8, 1e9].flatMap((params) =>
    [2, 8, 32, 128].map((ratio) => {
      const data = params * ratio;
      const uniqueData = law.repeats && ratio > 8 ? data / 8 : data;
      const loss = lossAt(law, theta, { params, data, uniqueData }) * Math.exp(noise * random.normal());
      return { params, data, uniqueData, loss, flops: 6 * params * data, line: 0 };
    }),
  );
  return { runs, points: columnsOf(runs), logLoss: Float64Array.from(runs, ({ loss }) => Math.log(loss)) };
}

describe('the sum of a penalty', () => {
  it.each<Penalty>([
    { kind: 'huber', delta: 1e-3 },
    { kind: 'huber', delta: 1 },
    { kind: 'asymmetric', delta: 1e-2, quantile: 0.2 },
  ])('has the gradient that differences show: %j', (penalty) => {
    const { points, logLoss } = surface(chinchilla, truth, 0.02);
    const [corner] = cornersOf(penalty);
    if (!corner) throw new Error('no corner');
    const objective = penaltyOf(chinchilla, points, logLoss, corner, new Float64Array(points.count).fill(2));
    const theta = Float64Array.from(thetaOf(chinchilla, { ...truth, E: 1.8 }));
    const [gradient, ignored] = [new Float64Array(5), new Float64Array(5)];
    objective(theta, gradient);
    for (let k = 0; k < 5; k++) {
      const at = (by: number) => objective(theta.with(k, (theta[k] ?? 0) + by), ignored);
      expect((at(1e-6) - at(-1e-6)) / 2e-6 / (gradient[k] ?? 1)).toBeCloseTo(1, 4);
    }
  });

  it('at half is Huber’s, and weighs the two sides as asked', () => {
    const residuals = [0.5, -0.5, 1e-4];
    expect(totalPenalty({ kind: 'asymmetric', delta: 1e-3, quantile: 0.5 }, residuals)).toBe(
      totalPenalty({ kind: 'huber', delta: 1e-3 }, residuals),
    );
    const low: Penalty = { kind: 'asymmetric', delta: 1e-3, quantile: 0.1 };
    expect(totalPenalty(low, [0.5]) / totalPenalty(low, [-0.5])).toBeCloseTo(9, 9);
    expect(totalPenalty({ kind: 'absolute' }, residuals)).toBeCloseTo(1.0001, 12);
  });

  it('under a low quantile follows the runs that were not spoilt', () => {
    const { runs, points, logLoss } = surface(chinchilla, truth, 0);
    const spoilt = logLoss.map((value, i) => value + (i % 2 === 0 ? 0.05 : 0));
    const low = fitLaw(chinchilla, points, spoilt, { penalty: { kind: 'asymmetric', delta: 1e-3, quantile: 0.2 } });
    const middle = fitLaw(chinchilla, points, spoilt);
    const off = (theta: readonly number[]) =>
      runs.reduce((sum, run) => sum + Math.abs(Math.log(lossAt(chinchilla, theta, run) / run.loss)), 0) / runs.length;
    expect(off(low.theta)).toBeLessThan(1e-3);
    expect(off(middle.theta)).toBeGreaterThan(5 * off(low.theta));
  });
});

describe('a fit', () => {
  it('finds with a dozen starts what the 4,500 of the reference find', () => {
    const { points, logLoss } = surface(chinchilla, truth, 0.005);
    const few = fitLaw(chinchilla, points, logLoss);
    // Every fifteenth keeps the test quick.
    const many = fitLaw(chinchilla, points, logLoss, { starts: referenceStarts().filter((_, i) => i % 15 === 0) });
    expect(few.starts.tried).toBe(12);
    expect(few.objective / many.objective).toBeLessThan(1 + 1e-6);
  });

  it.each(fittableLaws.map((law) => [law.name, law] as const))(
    'of %s gives the surface of its own law back',
    (_, law) => {
      const values: Record<string, Record<string, number>> = {
        chinchilla: truth,
        tied: { A: 300, B: 900, E: 1.9, eta: 0.33 },
        joint: { A: 140, B: 320, E: 1.83, alphaN: 0.24, alphaD: 0.25, alpha: 0.6 },
        kaplan: { A: 11, B: 22, alphaN: 0.076, alphaD: 0.103 },
        'data-constrained': {
          A: 520,
          B: 1490,
          E: 1.87,
          alpha: 0.35,
          repeatsHalfLifeData: 15,
          repeatsHalfLifeParams: 5,
        },
      };
      const { points, logLoss } = surface(law, values[law.name] ?? {}, 0);
      const { residuals, r2 } = fitLaw(law, points, logLoss);
      expect(Math.max(...residuals.map(Math.abs))).toBeLessThan(2e-4);
      expect(r2).toBeGreaterThan(0.99999);
    },
  );

  it('is not moved by a run of weight zero', () => {
    const { points, logLoss } = surface(chinchilla, truth, 0.002);
    const spoilt = logLoss.with(3, 5);
    const weights = new Float64Array(points.count).fill(1).with(3, 0);
    const without = fitLaw(chinchilla, points, spoilt, { weights });
    const clean = fitLaw(chinchilla, points, logLoss, { weights });
    expect(naturalValues(chinchilla, without.theta)['alpha']).toBeCloseTo(
      naturalValues(chinchilla, clean.theta)['alpha'] ?? 0,
      5,
    );
  });

  it('stops at a point that a general search cannot improve', () => {
    const { points, logLoss } = surface(tied, { A: 300, B: 900, E: 1.9, eta: 0.33 }, 0.01);
    const fit = fitLaw(tied, points, logLoss);
    const [corner] = cornersOf(fit.penalty);
    if (!corner) throw new Error('no corner');
    const objective = penaltyOf(tied, points, logLoss, corner);
    const random = new Random('elsewhere');
    for (let k = 0; k < 20; k++) {
      const start = fit.theta.map((value) => value * (1 + 0.05 * random.normal()));
      expect(minimise(objective, start, { valueTolerance: 1e-12, valueScale: 0 }).value).toBeGreaterThan(
        fit.objective * (1 - 1e-6),
      );
    }
  });
});

describe('judging a fit', () => {
  it('extrapolates a law’s own surface without error, another’s with some', () => {
    const { runs } = surface(chinchilla, truth, 0);
    expect(rollingHoldOut(chinchilla, runs, { kind: 'huber', delta: 1e-3 })?.error).toBeLessThan(1e-4);
    const other = rollingHoldOut(fittableLaws.find(({ name }) => name === 'kaplan') ?? tied, runs, {
      kind: 'huber',
      delta: 1e-3,
    });
    expect(other?.error).toBeGreaterThan(1e-2);
    expect(other?.blocks.map(({ trained, tested }) => [trained, tested])).toEqual([
      [10, 2],
      [12, 2],
      [14, 2],
      [16, 2],
      [18, 2],
    ]);
  });

  it('needs more runs than parameters in every part of the hold-out', () => {
    expect(rollingHoldOut(chinchilla, surface(chinchilla, truth, 0).runs.slice(0, 9), { kind: 'absolute' })).toBeNull();
  });

  it('sees in the curvature which parameters the runs do not determine', () => {
    const theta = thetaOf(chinchilla, truth);
    const good = curvatureAt(chinchilla, theta, surface(chinchilla, truth, 0).points, 0.01);
    const line = columnsOf([1e7, 3e7, 1e8, 3e8, 1e9, 3e9].map((params) => ({ params, data: 20 * params })));
    const bad = curvatureAt(chinchilla, theta, line, 0.01);
    expect(bad.condition).toBeGreaterThan(1000 * good.condition);
    expect(bad.standardErrors.some((error, k) => error > 100 * (good.standardErrors[k] ?? 0))).toBe(true);
    expect(bad.weakest.length).toBeGreaterThan(0);
  });

  it('gives percentile intervals, and none of too few draws', () => {
    const [low, high] = percentileInterval(Array.from({ length: 101 }, (_, i) => i)) ?? [];
    expect(low).toBeCloseTo(2.5, 9);
    expect(high).toBeCloseTo(97.5, 9);
    expect(percentileInterval([1, 2, 3])).toBeNull();
  });
});
