import { describe, expect, test } from 'vitest';
import { applyMultipliers } from '../../scaling/apply.ts';
import { relativeShape } from '../../scaling/relative-shape.ts';
import { smallBase } from './base.ts';

const base = smallBase();

describe('the shape of a network beside a base', () => {
  test('is one for the base, and about the realised multipliers for its scalings', () => {
    expect(relativeShape(base, base)).toEqual({ depth: 1, width: 1, resolution: 1 });
    for (const multipliers of [
      { depth: 2, width: 1, resolution: 1 },
      { depth: 1, width: 1.5, resolution: 1 },
      { depth: 1.5, width: 2, resolution: 1.5 },
    ]) {
      const { spec, realised } = applyMultipliers(base, multipliers, { maxResolution: 64 });
      const shape = relativeShape(base, spec);
      expect(shape.depth).toBe(realised.depth);
      expect(shape.resolution).toBe(realised.resolution);
      // Multiply-adds are not quite d·w²·r²: depthwise convolutions grow with w, added blocks come after the stride.
      expect(Math.abs(Math.log(shape.width / realised.width))).toBeLessThan(0.2);
    }
  });

  test('counts larger expansions as width', () => {
    const stages = base.stages.map((stage) => ({ ...stage, expansion: 6 }));
    const { depth, width, resolution } = relativeShape(base, { ...base, stages } as typeof base);
    expect([depth, resolution]).toEqual([1, 1]);
    expect(width).toBeGreaterThan(1.1);
    expect(width).toBeLessThan(1.3);
  });
});
