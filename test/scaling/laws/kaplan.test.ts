import { describe, expect, it } from 'vitest';
import { kaplan } from '../../../scaling/laws/kaplan.ts';
import { lossAt, thetaOf } from '../../../scaling/laws/law.ts';
import { publishedPowerLaws } from '../../../scaling/laws/laws.ts';
import { allocateByPowerLaw } from '../../../scaling/laws/power-law.ts';
import { describeLossLaw } from '../../cases/loss-law.case.ts';

const values = kaplan.constants[0]?.values ?? {};
describeLossLaw(kaplan, { ...values });

describe('Kaplan’s law', () => {
  it('is the published formula', () => {
    const [params, data] = [1e9, 2e10];
    const loss = ((6.4e13 / params) ** (0.076 / 0.103) + 1.8e13 / data) ** 0.103;
    expect(lossAt(kaplan, thetaOf(kaplan, values), { params, data })).toBeCloseTo(loss, 10);
  });

  it('allocates 1.3e9 parameters to a petaflop/s-day, and 5.37 times as many to ten', () => {
    const law = publishedPowerLaws.get('kaplan');
    if (!law) throw new Error('kaplan is not there');
    expect(allocateByPowerLaw(law, 8.64e19).params).toBeCloseTo(1.3e9, -1);
    const tuple = allocateByPowerLaw(law, 8.64e20);
    expect(tuple.params / 1.3e9).toBeCloseTo(10 ** 0.73, 9);
    expect((6 * tuple.params * tuple.data) / 8.64e20).toBeCloseTo(1, 9);
  });
});
