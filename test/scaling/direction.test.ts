import { describe, expect, test } from 'vitest';
import { gmacsOf, searchDirection, start, xBase } from '../../bench/scaling/direction-search.ts';
import { specDigest } from '../../models/spec.ts';
import { applyMultipliers } from '../../scaling/apply.ts';
import { builtInNetwork } from '../../scaling/built-in-networks.ts';
import type { Multipliers } from '../../scaling/multipliers.ts';
import { devices, expectMoved } from './directions.ts';

// Kappas a factor of four off are in direction.slow.test.ts.
describe('at equal multiply-adds, from where EfficientNet put B7', () => {
  test('the start is EfficientNet-X-B7', () => {
    const b7 = builtInNetwork('efficientnet-x-b7');
    expect(b7 && { ...start.spec, head: b7.head, name: b7.name }).toEqual(b7);
    expect(gmacsOf(start.spec)).toBeCloseTo(91.787, 3);
  });

  test('multiply-adds alone do not move the scaling', () => {
    const found = searchDirection({ costOf: gmacsOf, share: 1, kappa: 0.2, rounds: 3 });
    expect(found && specDigest(found.network.spec)).toBe(specDigest(start.spec));
  });

  test.each(devices)('the latency of %s moves it to more width and less resolution', (_, costOf, share) => {
    const found = searchDirection({ costOf, share, kappa: 0.2, rounds: 4 });
    expect(found?.cost).toBeLessThanOrEqual(share);
    expectMoved(found);
  });

  test.each(devices)('%s makes depth no cheaper for its multiply-adds than resolution', (_, costOf) => {
    // What doubling the multiply-adds along an axis costs of latency, ÷ what it adds of them: so depth does not grow.
    const price = (multipliers: Multipliers) => {
      const { spec } = applyMultipliers(xBase, multipliers, { maxResolution: 2000 });
      return Math.log(costOf(spec) / costOf(start.spec)) / Math.log(gmacsOf(spec) / gmacsOf(start.spec));
    };
    const [depth, width, resolution] = [3.1, 2, 600 / 224] as const;
    const deeper = price({ depth: 2 * depth, width, resolution });
    const wider = price({ depth, width: Math.SQRT2 * width, resolution });
    const sharper = price({ depth, width, resolution: Math.SQRT2 * resolution });
    expect(wider).toBeLessThan(0.85 * deeper);
    expect(wider).toBeLessThan(0.85 * sharper);
    expect(deeper).toBeGreaterThan(0.95 * sharper);
  });
});
