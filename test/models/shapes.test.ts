import { assert, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { samePadding, samePads } from '../../models/shapes.ts';

describe('SAME padding', () => {
  it('depends on the parity of the input at stride 2: (0,1) for even, (1,1) for odd', () => {
    expect(samePadding(32, 3, 2)).toEqual({ out: 16, before: 0, after: 1 });
    expect(samePadding(33, 3, 2)).toEqual({ out: 17, before: 1, after: 1 });
  });

  it('covers ceil(in ÷ stride) outputs for any geometry, kernels larger than the input included', () => {
    const size = integer({ min: 1, max: 40 });
    assert(
      property(size, integer({ min: 1, max: 9 }), integer({ min: 1, max: 4 }), (input, kernel, stride) => {
        const { out, before, after } = samePadding(input, kernel, stride);
        expect(out).toBe(Math.ceil(input / stride));
        expect(after - before === 0 || after - before === 1).toBe(true);
        // The convolution's own formula gives the same extent, wherever padding is not cut at zero.
        if (kernel >= stride) expect(Math.floor((input + before + after - kernel) / stride) + 1).toBe(out);
      }),
    );
  });

  it('is that of the pixels a dilated window spans', () => {
    expect(samePads(9, 10, 3, 1, 2)).toEqual(samePads(9, 10, 5, 1));
    expect(samePads(9, 10, 3, 1, 2)).toEqual({ pads: [2, 2, 2, 2], out: [9, 10] });
    expect(samePads(9, 10, 2, 2)).toEqual({ pads: [0, 0, 1, 0], out: [5, 5] });
  });
});
