import { describe, expect, it } from 'vitest';
import { Random } from '../../../core/random.ts';
import { bootstrap } from '../../../scaling/fit-bootstrap.ts';
import { checkDesign } from '../../../scaling/fit-identifiability.ts';
import { logLosses } from '../../../scaling/fit-selection.ts';
import { fitLaw, residualsOf, rSquared } from '../../../scaling/fit.ts';
import { chinchilla } from '../../../scaling/laws/chinchilla.ts';
import { cheapestForLoss } from '../../../scaling/laws/inference-aware.ts';
import { informationBound } from '../../../scaling/laws/information-bound.ts';
import { fitIsoFlop } from '../../../scaling/laws/iso-flop.ts';
import { columnsOf, lossAt, naturalValues, thetaOf } from '../../../scaling/laws/law.ts';
import { publishedLaws } from '../../../scaling/laws/laws.ts';
import { powerLawThrough, allocateByPowerLaw } from '../../../scaling/laws/power-law.ts';
import { timeExponents } from '../../../scaling/laws/wall-clock.ts';
import { forwardFlops, type TransformerShape, transformerParams } from '../../../scaling/transformer-shape.ts';
import { epochRuns, epochRuns240, sharedTable } from './shared-table.ts';

// The checks that an implementation of these laws should pass, with numbers from the papers, their releases and public points.

const published = (name: string) => {
  const found = publishedLaws.get(name);
  if (!found) throw new Error(`no constants ${name}`);
  return { law: found.law, theta: thetaOf(found.law, found.constants.values) };
};

/** Hoffmann et al. (2022), tables 3 and A3: parameters, FLOPs and tokens of approaches 1, 2 and 3. 175B of A3 as 1.26e25: printed 1.26e24. */
const table3 = [
  [400e6, 1.92e19, 8.0e9, 1.84e19, 7.7e9, 2.21e19, 9.2e9],
  [1e9, 1.21e20, 20.2e9, 1.2e20, 20.0e9, 1.62e20, 27.1e9],
  [10e9, 1.23e22, 205.1e9, 1.32e22, 219.5e9, 2.46e22, 410.1e9],
  [67e9, 5.76e23, 1.5e12, 6.88e23, 1.7e12, 1.71e24, 4.1e12],
  [175e9, 3.85e24, 3.7e12, 4.54e24, 4.3e12, 1.26e25, 12.0e12],
  [280e9, 9.9e24, 5.9e12, 1.18e25, 7.1e12, 3.52e25, 20.1e12],
  [520e9, 3.43e25, 11.0e12, 4.19e25, 13.4e12, 1.36e26, 43.5e12],
  [1e12, 1.27e26, 21.2e12, 1.59e26, 26.5e12, 5.65e26, 94.1e12],
  [10e12, 1.3e28, 216.2e12, 1.75e28, 292.0e12, 8.55e28, 1425.5e12],
] as const;

describe('the fit to the public Chinchilla points', () => {
  const runs = epochRuns240();

  it.skipIf(!runs)('finds the optimum of the replication under Huber’s loss', () => {
    const fit = fitLaw(chinchilla, columnsOf(runs ?? []), logLosses(runs ?? []));
    expect(Math.abs(fit.objective - 0.001018274)).toBeLessThan(1e-9);
    const { A, B, E, alpha, beta } = naturalValues(chinchilla, fit.theta);
    expect(Math.abs((E ?? 0) - 1.8172)).toBeLessThan(0.0005);
    expect(Math.abs((A ?? 0) - 477.8)).toBeLessThan(2);
    expect(Math.abs((B ?? 0) - 2143)).toBeLessThan(15);
    expect(Math.abs((alpha ?? 0) - 0.34731)).toBeLessThan(0.0003);
    expect(Math.abs((beta ?? 0) - 0.36717)).toBeLessThan(0.0005);
    expect(Math.abs((chinchilla.exponents(fit.theta)?.params ?? 0) - 0.5139)).toBeLessThan(0.0005);
  });

  it.skipIf(!runs)('finds the published constants, which minimise the absolute error', () => {
    const fit = fitLaw(chinchilla, columnsOf(runs ?? []), logLosses(runs ?? []), { penalty: { kind: 'absolute' } });
    expect(Math.abs(fit.objective - 1.12949)).toBeLessThan(1e-4);
    const { A, B } = naturalValues(chinchilla, fit.theta);
    expect(Math.abs((A ?? 0) - 482.0)).toBeLessThan(1);
    expect(Math.abs((B ?? 0) - 2085)).toBeLessThan(15);
  });

  it.skipIf(!runs)('moves to an exponent of .565 when the five outliers stay in', () => {
    const all = epochRuns() ?? [];
    const fit = fitLaw(chinchilla, columnsOf(all), logLosses(all));
    expect(Math.abs((chinchilla.exponents(fit.theta)?.params ?? 0) - 0.565)).toBeLessThan(0.003);
  });

  it.skipIf(!runs)('gives the exponent its published standard error by resampling', () => {
    const points = columnsOf(runs ?? []);
    const logLoss = logLosses(runs ?? []);
    const fit = fitLaw(chinchilla, points, logLoss);
    const draws = [...bootstrap(fit, points, logLoss, 300, new Random(0))].map(
      (theta) => chinchilla.exponents(theta)?.params ?? Number.NaN,
    );
    const mean = draws.reduce((sum, value) => sum + value, 0) / draws.length;
    const deviation = Math.sqrt(draws.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (draws.length - 1));
    expect(Math.abs(deviation - 0.02)).toBeLessThan(0.003);
  });
});

