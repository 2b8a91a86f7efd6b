import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resizePlanes } from '../../data/resize.ts';

/** One plane of 7×8 bytes: 37 i² + 11 i modulo 256. */
const plane = Uint8Array.from({ length: 56 }, (_, index) => (index * index * 37 + index * 11) % 256);
const size = { height: 7, width: 8 };

describe('resizePlanes', () => {
  // Made with Pillow 12.3: Image.fromarray(plane).resize((width, height), Image.BILINEAR).
  it.each([
    [3, 4, [97, 163, 153, 142, 182, 158, 153, 153, 123, 115, 90, 143]],
    [
      5,
      7,
      [
        20, 127, 123, 171, 106, 100, 177, 171, 217, 122, 156, 166, 208, 183, 161, 85, 168, 139, 162, 73, 142, 157, 176,
        127, 112, 222, 160, 107, 173, 128, 23, 82, 27, 91, 167,
      ],
    ],
    [
      11,
      9,
      [
        0, 28, 87, 167, 124, 117, 144, 208, 148, 110, 98, 101, 60, 88, 207, 202, 149, 129, 232, 211, 142, 61, 163, 108,
        109, 197, 237, 186, 143, 208, 227, 169, 74, 153, 135, 136, 170, 213, 195, 165, 172, 191, 160, 102, 72, 91, 138,
        207, 151, 133, 148, 201, 129, 79, 58, 91, 146, 175, 153, 143, 170, 185, 139, 103, 98, 114, 180, 189, 187, 165,
        97, 137, 184, 141, 148, 131, 99, 171, 148, 145, 163, 58, 74, 125, 126, 179, 160, 98, 16, 25, 61, 118, 51, 21,
        25, 65, 157, 177, 146,
      ],
    ],
  ])('gives the bytes that Pillow gives, to %i×%i', (width, height, expected) => {
    expect(Array.from(resizePlanes(plane, size, { height, width }))).toEqual(expected);
  });

  it('leaves a plane of its size alone, and a constant one constant', () => {
    expect(resizePlanes(plane, size, size)).toBe(plane);
    fc.assert(
      fc.property(fc.nat(255), fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }), (value, from, to) => {
        const flat = new Uint8Array(from * from).fill(value);
        const out = resizePlanes(flat, { height: from, width: from }, { height: to, width: to });
        expect(out.length).toBe(to * to);
        expect(out.every((byte) => byte === value)).toBe(true);
      }),
    );
  });

  it('resizes every plane as if it were alone', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 3 * 56, maxLength: 3 * 56 }), (three) => {
        const to = { height: 4, width: 3 };
        const alone = [0, 1, 2].flatMap((at) => [...resizePlanes(three.slice(at * 56, (at + 1) * 56), size, to)]);
        expect(Array.from(resizePlanes(three, size, to))).toEqual(alone);
      }),
      { numRuns: 20 },
    );
  });

  it('refuses part of a plane', () => {
    expect(() => resizePlanes(plane.subarray(1), size, { height: 4, width: 4 })).toThrow(/whole planes of 7×8/);
  });
});
