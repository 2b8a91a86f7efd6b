import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { specDigest } from '../../models/spec.ts';
import { applyMultipliers, realisedKey } from '../../scaling/apply.ts';
import { identity } from '../../scaling/multipliers.ts';
import { smallBase } from './base.ts';

const base = smallBase();
const limits = { maxResolution: 100 };

describe('applying multipliers', () => {
  test('the identity gives the same network', () => {
    const { spec, realised } = applyMultipliers(base, identity, limits);
    expect(specDigest(spec)).toBe(specDigest(base));
    expect(realised).toEqual(identity);
  });

  test('stem, stages and head widen, stages deepen, the input grows, the rest stays', () => {
    const { spec, realised } = applyMultipliers(base, { depth: 1.5, width: 2, resolution: 1.26 }, limits);
    expect(spec.stem.width).toBe(32);
    expect(spec.head.width).toBe(256);
    expect(spec.stages.map(({ width, repeats, kernel }) => [width, repeats, kernel])).toEqual([
      [32, 2, 3],
      [48, 3, 3],
      [80, 5, 3],
    ]);
    expect(spec.input.resolution).toBe(40);
    expect(realised).toEqual({ depth: 10 / 6, width: 2, resolution: 1.25 });
  });

  test('resolution stops at the native side and the realised multiplier says so', () => {
    const { spec, realised } = applyMultipliers(base, { depth: 1, width: 1, resolution: 4 }, { maxResolution: 48 });
    expect(spec.input.resolution).toBe(48);
    expect(realised.resolution).toBe(1.5);
  });

  test('a base without a head stays without one', () => {
    const headless = { ...base, head: { ...base.head, width: 0 } };
    expect(applyMultipliers(headless, { depth: 1, width: 2, resolution: 1 }, limits).spec.head.width).toBe(0);
  });

  test('equal realised multipliers mean equal networks, and the other way round', () => {
    const factor = fc.double({ min: 0.75, max: 2, noNaN: true });
    const triple = fc.record({ depth: factor, width: factor, resolution: factor });
    fc.assert(
      fc.property(triple, triple, (first, second) => {
        const [a, b] = [first, { ...second, depth: first.depth }].map((m) => applyMultipliers(base, m, limits));
        if (!a || !b) return;
        const sameNetwork = specDigest(a.spec) === specDigest(b.spec);
        expect(realisedKey(a.realised) === realisedKey(b.realised)).toBe(sameNetwork);
      }),
    );
  });
});