/** Whether constants reach Table A3: N at most 8 % too small, D at most 11 % too large, in all nine rows. */
function reachesTableA3(theta: readonly number[]): boolean {
  return table3.every(([params, , , , , flops, tokens]) => {
    const tuple = chinchilla.optimum(theta, flops);
    const [size, data] = [tuple.params / params - 1, tuple.data / tokens - 1];
    return size > -0.08 && size <= 0 && data >= 0 && data < 0.11;
  });
}

describe('published constants', () => {
  it('reach all nine rows of Table A3 unrounded, and miss them rounded', () => {
    expect(reachesTableA3(published('chinchilla').theta)).toBe(true);
    const rounded = { A: 406.4, B: 410.7, E: 1.69, alpha: 0.34, beta: 0.28 };
    expect(reachesTableA3(thetaOf(chinchilla, rounded))).toBe(false);
  });

  it.each([
    [1e21, 2.782e9, 59.9e9],
    [5.76e23, 72.4e9, 1.327e12],
    [1e24, 96.0e9, 1.736e12],
  ])('of the replication allocate %d FLOPs as it says', (flops, params, data) => {
    const { law, theta } = published('chinchilla-epoch');
    const tuple = law.optimum(theta, flops);
    expect(Math.abs(tuple.params / params - 1)).toBeLessThan(0.001);
    expect(Math.abs(tuple.data / data - 1)).toBeLessThan(0.001);
  });

  it('of approach 1 are the line through Table 3', () => {
    const law = powerLawThrough(table3.map(([params, flops, data]) => ({ params, flops, data })));
    expect(Math.abs(law.paramsExponent - 0.498)).toBeLessThan(0.002);
    expect(Math.abs(allocateByPowerLaw(law, 1e21).params / 2.86e9 - 1)).toBeLessThan(0.01);
  });

  it('of the data-constrained law give its release’s losses', () => {
    const { law, theta } = published('data-constrained');
    expect(lossAt(law, theta, { params: 6.34e9, data: 242e9, uniqueData: 25e9 })).toBeCloseTo(2.225644089, 9);
    expect(lossAt(law, theta, { params: 8.67e9, data: 178e9, uniqueData: 25e9 })).toBeCloseTo(2.2269634075, 9);
  });

  const constrained = sharedTable('datablations-182.csv');
  it.skipIf(!constrained)('of the data-constrained law explain its 182 runs as published', () => {
    const { law, theta } = published('data-constrained');
    const points = columnsOf(
      (constrained ?? []).map((row) => ({
        params: Number(row['params']),
        data: Number(row['tokens_total']),
        uniqueData: Number(row['tokens_unique']),
      })),
    );
    const logLoss = Float64Array.from(constrained ?? [], (row) => Math.log(Number(row['val_loss'])));
    expect(points.count).toBe(182);
    expect(rSquared(residualsOf(law, theta, points, logLoss), logLoss)).toBeCloseTo(0.7722, 5);
  });

  it('of the inference-aware law give its loss and its cheaper, longer-trained model', () => {
    const { law, theta } = published('inference-aware');
    expect(lossAt(law, theta, { params: 70e9, data: 1e12 })).toBeCloseTo(1.94727, 5);
    const tuple = cheapestForLoss(law, theta, 1.947, 2e12);
    expect(Math.abs((tuple?.params ?? 0) / 2.418e10 - 1)).toBeLessThan(5e-4);
    expect(Math.abs((tuple?.data ?? 0) / 2.657e12 - 1)).toBeLessThan(5e-4);
  });
});

function surface(values: Readonly<Record<string, number>>) {
  const theta = thetaOf(chinchilla, values);
  return { theta, loss: (params: number, data: number) => lossAt(chinchilla, theta, { params, data }) };
}

