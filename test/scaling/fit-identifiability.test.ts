import { describe, expect, it } from 'vitest';
import { extent } from '../../core/extent.ts';
import { Random } from '../../core/random.ts';
import { fitLaw } from '../../scaling/fit.ts';
import { chinchilla } from '../../scaling/laws/chinchilla.ts';
import { columnsOf, lossAt, naturalValues, thetaOf } from '../../scaling/laws/law.ts';
import { checkDesign, usualUnit } from '../../scaling/fit-identifiability.ts';

/** Four sizes by four ratios of data to parameters, a factor of `spread` from the first to the last. */
function design(centre: number, spread: number) {
  return [1e7, 3e7, 1e8, 3e8].flatMap((params) =>
    [-1 / 2, -1 / 6, 1 / 6, 1 / 2].map((share) => ({ params, data: centre * spread ** share * params })),
  );
}

const of = (ratios: readonly number[]) => ratios.map((ratio) => ({ params: 1e7, data: ratio * 1e7 }));

/** Least and most α that fits find where .34 is true, over fifteen sets of losses with .2 % of noise. */
function alphasOf(points: ReturnType<typeof design>): readonly [number, number] {
  const truth = thetaOf(chinchilla, { A: 400, B: 1100, E: 1.7, alpha: 0.34, beta: 0.32 });
  const random = new Random('alphas');
  const alphas = Array.from({ length: 15 }, () => {
    const losses = points.map((point) => Math.log(lossAt(chinchilla, truth, point)) + 0.002 * random.normal());
    const { theta } = fitLaw(chinchilla, columnsOf(points), Float64Array.from(losses));
    return naturalValues(chinchilla, theta)['alpha'] ?? Number.NaN;
  });
  return extent(alphas);
}

describe('the check of a design', () => {
  it.each([20, 1e5, 0.01])('asks how widely data per parameter varies, not how much there is: about %d', (centre) => {
    expect(checkDesign(design(centre, 1.3)).problems.join()).toMatch(/collinear/);
    expect(checkDesign(design(centre, 10)).problems).toEqual([]);
    expect(checkDesign(design(centre, 10)).ratioSpread).toBeCloseTo(checkDesign(design(20, 10)).ratioSpread, 12);
  });

  it.each([
    [1.3, '0.0001', 1, ['0.25', '0.41']],
    [10, '0.0118', 0, ['0.32', '0.37']],
  ])('flags the runs that tell α badly: ratios a factor of %d apart', (spread, ratioSpread, problems, alphas) => {
    const points = design(20, spread);
    const check = checkDesign(points);
    expect([check.ratioSpread.toFixed(4), check.problems.length]).toEqual([ratioSpread, problems]);
    // The figures of docs/laws.md.
    expect(alphasOf(points).map((alpha) => alpha.toFixed(2))).toEqual(alphas);
  });

  it('takes twenty as the usual ratio', () => {
    expect(usualUnit(of([10, 20, 40]))).toBeCloseTo(1, 12);
    expect(usualUnit(of([1, 2, 4]))).toBeCloseTo(10, 12);
    const spread = ((5 ** -0.35 - 80 ** -0.35) / 2) ** 2;
    expect(checkDesign(of([5, 80])).ratioSpread).toBeCloseTo(spread, 12);
    expect(checkDesign(of([0.5, 8])).ratioSpread).toBeCloseTo(spread, 12);
  });
});
