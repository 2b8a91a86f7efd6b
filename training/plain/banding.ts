import type { ConvGeometry } from '../training-graph.ts';

/**
 * A convolution of one channel as matrix products. The rows of the result are cut into equal
 * blocks; each block depends on a band of source rows, by the same matrix for every block (a
 * doubly-blocked Toeplitz matrix): flattened band `[bandRows · sourceWidth]` by
 * `[bandRows · sourceWidth, blockRows · resultWidth]`. Zero padding to the left and right is part of
 * the matrix. With one block the band is the whole source and nothing is copied.
 *
 * Matrix products waste work on the zeros of that matrix (about width ÷ kernel times), yet run some
 * 25 times faster a multiply-add than onnxruntime's grouped convolution on planes this small.
 */
export interface Banding {
  readonly blocks: number;
  readonly blockRows: number;
  readonly bandRows: number;
  /** First source row of the first band; negative rows are zero padding. */
  readonly start: number;
  /** Source rows from one band to the next. */
  readonly step: number;
  readonly sourceRows: number;
  readonly sourceWidth: number;
  readonly resultRows: number;
  readonly resultWidth: number;
}

/** Billions of multiply-adds and of gathered elements per second: a core with AVX-512, onnxruntime 1.30. */
const matMulRate = 90;
const gatherRate = 4;

/** Bands of the forward pass: the source is x, the result y. */
export function forwardBanding(g: ConvGeometry): Banding {
  const widths = { sourceWidth: g.width, resultWidth: g.outWidth, sourceRows: g.height, resultRows: g.outHeight };
  const whole = { blocks: 1, blockRows: g.outHeight, bandRows: g.height, start: 0, step: 0, ...widths };
  const parts = divisors(g.outHeight)
    .filter((blockRows) => blockRows < g.outHeight)
    .map((blockRows) => ({
      blocks: g.outHeight / blockRows,
      blockRows,
      bandRows: (blockRows - 1) * g.stride + g.spanHeight,
      start: -g.pads[0],
      step: blockRows * g.stride,
      ...widths,
    }));
  return cheapest([whole, ...parts]);
}

/**
 * Bands of the input gradient: the source is dy, the result dx. Input row h hears of output rows r
 * with h = r · stride − top + i · dilation, 0 ≤ i < kernel; over a block of a multiple of `stride` rows
 * they lie in one range of r, the same for every block but for its place.
 */
export function inputGradientBanding(g: ConvGeometry): Banding {
  const widths = { sourceWidth: g.outWidth, resultWidth: g.width, sourceRows: g.outHeight, resultRows: g.height };
  const whole = { blocks: 1, blockRows: g.height, bandRows: g.outHeight, start: 0, step: 0, ...widths };
  const parts = divisors(g.height)
    .filter((blockRows) => blockRows < g.height && blockRows % g.stride === 0)
    .map((blockRows) => {
      const start = Math.ceil((g.pads[0] - g.spanHeight + 1) / g.stride);
      const end = Math.floor((blockRows - 1 + g.pads[0]) / g.stride);
      const bandRows = end - start + 1;
      return { blocks: g.height / blockRows, blockRows, bandRows, start, step: blockRows / g.stride, ...widths };
    });
  return cheapest([whole, ...parts]);
}

/**
 * Which weight stands where in the matrix, as a constant 0/1 matrix `[kernelHeight · kernelWidth,
 * bandRows · sourceWidth · blockRows · resultWidth]`: weights `[c, k²]` times it gives the matrices
 * of all channels; gradients of those matrices times its transpose give the weights' gradient.
 * @param direction which of source and result is the convolution's input.
 */
export function selection(g: ConvGeometry, banding: Banding, direction: 'forward' | 'input-gradient'): Float32Array {
  const { bandRows, sourceWidth, blockRows, resultWidth, start } = banding;
  const size = bandRows * sourceWidth * blockRows * resultWidth;
  const matrix = new Float32Array(g.kernelHeight * g.kernelWidth * size);
  const isForward = direction === 'forward';
  const [top, left] = g.pads;
  let column = 0;
  for (let band = 0; band < bandRows; band++)
    for (let from = 0; from < sourceWidth; from++)
      for (let row = 0; row < blockRows; row++)
        for (let to = 0; to < resultWidth; to++, column++) {
          const [inRow, outRow] = isForward ? [start + band, row] : [row, start + band];
          const [inColumn, outColumn] = isForward ? [from, to] : [to, from];
          const i = (inRow + top - outRow * g.stride) / g.dilation;
          const j = (inColumn + left - outColumn * g.stride) / g.dilation;
          if (isTap(i, g.kernelHeight) && isTap(j, g.kernelWidth)) matrix[(i * g.kernelWidth + j) * size + column] = 1;
        }
  return matrix;
}

const isTap = (index: number, kernel: number): boolean => Number.isInteger(index) && index >= 0 && index < kernel;

function cheapest(candidates: readonly Banding[]): Banding {
  const cost = (b: Banding): number => {
    const band = b.blocks * b.bandRows * b.sourceWidth;
    return (band * b.blockRows * b.resultWidth) / matMulRate + (b.blocks === 1 ? 0 : band / gatherRate);
  };
  return candidates.reduce((best, other) => (cost(other) < cost(best) ? other : best));
}

function divisors(n: number): number[] {
  return Array.from({ length: n }, (_, index) => index + 1).filter((d) => n % d === 0);
}
