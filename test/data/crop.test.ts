import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { cropSchema, drawCrop } from '../../data/crop.ts';
import { resizePlanes, WindowResizer } from '../../data/resize.ts';

describe('drawCrop', () => {
  it('stays inside the image, within its ranges up to rounding to pixels', () => {
    const share = fc.double({ min: 0.01, max: 1, noNaN: true });
    const ratio = fc.double({ min: 0.1, max: 10, noNaN: true });
    const extent = fc.integer({ min: 1, max: 200 });
    fc.assert(
      fc.property(share, share, ratio, ratio, extent, extent, fc.integer(), (a, b, r, s, height, width, seed) => {
        const crop = { area: [Math.min(a, b), Math.max(a, b)], aspect: [Math.min(r, s), Math.max(r, s)] } as const;
        const window = drawCrop(cropSchema.parse(crop), { height, width }, new Random(seed));
        expect(Math.min(window.top, window.left)).toBeGreaterThanOrEqual(0);
        expect(Math.min(window.height, window.width)).toBeGreaterThanOrEqual(1);
        expect(window.top + window.height).toBeLessThanOrEqual(height);
        expect(window.left + window.width).toBeLessThanOrEqual(width);
        const half = 0.5;
        const low = Math.max(0, window.width - half) / width / ((window.height + half) / height);
        const high = (window.width + half) / width / (Math.max(0, window.height - half) / height);
        // Extents of less than a pixel become one.
        if (window.width > 1 && window.height > 1) {
          expect(low).toBeLessThanOrEqual(crop.aspect[1]);
          expect(high).toBeGreaterThanOrEqual(crop.aspect[0]);
        }
      }),
    );
  });

  it('takes shares of the area evenly where every part fits', () => {
    const crop = cropSchema.parse({ area: [0.1, 0.5] });
    const size = { height: 1000, width: 500 };
    const count = 4000;
    const areas = Array.from({ length: count }, (_, seed) => {
      const { height, width } = drawCrop(crop, size, new Random(seed));
      return (height * width) / 500_000;
    });
    const mean = areas.reduce((sum, area) => sum + area, 0) / count;
    // Uniform on [0.1, 0.5]: standard deviation 0.4 ÷ √12; 4.5 sigma, and 0.002 for rounding to pixels.
    expect(Math.abs(mean - 0.3)).toBeLessThan((4.5 * 0.4) / Math.sqrt(12 * count) + 0.002);
    expect(Math.min(...areas)).toBeGreaterThan(0.098);
    expect(Math.max(...areas)).toBeLessThan(0.502);
  });

  it('takes flat and tall parts equally often', () => {
    const count = 4000;
    const flat = Array.from({ length: count }, (_, seed) => {
      const { height, width } = drawCrop(
        cropSchema.parse({ area: [0.2, 0.6] }),
        { height: 999, width: 999 },
        new Random(seed),
      );
      return Number(width > height);
    }).reduce((sum, one) => sum + one, 0);
    expect(Math.abs(flat - count / 2)).toBeLessThan(4.5 * Math.sqrt(count / 4));
  });

  it('takes the middle when no part of the aspect fits', () => {
    const crop = cropSchema.parse({ area: [1, 1], aspect: [2, 2] });
    expect(drawCrop(crop, { height: 40, width: 20 }, new Random(0))).toEqual({
      height: 20,
      width: 20,
      top: 10,
      left: 0,
    });
    const whole = cropSchema.parse({ area: [1, 1] });
    expect(drawCrop({ ...whole, aspect: [1, 1] }, { height: 7, width: 9 }, new Random(0))).toEqual({
      height: 7,
      width: 9,
      top: 0,
      left: 0,
    });
  });

  it('refuses ranges that are none', () => {
    for (const wrong of [{ area: [0.5, 0.1] }, { area: [0, 1] }, { area: [0.5, 2] }, { aspect: [2, 0.5] }, { size: 3 }])
      expect(cropSchema.safeParse(wrong).success).toBe(false);
    expect(cropSchema.parse({})).toEqual({ area: [0.08, 1], aspect: [3 / 4, 4 / 3] });
  });
});

describe('WindowResizer', () => {
  it('gives what resizing the part alone gives', () => {
    const from = { height: 13, width: 11 };
    const random = new Random('planes');
    const planes = Uint8Array.from({ length: 3 * 13 * 11 }, () => random.integer(256));
    const to = { height: 6, width: 6 };
    const resizer = new WindowResizer(from, to);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 13 }),
        fc.integer({ min: 1, max: 11 }),
        fc.nat(12),
        fc.nat(10),
        (height, width, down, right) => {
          const top = Math.min(down, 13 - height);
          const left = Math.min(right, 11 - width);
          const out = new Uint8ClampedArray(3 * 36);
          resizer.resize(planes, { height, width, top, left }, out);
          const part = [0, 1, 2].flatMap((plane) =>
            Array.from({ length: height * width }, (_, at) => {
              const row = top + Math.floor(at / width);
              return planes[(plane * 13 + row) * 11 + left + (at % width)] as number;
            }),
          );
          expect([...out]).toEqual([...resizePlanes(Uint8Array.from(part), { height, width }, to)]);
        },
      ),
      { numRuns: 60 },
    );
  });
});
