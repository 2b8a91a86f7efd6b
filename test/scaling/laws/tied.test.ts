import { describe, expect, it } from 'vitest';
import { lossAt, thetaOf } from '../../../scaling/laws/law.ts';
import { tied } from '../../../scaling/laws/tied.ts';
import { describeLossLaw } from '../../cases/loss-law.case.ts';

const values = { A: 560, B: 1750, E: 1.8, eta: 0.357 };
describeLossLaw(tied, values);

describe('the tied form', () => {
  it('is that of Gadre et al. in model size and token multiple', () => {
    const { A, B, E, eta } = values;
    const [params, multiple] = [4e8, 30];
    const b = B * 6 ** (eta / 2);
    const loss = E + A * params ** -eta + b * 6 ** (-eta / 2) * (multiple * params) ** -eta;
    expect(lossAt(tied, thetaOf(tied, values), { params, data: multiple * params })).toBeCloseTo(loss, 10);
  });
});
