import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { rotate, shearX, shearY, translateX, translateY, type Warp, warpImage } from '../../data/warp.ts';

function noise(side: number, channels = 2): Uint8Array {
  const random = new Random('warp').child(side);
  return Uint8Array.from({ length: channels * side * side }, () => random.integer(256));
}
const fill = [11, 222];
function warped(image: Uint8Array, side: number, by: Warp): Uint8Array {
  const out = image.slice();
  warpImage(out, side, by, fill, new Uint8Array(image.length));
  return out;
}
/** The image whose pixel (x, y) is the source's at `from(x, y)`, whole pixels. */
function moved(image: Uint8Array, side: number, from: (x: number, y: number) => readonly [number, number]): Uint8Array {
  return Uint8Array.from(image, (_, at) => {
    const channel = Math.floor(at / side ** 2);
    const [x, y] = from(at % side, Math.floor(at / side) % side);
    const isInside = x >= 0 && y >= 0 && x < side && y < side;
    return (isInside ? image[channel * side ** 2 + y * side + x] : fill[channel]) as number;
  });
}
const sides = [1, 2, 5, 8];

describe('warpImage', () => {
  it('turns by right angles without loss, counter-clockwise', () => {
    for (const side of sides) {
      const image = noise(side);
      const last = side - 1;
      expect(warped(image, side, rotate(0))).toEqual(image);
      expect(warped(image, side, rotate(90))).toEqual(moved(image, side, (x, y) => [last - y, x]));
      expect(warped(image, side, rotate(-90))).toEqual(moved(image, side, (x, y) => [y, last - x]));
      expect(warped(image, side, rotate(180))).toEqual(moved(image, side, (x, y) => [last - x, last - y]));
    }
  });

  it('moves by whole pixels without loss, the fill entering', () => {
    for (const side of sides) {
      const image = noise(side);
      for (const pixels of [-3, -1, 0, 2, 100]) {
        expect(warped(image, side, translateX(pixels))).toEqual(moved(image, side, (x, y) => [x + pixels, y]));
        expect(warped(image, side, translateY(pixels))).toEqual(moved(image, side, (x, y) => [x, y + pixels]));
      }
    }
  });

  it('shears about the middle: by one pixel a row, rows are moved whole', () => {
    const [side, middle] = [7, 3];
    const image = noise(side);
    expect(warped(image, side, shearX(1))).toEqual(moved(image, side, (x, y) => [x + y - middle, y]));
    expect(warped(image, side, shearY(-1))).toEqual(moved(image, side, (x, y) => [x, y - (x - middle)]));
  });

  it('interpolates as bilinear interpolation in double precision does', () => {
    const side = 16;
    const image = noise(side);
    const at = (channel: number, x: number, y: number) =>
      (x >= 0 && y >= 0 && x < side && y < side ? image[channel * side ** 2 + y * side + x] : fill[channel]) as number;
    fc.assert(
      fc.property(fc.double({ min: -45, max: 45, noNaN: true }), (degrees) => {
        const out = warped(image, side, rotate(degrees));
        const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
        for (let index = 0; index < out.length; index++) {
          const channel = Math.floor(index / side ** 2);
          const [dx, dy] = [(index % side) - 7.5, (Math.floor(index / side) % side) - 7.5];
          const [x, y] = [cos * dx - sin * dy + 7.5, sin * dx + cos * dy + 7.5];
          const [left, top] = [Math.floor(x), Math.floor(y)];
          const upper = at(channel, left, top) * (1 - x + left) + at(channel, left + 1, top) * (x - left);
          const lower = at(channel, left, top + 1) * (1 - x + left) + at(channel, left + 1, top + 1) * (x - left);
          const expected = upper * (1 - y + top) + lower * (y - top);
          // Shares in steps of 1/256 along both axes, coordinates in steps of 1/65536, rounding to bytes.
          expect(Math.abs((out[index] as number) - expected)).toBeLessThan(2 * (255 / 256) + 0.6);
        }
      }),
      { numRuns: 25 },
    );
  });

  it('keeps an image of the fill as it is', () => {
    const image = Uint8Array.from({ length: 2 * 81 }, (_, at) => fill[Math.floor(at / 81)] as number);
    expect(warped(image, 9, { xx: 0.7, xy: -0.4, yx: 0.9, yy: 1.3, right: 2.2, down: -1.7 })).toEqual(image);
  });
});
