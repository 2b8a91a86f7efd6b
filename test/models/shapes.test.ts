import { assert, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { samePadding } from '../../models/shapes.ts';

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
});
