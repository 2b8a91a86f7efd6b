import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { activationScale, leastWeightScale, quantizeBias, quantizeWeights } from '../../models/affine-quantization.ts';

const finite = fc.float({ noNaN: true, noDefaultInfinity: true, min: Math.fround(-1e6), max: Math.fround(1e6) });

describe('the scale of an activation', () => {
  it('keeps zero exactly and every value of the range within half a level', () => {
    fc.assert(
      fc.property(finite, finite, fc.float({ min: 0, max: 1, noNaN: true }), (a, b, share) => {
        const range = { lo: Math.min(a, b), hi: Math.max(a, b) };
        const { scale, zeroPoint } = activationScale(range);
        expect(Number.isInteger(zeroPoint) && zeroPoint >= 0 && zeroPoint <= 255).toBe(true);
        const value = range.lo + share * (range.hi - range.lo);
        const level = Math.min(255, Math.max(0, Math.round(value / scale) + zeroPoint));
        // The zero point is rounded, which may cost the ends of the range another half.
        expect(Math.abs(scale * (level - zeroPoint) - value)).toBeLessThanOrEqual(1.001 * scale);
      }),
    );
  });

  it('spends no level on values that do not occur', () => {
    expect(activationScale({ lo: 0, hi: 51 })).toEqual({ scale: Math.fround(0.2), zeroPoint: 0 });
    expect(activationScale({ lo: -51, hi: 0 })).toEqual({ scale: Math.fround(0.2), zeroPoint: 255 });
    expect(activationScale({ lo: -25, hi: 26 }).zeroPoint).toBe(125);
  });

  it('exists for an activation that is always zero', () => {
    const { scale } = activationScale({ lo: 0, hi: 0 });
    expect(scale).toBeGreaterThan(0);
    expect(Math.fround(scale)).toBe(scale);
  });
});

describe('weights', () => {
  // Two output channels of [2, 1, 1, 2], and the same as columns of a [2, 2] matrix.
  const values = Float32Array.of(1, -0.4, 100, 25);

  it('use every level of their own channel, whatever the others hold', () => {
    const { data, scales } = quantizeWeights(values, { dims: [2, 1, 1, 2], axis: 0 }, [], 8);
    expect([...data]).toEqual([127, -51, 127, 32]);
    expect([...scales]).toEqual([Math.fround(1 / 127), Math.fround(100 / 127)]);
    expect([...quantizeWeights(values, { dims: [2, 2], axis: 1 }, [], 8).data]).toEqual([1, -2, 127, 127]);
  });

  it('of seven bits never fill the sixteen in which two products with a byte are added', () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 2, maxLength: 20 }), (weights) => {
        const { data } = quantizeWeights(Float32Array.from(weights), { dims: [1, weights.length], axis: 0 }, [], 7);
        expect(Math.max(...data.map(Math.abs))).toBeLessThanOrEqual(63);
      }),
    );
    expect(2 * 255 * 63).toBeLessThan(2 ** 15);
    expect(2 * 255 * 127).toBeGreaterThan(2 ** 15);
  });

  it('of a channel that training has removed leave its bias within int32', () => {
    const [bias, inputScale] = [3, 1e-3];
    const plain = quantizeWeights(Float32Array.of(1e-30), { dims: [1, 1], axis: 0 }, [], 8);
    expect(bias / (inputScale * (plain.scales[0] as number))).toBeGreaterThan(2 ** 31);
    const kept = quantizeWeights(
      Float32Array.of(1e-30),
      { dims: [1, 1], axis: 0 },
      [leastWeightScale(bias, inputScale)],
      8,
    );
    const { data, scales } = quantizeBias(Float32Array.of(bias), inputScale, kept.scales);
    expect((data[0] as number) * (scales[0] as number)).toBeCloseTo(bias, 6);
  });
});
