import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { macsRatio } from '../../scaling/multipliers.ts';
import {
  compoundRule,
  dWrExponents,
  efficientNetXGpuCoefficients,
  fastScaling,
  parseRule,
} from '../../scaling/rules.ts';

describe('EfficientNet-X on a GPU', () => {
  // Width, depth, resolution of x-gpu-b1 … b7 in the release, and the φ that regenerates each.
  const published = [
    [0.329, 1.05, 1.09, 229],
    [0.826, 1.13, 1.24, 237],
    [1.858, 1.31, 1.63, 255],
    [3.337, 1.63, 2.4, 282],
    [4.53, 1.94, 3.29, 306],
    [5.538, 2.25, 4.28, 328],
    [6.471, 2.58, 5.46, 350],
  ] as const;

  test('one triple regenerates 20 of the 21 published entries; the depth of B5 comes out .01 lower', () => {
    const rule = compoundRule('x-gpu', efficientNetXGpuCoefficients);
    const misses = published.flatMap(([phi, width, depth, resolution], index) => {
      const got = rule.multipliers(phi);
      const pairs = [
        ['width', width, Number(got.width.toFixed(2))],
        ['depth', depth, Number(got.depth.toFixed(2))],
        ['resolution', resolution, Math.round(224 * got.resolution)],
      ] as const;
      return pairs.filter(([, expected, value]) => expected !== value).map((pair) => [`B${index + 1}`, ...pair]);
    });
    expect(misses).toEqual([['B5', 'depth', 3.29, 3.28]]);
  });

  test('its coefficients double multiply-adds with each φ', () => {
    expect(macsRatio(efficientNetXGpuCoefficients)).toBeCloseTo(2, 2);
  });
});

describe('rules by name', () => {
  test('the coefficients of a text are those of its rule', () => {
    expect(parseRule('1.2/1.1/1.15').multipliers(2)).toEqual(parseRule('efficientnet').multipliers(2));
    expect(parseRule(' 1.3 / 1/1.05').multipliers(1)).toEqual({ depth: 1.3, width: 1, resolution: 1.05 });
  });

  test('dWr at four times the multiply-adds: mostly width', () => {
    const { depth, width, resolution } = fastScaling(4, dWrExponents);
    expect([depth, width, resolution].map((value) => value.toFixed(3))).toEqual(['1.149', '1.741', '1.072']);
    expect(parseRule('dWr').multipliers(2)).toEqual({ depth, width, resolution });
    expect(macsRatio({ depth, width, resolution })).toBeCloseTo(4, 9);
  });

  test.each(['1.2/1.1', '1.2/x/1.1', '', 'DWR', '0.9/1.2/1.1', '1/1/1', '1.2/1.1/1.1/1'])('%j is refused', (text) => {
    expect(() => parseRule(text)).toThrow(ConfigError);
  });
});
