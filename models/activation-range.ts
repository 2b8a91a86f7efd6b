import type { ValueRange } from './affine-quantization.ts';

/**
 * How the range that eight bits stand for is found from the values an activation takes: all of them (`min-max`), or the
 * range with the least mean squared error of rounding and clipping together (`mse`; Nagel et al. 2021, section 3.1).
 */
export const rangeMethods = ['min-max', 'mse'] as const;
export type RangeMethod = (typeof rangeMethods)[number];

const bins = 2048;
const levels = 255;
/** Shrunken ends that are tried, as shares of the whole range's. */
const steps = 100;

/** The least range that holds a range and values; finite values only, others are passed over. */
export function widened({ lo, hi }: ValueRange, values: Float32Array): ValueRange {
  let [least, most] = [lo, hi];
  for (const value of values) {
    if (value < least && value !== -Infinity) least = value;
    if (value > most && value !== Infinity) most = value;
  }
  return { lo: least, hi: most };
}

/** How often an activation takes values of each of equally wide bins over a range. */
export interface Histogram {
  readonly range: ValueRange;
  readonly counts: Float64Array;
}

export function emptyHistogram(range: ValueRange): Histogram {
  return { range, counts: new Float64Array(bins) };
}

/** Counts values. Zeros are left out: whatever the range, zero has a number of its own and no error. */
export function count({ range: { lo, hi }, counts }: Histogram, values: Float32Array): void {
  const perValue = bins / Math.max(hi - lo, Number.MIN_VALUE);
  for (const value of values) {
    if (value === 0 || Number.isNaN(value)) continue;
    const bin = Math.min(bins - 1, Math.max(0, Math.floor((value - lo) * perValue)));
    counts[bin] = (counts[bin] as number) + 1;
  }
}

/**
 * The range whose 256 levels have the least expected squared error: (width ÷ 255)² ÷ 12 for what is inside, the squared
 * distance to the end for what is clipped. Each end in turn is drawn in towards zero, the upper first, twice.
 */
export function leastErrorRange({ range, counts }: Histogram): ValueRange {
  const whole = { lo: Math.min(range.lo, 0), hi: Math.max(range.hi, 0) };
  const width = (range.hi - range.lo) / bins;
  const centres = Float64Array.from(counts, (_, bin) => range.lo + (bin + 0.5) * width);
  let best = whole;
  for (let round = 0; round < 2; round++) {
    best = least(ends(whole.hi).map((hi) => ({ lo: best.lo, hi })));
    best = least(ends(whole.lo).map((lo) => ({ lo, hi: best.hi })));
  }
  return best;

  function least(candidates: readonly ValueRange[]): ValueRange {
    const errors = candidates.map(squaredError);
    return candidates[errors.indexOf(Math.min(...errors))] ?? whole;
  }

  function squaredError({ lo, hi }: ValueRange): number {
    const rounding = ((hi - lo) / levels) ** 2 / 12;
    let error = 0;
    for (const [bin, times] of counts.entries()) {
      const centre = centres[bin] as number;
      const clipped = centre < lo ? lo - centre : centre > hi ? centre - hi : 0;
      error += times * (clipped === 0 ? rounding : clipped ** 2);
    }
    return error;
  }
}

/** From a whole range's end inwards; zero itself would leave nothing. */
function ends(whole: number): readonly number[] {
  return whole === 0 ? [0] : Array.from({ length: steps }, (_, step) => (whole * (steps - step)) / steps);
}
