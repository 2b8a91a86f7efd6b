import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Accelerator } from '../../accelerators/accelerator.ts';
import { detectBlockSize } from '../../training/blocked/block-size.ts';
import {
  activationLayout,
  channelLayout,
  denseWeightLayout,
  depthwiseWeightLayout,
  imageWeightLayout,
  type Layout,
  pack,
  unpack,
} from '../../training/blocked/layout.ts';
import { blockSize } from './blocked-kernels.ts';

const extent = fc.integer({ min: 1, max: 40 });
const kernel = fc.integer({ min: 1, max: 5 });
const block = fc.constantFrom(8, 16);
const ramp = (length: number): Float32Array => Float32Array.from({ length }, (_, index) => index + 1);
const up = (n: number, b: number): number => Math.ceil(n / b);

/** Every value is found where `place` says, and nothing else is anywhere. */
function expectPlaces(layout: Layout, places: readonly (readonly [number, number])[], size: number): void {
  const values = ramp(places.length);
  const stored = pack(layout, values);
  const expected = new Float32Array(size);
  for (const [own, place] of places) expected[place] = values[own] as number;
  expect(stored).toEqual(expected);
  expect(unpack(layout, stored)).toEqual(values);
}

const range = (n: number): number[] => Array.from({ length: n }, (_, index) => index);

describe('blocked layouts put every value at its place, padding is 0, and unpacking is the inverse', () => {
  it('activations [c/B, m, B]', () =>
    fc.assert(
      fc.property(extent, extent, block, (c, m, b) => {
        const places = range(c).flatMap((i) =>
          range(m).map((p) => [i * m + p, (Math.floor(i / b) * m + p) * b + (i % b)] as const),
        );
        expectPlaces(activationLayout(c, m, b), places, up(c, b) * m * b);
      }),
      { numRuns: 30, seed: 1 },
    ));

  it('weights over blocks, OIHWBiBo', () =>
    fc.assert(
      fc.property(extent, extent, kernel, kernel, block, (o, i, kh, kw, b) => {
        const k = kh * kw;
        const places = range(o).flatMap((out) =>
          range(i).flatMap((inward) =>
            range(k).map((tap) => {
              const tile = (Math.floor(out / b) * up(i, b) + Math.floor(inward / b)) * k + tap;
              return [(out * i + inward) * k + tap, (tile * b + (inward % b)) * b + (out % b)] as const;
            }),
          ),
        );
        expectPlaces(denseWeightLayout([o, i, kh, kw], b), places, up(o, b) * up(i, b) * k * b * b);
      }),
      { numRuns: 30, seed: 1 },
    ));

  it('depthwise weights, OHWBo', () =>
    fc.assert(
      fc.property(extent, kernel, kernel, block, (c, kh, kw, b) => {
        const k = kh * kw;
        const places = range(c).flatMap((i) =>
          range(k).map((tap) => [i * k + tap, (Math.floor(i / b) * k + tap) * b + (i % b)] as const),
        );
        expectPlaces(depthwiseWeightLayout([c, 1, kh, kw], b), places, up(c, b) * k * b);
      }),
      { numRuns: 30, seed: 1 },
    ));

  it('weights over an image, OIHWBo', () =>
    fc.assert(
      fc.property(extent, fc.integer({ min: 1, max: 7 }), kernel, kernel, block, (o, i, kh, kw, b) => {
        const k = kh * kw;
        const places = range(o).flatMap((out) =>
          range(i).flatMap((inward) =>
            range(k).map((tap) => {
              const row = (Math.floor(out / b) * i + inward) * k + tap;
              return [(out * i + inward) * k + tap, row * b + (out % b)] as const;
            }),
          ),
        );
        expectPlaces(imageWeightLayout([o, i, kh, kw], b), places, up(o, b) * i * k * b);
      }),
      { numRuns: 30, seed: 1 },
    ));

  it('one value a channel', () => {
    expectPlaces(
      channelLayout(10, 8),
      range(10).map((index) => [index, index] as const),
      16,
    );
  });
});

/** An accelerator whose reordering is the given one. */
const reordering = (reorder: (values: Float32Array) => Float32Array): Accelerator => ({
  id: 'cpu',
  open: async () => ({
    inputs: [],
    outputs: ['blocked'],
    run: async ({ ramp: values }) => ({
      blocked: { dtype: 'float32', dims: [1, 64, 1, 2], data: reorder(values?.data as Float32Array) },
    }),
    close: async () => undefined,
  }),
});

describe('the block size', () => {
  it.skipIf(blockSize === undefined)('of this machine is a vector of 8 or 16 floats', () =>
    expect([8, 16]).toContain(blockSize),
  );
  it.each([4, 8, 16, 32])('is read from the order of a ramp: %d', async (size) => {
    const accelerator = reordering((values) => pack(activationLayout(64, 2, size), values));
    await expect(detectBlockSize(accelerator)).resolves.toBe(size);
  });
  it('of an order that is not blocked is an error', async () => {
    const backwards = reordering((values) => values.toReversed());
    await expect(detectBlockSize(backwards)).rejects.toThrow('expected channels in blocks');
    const channelMajor = reordering((values) => values);
    await expect(detectBlockSize(channelMajor)).rejects.toThrow('expected channels in blocks');
  });
});
