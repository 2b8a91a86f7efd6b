import { crc32 } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  applyTable,
  autoContrastTable,
  contrastTable,
  equalizeTable,
  meanGrey,
  posterizeTable,
  saturate,
  sharpen,
  solarizeTable,
} from '../../data/photometric.ts';

const side = 24;
const values = 3 * side * side;
const noisy = Uint8Array.from({ length: values }, (_, at) => (at * at * 37 + at * 11) % 256);
const faint = Uint8Array.from({ length: values }, (_, at) => 60 + ((at * 7 + Math.floor(at / side) * 5) % 90));
const grey = (image: Uint8Array) => image.subarray(0, side * side);

type Change = (image: Uint8Array, channels: number) => void;
const byTable =
  (table: Uint8Array): Change =>
  (image) =>
    applyTable(image, table);
const byPlane =
  (tableOf: (plane: Uint8Array) => Uint8Array): Change =>
  (image) => {
    for (let start = 0; start < image.length; start += side * side) {
      const plane = image.subarray(start, start + side * side);
      applyTable(plane, tableOf(plane));
    }
  };
const brightness = (factor: number) => byTable(contrastTable(0, factor));
const contrast =
  (factor: number): Change =>
  (image, channels) =>
    applyTable(image, contrastTable(meanGrey(image, channels), factor));
const color =
  (factor: number): Change =>
  (image, channels) =>
    saturate(image, channels, factor);
const sharpness =
  (factor: number): Change =>
  (image) =>
    sharpen(image, side, factor, new Uint8Array(image.length));

const bytes = fc.uint8Array({ minLength: 64, maxLength: 64 });

