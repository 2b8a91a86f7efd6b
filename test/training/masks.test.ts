import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { drawMasks } from '../../training/masks.ts';

const masks = [
  { name: 'dropout', shape: [64, 500], rate: 0.2 },
  { name: 'depth', shape: [64, 1, 1, 1], rate: 0.5 },
];
const valuesOf = (stream: Random, name: string) => drawMasks(masks, stream)[name]?.data as Float32Array;

describe('masks', () => {
  it('drop the share asked for and keep the mean', () => {
    const values = valuesOf(new Random(1), 'dropout');
    expect([...new Set(values)].toSorted()).toEqual([0, 1.25]);
    // Five standard deviations of 32,000 draws.
    const dropped = values.filter((value) => value === 0).length / values.length;
    expect(Math.abs(dropped - 0.2)).toBeLessThan(5 * Math.sqrt((0.2 * 0.8) / values.length));
  });

  it('are their own stream each, repeated by equal seeds alone', () => {
    expect(valuesOf(new Random(1), 'depth')).toEqual(drawMasks(masks.slice(1), new Random(1))['depth']?.data);
    expect(valuesOf(new Random(1), 'dropout')).not.toEqual(valuesOf(new Random(2), 'dropout'));
  });
});
