import { describe, expect, it } from 'vitest';
import { chinchilla, referenceStarts } from '../../../scaling/laws/chinchilla.ts';
import { describeLossLaw } from '../../cases/loss-law.case.ts';

describeLossLaw(chinchilla, { A: 482, B: 2085, E: 1.8169, alpha: 0.3478, beta: 0.3659 });

describe('the reference procedure', () => {
  it('starts 4,500 times', () => {
    const starts = referenceStarts();
    expect(starts).toHaveLength(4500);
    expect(new Set(starts.map(String)).size).toBe(4500);
  });
});
