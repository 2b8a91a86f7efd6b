import { describe, expect, it } from 'vitest';
import { forwardBanding, inputGradientBanding, selection } from '../../training/plain/banding.ts';
import { convGeometry } from '../../training/training-graph.ts';

const plane = (side: number, kernel: number, stride: number, pads: readonly [number, number, number, number]) => {
  const out = Math.floor((side + pads[0] + pads[2] - kernel) / stride) + 1;
  return convGeometry([1, 1, side, side], [1, 1, kernel, kernel], [1, 1, out, out], {
    stride,
    pads,
    groups: 1,
    dilation: 1,
  });
};

describe('banding', () => {
  it('takes a small plane whole and cuts a large one into bands of rows', () => {
    expect(forwardBanding(plane(6, 3, 1, [1, 1, 1, 1])).blocks).toBe(1);
    expect(forwardBanding(plane(32, 3, 1, [1, 1, 1, 1])).blocks).toBeGreaterThan(1);
    expect(inputGradientBanding(plane(32, 5, 2, [1, 1, 2, 2])).blocks).toBeGreaterThan(1);
  });

  it('selects each weight once for every pair of pixels it joins', () => {
    const g = plane(32, 3, 2, [0, 0, 1, 1]);
    const banding = forwardBanding(g);
    const joined = selection(g, banding, 'forward').reduce((sum, value) => sum + value, 0);
    // 3 × 3 taps for each output of a block, but the rightmost column of outputs has 2 columns of taps.
    expect(joined).toBe(banding.blockRows * (16 * 9 - 3));
  });
});
