import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import {
  applyOperation,
  drawOperations,
  type RandAugmentOperation,
  randAugmentOperations,
  randAugmentSchema,
} from '../../data/rand-augment.ts';

const side = 16;
const random = new Random('image');
/** Dim, so that every operation has something to change. */
const image = Uint8Array.from({ length: 3 * side * side }, () => 40 + random.integer(150));
const canvas = { channels: 3, side, fill: [9, 8, 7], scratch: new Uint8Array(image.length) };
function applied(name: RandAugmentOperation, strength: number): Uint8Array {
  const out = image.slice();
  applyOperation(out, { name, strength }, canvas);
  return out;
}
const change = (out: Uint8Array) =>
  out.reduce((sum, byte, at) => sum + Math.abs(byte - (image[at] as number)), 0) / out.length;

describe('RandAugment', () => {
  it('has the published list, and invert when asked', () => {
    const { operations, count, magnitude } = randAugmentSchema.parse({});
    expect([operations.length, count, magnitude]).toEqual([14, 2, 5]);
    expect([...operations, 'invert'].toSorted()).toEqual(randAugmentOperations.toSorted());
    expect(randAugmentSchema.parse({ operations: ['invert'] }).operations).toEqual(['invert']);
    for (const wrong of [{ operations: [] }, { operations: ['Rotate'] }, { magnitude: 11 }, { count: 0 }, { n: 2 }])
      expect(randAugmentSchema.safeParse(wrong).success).toBe(false);
  });

  it('draws every operation equally often, with a fair sign and the magnitude as strength', () => {
    const drawn = drawOperations(
      { count: 28_000, magnitude: 7, operations: [...randAugmentOperations] },
      new Random(3),
    );
    const expected = drawn.length / randAugmentOperations.length;
    const chiSquare = randAugmentOperations.reduce((sum, name) => {
      const found = drawn.filter((operation) => operation.name === name).length;
      return sum + (found - expected) ** 2 / expected;
    }, 0);
    // 14 degrees of freedom: mean 14, standard deviation √28; 5 sigma.
    expect(chiSquare).toBeLessThan(14 + 5 * Math.sqrt(28));
    expect(new Set(drawn.map(({ strength }) => strength))).toEqual(new Set([0.7, -0.7]));
    const positive = drawn.filter(({ strength }) => strength > 0).length;
    expect(Math.abs(positive - 14_000)).toBeLessThan(5 * Math.sqrt(7000));
  });

  const withoutMagnitude: readonly RandAugmentOperation[] = ['auto-contrast', 'equalize', 'invert'];
  const graded = randAugmentOperations.filter((name) => name !== 'identity' && !withoutMagnitude.includes(name));

  it.each(graded)('%s changes nothing at magnitude 0 and more at 10 than at 3, either way', (name) => {
    expect(applied(name, 0)).toEqual(image);
    for (const sign of [-1, 1]) {
      const [mild, strong] = [change(applied(name, 0.3 * sign)), change(applied(name, sign))];
      expect(mild).toBeGreaterThan(0);
      expect(strong).toBeGreaterThan(mild);
    }
  });

  it('changes images whatever the magnitude by those that have none, and not at all by identity', () => {
    for (const name of withoutMagnitude) {
      expect(applied(name, 0)).toEqual(applied(name, 1));
      expect(change(applied(name, 0))).toBeGreaterThan(1);
    }
    expect(applied('identity', 1)).toEqual(image);
  });

  it('reaches AutoAugment’s largest at magnitude 10', () => {
    expect(applied('solarize', 1)).toEqual(applied('invert', 1));
    expect(applied('posterize', 1).every((byte) => byte % 16 === 0)).toBe(true);
    // 0.45 × 16 pixels are 7.
    expect(applied('translate-x', 1).subarray(0, 9)).toEqual(image.subarray(7, 16));
    expect([...applied('translate-y', -1).subarray(0, 7 * side)]).toEqual(Array(7 * side).fill(9));
    expect(applied('brightness', -1)[0]).toBe(Math.trunc((image[0] as number) * 0.1));
    // A constant image whose surroundings are its own colour stays, however it is turned or sheared.
    for (const name of ['rotate', 'shear-x', 'shear-y'] as const) {
      const plain = new Uint8Array(image.length).fill(8);
      applyOperation(plain, { name, strength: 1 }, { ...canvas, fill: [8, 8, 8] });
      expect(plain.every((byte) => byte === 8)).toBe(true);
    }
  });

  it('works on grey images', () => {
    for (const name of randAugmentOperations) {
      const grey = image.slice(0, side * side);
      applyOperation(
        grey,
        { name, strength: 1 },
        { channels: 1, side, fill: [9], scratch: new Uint8Array(side * side) },
      );
      if (name === 'color' || name === 'identity') expect(grey).toEqual(image.slice(0, side * side));
      else expect(grey).not.toEqual(image.slice(0, side * side));
    }
  });
});