describe('noise-free surfaces', () => {
  it.each([
    ['Hoffmann', { A: 406.401, B: 410.7228, E: 1.693374, alpha: 0.33917084, beta: 0.2849083 }, 1.027],
    ['Epoch', { A: 482.01, B: 2085.43, E: 1.8169, alpha: 0.34781, beta: 0.36585 }, 0.991],
    ['steep', { A: 406.401, B: 410.7228, E: 1.693374, alpha: 0.45, beta: 0.15 }, 1.156],
  ])(
    'give isoFLOP profiles of the exact exponent, the coefficient biased by the width of the grid: %s',
    (_, values, ratio) => {
      const { theta, loss } = surface(values);
      const runs = [1e18, 1e19, 1e20, 1e21].flatMap((flops) => {
        const best = chinchilla.optimum(theta, flops).params;
        return Array.from({ length: 15 }, (__, i) => {
          const params = best * 8 ** (i / 7 - 1);
          const data = flops / (6 * params);
          return { params, data, flops, loss: loss(params, data) };
        });
      });
      const { law } = fitIsoFlop(runs);
      expect(Math.abs(law.paramsExponent - (chinchilla.exponents(theta)?.params ?? 0))).toBeLessThan(1e-6);
      const biased = allocateByPowerLaw(law, 1e20).params / chinchilla.optimum(theta, 1e20).params;
      expect(Math.abs(biased - ratio)).toBeLessThan(0.001);
    },
  );

  it('give all five constants back', () => {
    const random = new Random('constants');
    for (let trial = 0; trial < 5; trial++) {
      const values = {
        A: 50 * 40 ** random.uniform(),
        B: 50 * 40 ** random.uniform(),
        E: 0.5 + 2 * random.uniform(),
        alpha: 0.2 + 0.4 * random.uniform(),
        beta: 0.2 + 0.4 * random.uniform(),
      };
      const { loss } = surface(values);
      const runs = [1e7, 1e8, 1e9, 1e10].flatMap((params) =>
        [5, 20, 80, 320].map((ratio) => ({ params, data: params * ratio, loss: loss(params, params * ratio) })),
      );
      const fit = fitLaw(
        chinchilla,
        columnsOf(runs),
        Float64Array.from(runs, (run) => Math.log(run.loss)),
      );
      const found = naturalValues(chinchilla, fit.theta);
      for (const [name, value] of Object.entries(values))
        expect(Math.abs((found[name] ?? 0) / value - 1)).toBeLessThan(1e-4);
    }
  });

  it('are not identified by runs that all have twenty tokens a parameter', () => {
    const runs = [1e7, 3e7, 1e8, 3e8, 1e9, 3e9, 1e10].map((params) => ({ params, data: 20 * params }));
    expect(checkDesign(runs).problems.join()).toMatch(/collinear/);
    const mixed = runs.flatMap(({ params }) => [5, 100].map((ratio) => ({ params, data: ratio * params })));
    expect(checkDesign(mixed).problems).toEqual([]);
  });
});

describe('GPT-2 124M', () => {
  const gpt2: TransformerShape = {
    layers: 12,
    width: 768,
    heads: 12,
    feedForward: 3072,
    gated: false,
    vocabulary: 50_257,
    context: 1024,
    tiedHead: true,
    learnedPositions: true,
    biases: false,
  };

  it('has its published parameters, FLOPs and utilisation', () => {
    expect(transformerParams(gpt2).total).toBe(124_337_664);
    expect(transformerParams({ ...gpt2, biases: true }).total).toBe(124_439_808);
    expect(forwardFlops(gpt2)).toBe(291_648_307_200);
    expect((100 * 3 * forwardFlops(gpt2)) / 0.755 / 312e12).toBeCloseTo(0.3714, 4);
  });
});

describe('time as the budget', () => {
  it('allocates as compute does where time is proportional to FLOPs, and to larger models where it grows more slowly', () => {
    const { theta } = published('chinchilla-epoch');
    const [, , , alpha = 0, beta = 0] = theta;
    expect(timeExponents({ alpha, beta }, 1).params).toBeCloseTo(chinchilla.exponents(theta)?.params ?? 0, 12);
    expect(timeExponents({ alpha, beta }, 0.78).params).toBeCloseTo(0.578, 3);
  });
});

/** Optimum of the bound, compute counted as d·n·T. */
function boundOptimum(compute: number, complexity: number, inputDimension: number) {
  const values = { modelConstant: 3, dataConstant: 1, complexity, inputDimension };
  return informationBound.optimum(thetaOf(informationBound, values), 6 * compute);
}

function dataPerParam(complexity: number, inputDimension: number): number {
  const { params, data } = boundOptimum(1e18, complexity, inputDimension);
  return data / params;
}

describe('the information-theoretic bound', () => {
  it('is nearly linear: size grows a little slower than the root of compute', () => {
    for (let exponent = 12; exponent < 24; exponent++) {
      const [small, large] = [boundOptimum(10 ** exponent, 10, 100), boundOptimum(10 ** (exponent + 1), 10, 100)];
      const slope = Math.log10(large.params / small.params);
      expect(slope).toBeGreaterThan(0.45);
      expect(slope).toBeLessThanOrEqual(0.5);
    }
  });

  it('gives a larger share to size as input dimension and latent complexity grow', () => {
    expect([10, 100, 1000].map((d) => Number(dataPerParam(10, d).toPrecision(3)))).toEqual([15.1, 5.44, 4]);
    expect([1, 10, 100, 1000].map((k) => Number(dataPerParam(k, 100).toPrecision(3)))).toEqual([
      6.31, 5.44, 4.58, 3.73,
    ]);
  });
});
