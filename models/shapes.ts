import type { Pads } from './graph.ts';

/**
 * SAME padding of TensorFlow and of every network here: out = ceil(in ÷ stride), the total padding
 * max(0, (out − 1)·stride + kernel − in) split with the odd pixel at the end. At stride 2 it depends
 * on the input's parity, so exported files fix height and width.
 */
export function samePadding(
  input: number,
  kernel: number,
  stride: number,
): { out: number; before: number; after: number } {
  const out = Math.ceil(input / stride);
  const total = Math.max(0, (out - 1) * stride + kernel - input);
  const before = Math.floor(total / 2);
  return { out, before, after: total - before };
}

/**
 * SAME padding of a square window over a plane, as attributes of a convolution or pooling.
 * @param dilation pixels between taps: the window spans (kernel − 1) · dilation + 1 pixels.
 */
export function samePads(
  height: number,
  width: number,
  kernel: number,
  stride: number,
  dilation = 1,
): { pads: Pads; out: [number, number] } {
  const span = (kernel - 1) * dilation + 1;
  const vertical = samePadding(height, span, stride);
  const horizontal = samePadding(width, span, stride);
  return {
    pads: [vertical.before, horizontal.before, vertical.after, horizontal.after],
    out: [vertical.out, horizontal.out],
  };
}