describe('photometric operations', () => {
  // CRC-32 of what Pillow 9.4 makes of the two images, in colour and of their first channel alone:
  // ImageOps.posterize(image, 5) and so on, ImageEnhance.Brightness(image).enhance(0.1) and so on.
  it.each<[string, Change, number[]]>([
    ['posterize to 5 bits', byTable(posterizeTable(5)), [849798178, 1911447509, 2626239650, 3318579797]],
    ['solarize from 100', byTable(solarizeTable(100)), [427936069, 3025809442, 3446074160, 1384682270]],
    ['invert', byTable(solarizeTable(0)), [1330540597, 2441659237, 3609110930, 2371929608]],
    ['auto-contrast', byPlane(autoContrastTable), [3067361345, 1113827195, 1628625679, 2128700357]],
    ['equalize', byPlane(equalizeTable), [1325980797, 2936827601, 3273197140, 3651299738]],
    ['brightness 0.1', brightness(0.1), [2418555543, 968737296, 3431039991, 3130463992]],
    ['brightness 0.73', brightness(0.73), [217659344, 2298053972, 3685266804, 3939533068]],
    ['brightness 1.36', brightness(1.36), [2938520463, 3197939349, 2656375821, 2576193182]],
    ['brightness 1.9', brightness(1.9), [1686565136, 564323317, 2507864826, 1009419891]],
    ['contrast 0.1', contrast(0.1), [433269557, 1759553242, 2204607421, 3632016938]],
    ['contrast 0.73', contrast(0.73), [3348176889, 3585183244, 1394315110, 1389185294]],
    ['contrast 1.36', contrast(1.36), [3494181482, 2223159917, 1553164259, 1717922713]],
    ['contrast 1.9', contrast(1.9), [2426884211, 454490936, 2741500973, 4165004195]],
    ['colour 0.1', color(0.1), [3189524460, 4228633315, 621414357, 3773028238]],
    ['colour 0.73', color(0.73), [1296301804, 4228633315, 4279394726, 3773028238]],
    ['colour 1.36', color(1.36), [587988424, 4228633315, 2458733688, 3773028238]],
    ['colour 1.9', color(1.9), [4288992531, 4228633315, 3971083244, 3773028238]],
    ['sharpness 0.1', sharpness(0.1), [360287828, 1655938416, 839932211, 3610076301]],
    ['sharpness 0.73', sharpness(0.73), [1279897365, 3837022176, 3384762022, 742305209]],
    ['sharpness 1.36', sharpness(1.36), [3193042001, 44111608, 3188611782, 2379805532]],
    ['sharpness 1.9', sharpness(1.9), [1795400958, 3721037252, 528088567, 2579517141]],
  ])('give the bytes that Pillow gives: %s', (_, change, expected) => {
    const results = [noisy, grey(noisy), faint, grey(faint)].map((image) => {
      const changed = image.slice();
      change(changed, image.length === values ? 3 : 1);
      return crc32(changed);
    });
    expect(results).toEqual(expected);
  });

  it('do nothing at their neutral setting', () => {
    for (const neutral of [posterizeTable(8), solarizeTable(256), contrastTable(0, 1), contrastTable(99, 1)])
      expect([...neutral]).toEqual(Array.from({ length: 256 }, (_, byte) => byte));
    const image = noisy.slice();
    saturate(image, 3, 1);
    sharpen(image, side, 1, new Uint8Array(values));
    expect(image).toEqual(noisy);
  });

  it('invert twice to the same', () => {
    const image = noisy.slice();
    applyTable(image, solarizeTable(0));
    expect(image.every((byte, at) => byte === 255 - (noisy[at] as number))).toBe(true);
    applyTable(image, solarizeTable(0));
    expect(image).toEqual(noisy);
  });

  it('stretch any channel of two or more bytes to the whole range, in order', () => {
    fc.assert(
      fc.property(bytes, (plane) => {
        fc.pre(new Set(plane).size > 1);
        const table = autoContrastTable(plane);
        expect([table[Math.min(...plane)], table[Math.max(...plane)]]).toEqual([0, 255]);
        expect(table.every((byte, at) => at === 0 || byte >= (table[at - 1] as number))).toBe(true);
      }),
    );
    expect(autoContrastTable(new Uint8Array(9).fill(7))[7]).toBe(7);
  });

  it('equalise: the share of bytes up to a level is that level’s share of the range', () => {
    const count = 65_536;
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 255 }), (power, most) => {
        const plane = Uint8Array.from({ length: count }, (_, at) => Math.round(most * (at / count) ** power));
        const table = equalizeTable(plane);
        const counts = new Map<number, number>();
        for (const byte of plane) counts.set(byte, (counts.get(byte) ?? 0) + 1);
        // A byte's level is where its bin begins, so the last bin does not count. The level is rounded (1 ÷ 255), and so
        // is the number of bytes a level stands for.
        const spread = count - (counts.get(Math.max(...plane)) as number);
        const tolerance = 1 / 255 + 1 / (spread / 255 - 1);
        let below = 0;
        for (const [byte, occurring] of [...counts].toSorted(([a], [b]) => a - b)) {
          expect(Math.abs((table[byte] as number) / 255 - below / spread)).toBeLessThan(tolerance);
          below += occurring;
        }
      }),
      { numRuns: 30 },
    );
    expect([...equalizeTable(new Uint8Array(9).fill(7))]).toEqual(Array.from({ length: 256 }, (_, byte) => byte));
  });

  it('turn colours to their luminance at factor 0, and leave grey alone', () => {
    const image = Uint8Array.of(255, 0, 0, 90, 0, 255, 0, 90, 0, 0, 255, 90);
    saturate(image, 3, 0);
    // 0.299, 0.587 and 0.114 of 255.
    expect([...image]).toEqual([76, 150, 29, 90, 76, 150, 29, 90, 76, 150, 29, 90]);
    expect(meanGrey(image, 3)).toBe(Math.round((76 + 150 + 29 + 90) / 4));
    expect(meanGrey(Uint8Array.of(1, 2, 9, 12), 2)).toBe(6);
  });
});
