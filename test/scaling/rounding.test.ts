import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { roundFilters, roundRepeats, roundResolution } from '../../scaling/rounding.ts';

// EfficientNet-B0: stem, stages, head.
const channels = [32, 16, 24, 40, 80, 112, 192, 320, 1280];
const repeats = [1, 2, 2, 3, 3, 4, 1];

describe('rounding as in EfficientNet', () => {
  // Widths and repeats of the released models.
  test.each([
    [1.0, channels],
    [1.1, [32, 16, 24, 48, 88, 120, 208, 352, 1408]],
    [1.2, [40, 24, 32, 48, 96, 136, 232, 384, 1536]],
    [1.4, [48, 24, 32, 56, 112, 160, 272, 448, 1792]],
    [2.0, [64, 32, 48, 80, 160, 224, 384, 640, 2560]],
  ])('width %f gives the published channels', (width, expected) => {
    expect(channels.map((count) => roundFilters(count, width))).toEqual(expected);
  });

  test.each([
    [1.1, [2, 3, 3, 4, 4, 5, 2]],
    [1.4, [2, 3, 3, 5, 5, 6, 2]],
    [3.1, [4, 7, 7, 10, 10, 13, 4]],
  ])('depth %f gives the published repeats', (depth, expected) => {
    expect(repeats.map((count) => roundRepeats(count, depth))).toEqual(expected);
  });

  test('channels are multiples of 8, never more than a tenth below what was asked, and grow with the multiplier', () => {
    const width = fc.double({ min: 0.1, max: 6, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), width, width, (eighths, a, b) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        const rounded = roundFilters(8 * eighths, low);
        expect(rounded % 8).toBe(0);
        expect(rounded).toBeGreaterThanOrEqual(0.9 * 8 * eighths * low - 1e-9);
        expect(rounded).toBeLessThanOrEqual(roundFilters(8 * eighths, high));
      }),
    );
  });
});

describe('resolution', () => {
  test('to the nearest pixel or multiple', () => {
    expect(roundResolution(224, 1.0714)).toBe(240);
    expect(roundResolution(24, 1.37, { multiple: 4 })).toBe(32);
  });

  test('never above the native side, at least one multiple', () => {
    expect(roundResolution(20, 2.5, { max: 32 })).toBe(32);
    expect(roundResolution(20, 2.5, { max: 35, multiple: 8 })).toBe(32);
    expect(roundResolution(20, 0.01, { multiple: 4 })).toBe(4);
  });
});
