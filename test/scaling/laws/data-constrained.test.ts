import { describe, expect, it } from 'vitest';
import { dataConstrained } from '../../../scaling/laws/data-constrained.ts';
import { lossAt, thetaOf } from '../../../scaling/laws/law.ts';
import { describeLossLaw } from '../../cases/loss-law.case.ts';

const values = { ...dataConstrained.constants[0]?.values };
describeLossLaw(dataConstrained, values);

describe('the data-constrained law', () => {
  const theta = thetaOf(dataConstrained, values);
  const loss = (params: number, data: number, uniqueData?: number) =>
    lossAt(dataConstrained, theta, { params, data, uniqueData });

  it('gives repeated data less worth than new, and never less than none', () => {
    for (const repeats of [2, 4, 16, 64]) {
      const repeated = loss(1e9, repeats * 1e10, 1e10);
      expect(repeated).toBeGreaterThan(loss(1e9, repeats * 1e10));
      expect(repeated).toBeLessThan(loss(1e9, 1e10));
    }
  });

  it('with little data takes a smaller model and more passes than the same budget with plenty', () => {
    const plenty = dataConstrained.optimum(theta, 1e22);
    const little = dataConstrained.optimum(theta, 1e22, 1e10);
    expect(little.data).toBeGreaterThan(1e10);
    const best = loss(little.params, little.data, 1e10);
    for (let power = -4; power <= 4; power += 0.25) {
      const factor = 2 ** power;
      expect(loss(little.params * factor, little.data / factor, 1e10)).toBeGreaterThanOrEqual(best - 1e-12);
    }
    expect(best).toBeGreaterThan(loss(plenty.params, plenty.data));
    expect(dataConstrained.optimum(theta, 1e22, plenty.data * 1.01)).toEqual(plenty);
  });
});
