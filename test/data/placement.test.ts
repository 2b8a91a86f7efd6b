import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { noAugmentation } from '../../data/augment.ts';
import { asStored, drawPlacement, placeImage, type Placement } from '../../data/placement.ts';

const plain = [Float32Array.from({ length: 256 }, (_, byte) => byte)];

/** A 3×3 image of 1 … 9, placed over what the array held before. */
function placed(change: Partial<Placement>): number[] {
  const out = new Float32Array(9).fill(-1);
  placeImage(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9), 3, plain, { ...asStored, ...change }, out);
  return [...out];
}

describe('placeImage', () => {
  it('leaves an image as stored', () => {
    expect(placed({})).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('mirrors left to right', () => {
    expect(placed({ mirrored: true })).toEqual([3, 2, 1, 6, 5, 4, 9, 8, 7]);
  });

  it('shifts right and up, the mean moving in', () => {
    expect(placed({ right: 1, down: -1 })).toEqual([0, 4, 5, 0, 7, 8, 0, 0, 0]);
  });

  it('shifts what it has mirrored', () => {
    expect(placed({ mirrored: true, right: -1 })).toEqual([2, 1, 0, 5, 4, 0, 8, 7, 0]);
  });

  it('blanks a square, cut off at the edge', () => {
    expect(placed({ blank: { row: 0, column: 1, side: 2 } })).toEqual([1, 0, 0, 4, 0, 0, 7, 8, 9]);
    expect(placed({ blank: { row: 2, column: -1, side: 2 } })).toEqual([1, 2, 3, 4, 5, 6, 0, 8, 9]);
  });
});

describe('drawPlacement', () => {
  it('draws these for ever: stored studies depend on them', () => {
    const drawn = [0, 1, 2].map((example) =>
      drawPlacement({ flip: true, shift: 0.125, cutout: 0.25 }, 64, new Random(7).child('augment', 0, example)),
    );
    expect(drawn).toEqual([
      { mirrored: false, right: 1, down: -2, blank: { row: 4, column: -2, side: 16 } },
      { mirrored: true, right: 1, down: 4, blank: { row: 46, column: 48, side: 16 } },
      { mirrored: true, right: -1, down: 8, blank: { row: 31, column: 17, side: 16 } },
    ]);
  });

  it('stays within its bounds', () => {
    const share = fc.double({ min: 0, max: 0.5, noNaN: true });
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 4, max: 64 }), share, (seed, side, shift) => {
        const drawn = drawPlacement({ flip: false, shift, cutout: shift }, side, new Random(seed));
        const reach = Math.round(shift * side);
        expect(drawn.mirrored).toBe(false);
        expect(Math.max(Math.abs(drawn.right), Math.abs(drawn.down))).toBeLessThanOrEqual(reach);
        expect(drawn.blank.side).toBe(reach);
        const centre = Math.floor(reach / 2);
        if (reach > 0) expect(Math.min(drawn.blank.row, drawn.blank.column) + centre).toBeGreaterThanOrEqual(0);
        expect(Math.max(drawn.blank.row, drawn.blank.column) + centre).toBeLessThan(side);
      }),
      { numRuns: 100 },
    );
  });

  it('changes nothing when nothing is asked for', () => {
    expect(drawPlacement(noAugmentation, 32, new Random(1))).toEqual(asStored);
  });

  it('mirrors about half of the time', () => {
    const mirrored = Array.from({ length: 400 }, (_, seed) => {
      return drawPlacement({ ...noAugmentation, flip: true }, 8, new Random(seed)).mirrored;
    }).filter(Boolean).length;
    // 400 fair coins, 4 sigma.
    expect(Math.abs(mirrored - 200)).toBeLessThan(40);
  });
});
