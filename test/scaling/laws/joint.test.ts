import { describe, expect, it } from 'vitest';
import { chinchilla } from '../../../scaling/laws/chinchilla.ts';
import { joint } from '../../../scaling/laws/joint.ts';
import { kaplan } from '../../../scaling/laws/kaplan.ts';
import { lossAt, thetaOf } from '../../../scaling/laws/law.ts';
import { describeLossLaw } from '../../cases/loss-law.case.ts';

describeLossLaw(joint, { A: 138.5, B: 322.8, E: 1.83, alphaN: 0.2378, alphaD: 0.2425, alpha: 0.5875 });

describe('the joint law', () => {
  const point = { params: 3e9, data: 4e10 };

  it('is Chinchilla where α is 1', () => {
    const values = { A: 482, B: 2085, E: 1.8169, alpha: 0.3478, beta: 0.3659 };
    const { A, B, E } = values;
    const same = thetaOf(joint, { A, B, E, alphaN: values.alpha, alphaD: values.beta, alpha: 1 });
    const theta = thetaOf(chinchilla, values);
    expect(lossAt(joint, same, point)).toBeCloseTo(lossAt(chinchilla, theta, point), 12);
    expect(joint.optimum(same, 1e22).params).toBeCloseTo(chinchilla.optimum(theta, 1e22).params, 0);
  });

  it('is Kaplan’s where nothing is irreducible and α is that of the data', () => {
    const values = kaplan.constants[0]?.values ?? {};
    const { A = 0, B = 0, alphaN = 0, alphaD = 0 } = values;
    const same = thetaOf(joint, { A, B, E: 0, alphaN, alphaD, alpha: alphaD });
    expect(lossAt(joint, same, point)).toBeCloseTo(lossAt(kaplan, thetaOf(kaplan, values), point), 12);
  });
});
