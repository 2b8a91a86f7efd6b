import { describe, expect, it } from 'vitest';
import { fitIsoFlop, isoFlopBudgets, type IsoFlopRun } from '../../../scaling/laws/iso-flop.ts';

/** Parabolas about N = 2·C^.4 in ln N, of the curvature and depth given. */
function profile(flops: number, factors: readonly number[], bend = 0.1): readonly IsoFlopRun[] {
  const best = 2 * flops ** 0.4;
  return factors.map((factor) => {
    const params = best * factor;
    return { params, data: flops / (6 * params), flops, loss: 3 + bend * Math.log(factor) ** 2 };
  });
}
const around = [0.25, 0.5, 1, 2, 4];

describe('approach 2', () => {
  it('reads the optima of parabolas off exactly, the loss there too', () => {
    const { law, optima, warnings } = fitIsoFlop([1e18, 1e19, 1e20].flatMap((flops) => profile(flops, around)));
    expect(law.paramsExponent).toBeCloseTo(0.4, 9);
    expect(law.paramsCoefficient).toBeCloseTo(2, 6);
    expect(law.dataExponent).toBeCloseTo(0.6, 9);
    expect(optima.map(({ loss }) => loss)).toEqual([3, 3, 3].map((loss) => expect.closeTo(loss, 9) as number));
    expect(warnings).toEqual([]);
  });

  it('leaves out budgets without a minimum among their sizes, and says which', () => {
    const runs = [
      ...profile(1e18, around),
      ...profile(1e19, around),
      ...profile(1e20, [2, 4, 8, 16]),
      ...profile(1e21, around, -0.1),
      ...profile(1e22, [1, 2]),
    ];
    const { optima, warnings } = fitIsoFlop(runs);
    expect(optima.map(({ flops }) => flops.toPrecision(1))).toEqual(['1e+18', '1e+19']);
    expect(warnings.join('\n')).toMatch(
      /fewer than 3 model sizes.*1\.00e\+22[^]*no minimum.*1\.00e\+21[^]*outside.*1\.00e\+20/,
    );
  });

  it('counts budgets that are equal but for rounding as one', () => {
    const runs = profile(1e19, around).map((run, i) => ({ ...run, flops: 1e19 * (1 + 0.01 * i) }));
    expect(isoFlopBudgets(runs)).toBe(1);
    expect(() => fitIsoFlop(runs)).toThrow(/expected at least 2 budgets/);
  });
});
