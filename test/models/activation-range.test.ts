import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { count, emptyHistogram, leastErrorRange, widened } from '../../models/activation-range.ts';
import { activationScale, type ValueRange } from '../../models/affine-quantization.ts';

/** Mean squared error of values through eight bits of a range. */
function errorOf(values: Float32Array, range: ValueRange): number {
  const { scale, zeroPoint } = activationScale(range);
  const through = (value: number): number =>
    scale * (Math.min(255, Math.max(0, Math.round(value / scale) + zeroPoint)) - zeroPoint);
  return values.reduce((sum, value) => sum + (value - through(value)) ** 2, 0) / values.length;
}

function mseRange(values: Float32Array): { readonly whole: ValueRange; readonly range: ValueRange } {
  const whole = widened({ lo: 0, hi: 0 }, values);
  const histogram = emptyHistogram(whole);
  count(histogram, values);
  return { whole, range: leastErrorRange(histogram) };
}

const random = new Random('ranges');
const normal = Float32Array.from({ length: 20_000 }, () => random.normal());
const outlier = Float32Array.from(normal, (value, index) => (index === 7 ? 60 : value));
const rectified = normal.map((value) => Math.max(0, value));

describe('the least-error range', () => {
  it.each([
    ['a bell', normal],
    ['a bell with an outlier', outlier],
    ['a rectified bell', rectified],
  ])('of %s errs no more than any of a thousand others', (_name, values) => {
    const { whole, range } = mseRange(values);
    const best = errorOf(values, range);
    for (let at = 1; at <= 1000; at++) {
      const share = at / 1000;
      const other = { lo: whole.lo * random.uniform(), hi: whole.hi * share };
      // Bins and steps are of a per cent; rounding is taken as uniform noise.
      expect(best).toBeLessThanOrEqual(1.1 * errorOf(values, other));
    }
  });

  it('draws an end in where clipping costs less than coarser levels do', () => {
    const { whole, range } = mseRange(outlier);
    expect(whole.hi).toBe(60);
    expect(range.hi).toBeLessThan(60);
    expect(errorOf(outlier, range)).toBeLessThan(errorOf(outlier, whole));
  });

  it('of an activation that is never negative begins at zero, and of a dead one is zero', () => {
    expect(mseRange(rectified).range.lo).toBe(0);
    expect(mseRange(new Float32Array(10)).range).toEqual({ lo: 0, hi: 0 });
  });
});

it('a range passes over what is not finite', () => {
  expect(widened({ lo: 0, hi: 0 }, Float32Array.of(1, Infinity, NaN, -2, -Infinity))).toEqual({ lo: -2, hi: 1 });
});
