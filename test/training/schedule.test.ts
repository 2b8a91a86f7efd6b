import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { learningRateAt } from '../../training/schedule.ts';

describe('learningRateAt', () => {
  const schedule = { kind: 'warmup-cosine', peak: 0.4, warmup: 0.2 } as const;

  it('warms up linearly to the peak', () => {
    expect([0, 1, 2, 3].map((step) => learningRateAt(schedule, step, 20))).toEqual(
      [0.1, 0.2, 0.3, 0.4].map((rate) => expect.closeTo(rate, 12)),
    );
  });

  it('follows half a cosine from the peak to zero', () => {
    expect(learningRateAt(schedule, 4, 20)).toBeCloseTo(0.4, 12);
    expect(learningRateAt(schedule, 12, 20)).toBeCloseTo(0.2, 12);
    expect(learningRateAt(schedule, 20, 20)).toBeCloseTo(0, 12);
  });

  it('stays constant when told', () => {
    expect(learningRateAt({ kind: 'constant', peak: 0.3 }, 7, 10)).toBe(0.3);
  });

  it('is within (0, peak] for every step of every length', () => {
    const cases = fc.record({
      warmup: fc.double({ min: 0, max: 1, noNaN: true }),
      steps: fc.integer({ min: 1, max: 500 }),
    });
    fc.assert(
      fc.property(cases, fc.nat(), ({ warmup, steps }, any) => {
        const rate = learningRateAt({ kind: 'warmup-cosine', peak: 0.4, warmup }, any % steps, steps);
        return rate > 0 && rate <= 0.4;
      }),
    );
  });
});
