import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Random } from '../../core/random.ts';
import { calibrateRung } from '../../search/rung-calibration.ts';

const logit = (share: number) => Math.log(share / (1 - share));
const sigmoid = (value: number) => 1 / (1 + Math.exp(-value));
const accuracy = fc.double({ min: 0.02, max: 0.98, noNaN: true });

describe('what a rung promises for the next', () => {
  test('is the accuracy itself while no network was trained at both', () => {
    expect(calibrateRung([])(0.3)).toBe(0.3);
  });

  test('moves by the distance that one network tells', () => {
    const promise = calibrateRung([{ lower: 0.4, higher: 0.7 }]);
    expect(promise(0.4)).toBeCloseTo(0.7, 12);
    expect(logit(promise(0.6)) - logit(0.6)).toBeCloseTo(logit(0.7) - logit(0.4), 12);
  });

  test('is the line that many networks lie on, whatever part of them was promoted', () => {
    // Slope .6 and noise of .05 logits; the better half of 400 is seen. Least squares knows the slope to ± .01, so .05 is five of these.
    const random = new Random(1);
    const pairs = Array.from({ length: 400 }, () => {
      const x = random.normal();
      return { lower: sigmoid(x), higher: sigmoid(1 + 0.6 * x + 0.05 * random.normal()) };
    });
    const promise = calibrateRung(pairs.toSorted((a, b) => b.lower - a.lower).slice(0, 200));
    for (const x of [-1, 0, 1, 2]) expect(Math.abs(logit(promise(sigmoid(x))) - (1 + 0.6 * x))).toBeLessThan(0.1);
  });

  test('never changes the order of networks, and stays a share', () => {
    const pair = fc.record({
      lower: fc.double({ min: 0, max: 1, noNaN: true }),
      higher: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 8 }), accuracy, accuracy, (pairs, a, b) => {
        fc.pre(b - a > 1e-3);
        const promise = calibrateRung(pairs);
        expect(promise(a)).toBeLessThan(promise(b));
        expect(promise(a)).toBeGreaterThanOrEqual(0);
        expect(promise(b)).toBeLessThanOrEqual(1);
      }),
    );
  });
});
