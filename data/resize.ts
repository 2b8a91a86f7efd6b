import type { Split } from './dataset.ts';

/** Name of the filter every image is resized with; it ships with a model, for deployments to repeat. */
export const resizeFilter =
  'bilinear with antialiasing (triangle filter widened by the reduction, as Pillow’s BILINEAR)';

/** Fraction bits of the weights: 2²² × 255 still fits a signed 32-bit sum. Pillow rounds to the same. */
const fractionBits = 22;
const half = 1 << (fractionBits - 1);

/** Weights of one axis: output `i` is the sum over `taps` of input `first[i] + tap` by `weights[i × taps + tap]`. */
interface AxisFilter {
  readonly taps: number;
  readonly first: Int32Array;
  /** Fixed point; unused taps are zero. */
  readonly weights: Int32Array;
}

/** Triangle filter whose support is the reduction factor when shrinking, 1 when enlarging; centres aligned. */
function triangleFilter(from: number, to: number): AxisFilter {
  const scale = from / to;
  const support = Math.max(1, scale);
  const taps = Math.min(from, Math.ceil(support) * 2 + 1);
  const first = new Int32Array(to);
  const weights = new Int32Array(to * taps);
  for (let output = 0; output < to; output++) {
    const centre = (output + 0.5) * scale;
    const start = Math.max(0, Math.floor(centre - support + 0.5));
    const end = Math.min(from, Math.floor(centre + support + 0.5));
    const shares = Array.from({ length: end - start }, (_, tap) =>
      Math.max(0, 1 - Math.abs((start + tap + 0.5 - centre) / support)),
    );
    const total = shares.reduce((sum, share) => sum + share, 0);
    // Every output reads `taps` inputs: near the far edge start earlier and lead with zeros.
    const shifted = Math.min(start, from - taps);
    first[output] = shifted;
    shares.forEach((share, tap) => {
      weights[output * taps + (start - shifted) + tap] = Math.floor(0.5 + (share / total) * 2 ** fractionBits);
    });
  }
  return { taps, first, weights };
}

/** Where an array's values lie: of line 0 from `offset`, neighbours along the axis `step` apart, lines `line` apart. */
interface Layout {
  readonly offset: number;
  readonly step: number;
  readonly line: number;
}

function filterAxis(
  input: Uint8Array,
  from: Layout,
  output: Uint8ClampedArray,
  to: Layout,
  lines: number,
  { taps, first, weights }: AxisFilter,
): void {
  const { step, line: inputLine } = from;
  const { line: outputLine } = to;
  for (let place = 0; place < first.length; place++) {
    const start = from.offset + (first[place] as number) * step;
    const target = to.offset + place * to.step;
    const weight = place * taps;
    for (let line = 0; line < lines; line++) {
      let sum = half;
      for (let tap = 0, at = start + line * inputLine; tap < taps; tap++, at += step)
        sum += Math.imul(input[at] as number, weights[weight + tap] as number);
      output[target + line * outputLine] = sum >> fractionBits;
    }
  }
}

/** Extents of one channel of one image. */
export interface PlaneSize {
  readonly height: number;
  readonly width: number;
}

/**
 * Planes of bytes at another size, by {@link resizeFilter}: rows, then columns, each rounded to bytes.
 * Equal to Pillow's `Image.resize(size, BILINEAR)` in every bit.
 * @param pixels bytes `[planes, from.height, from.width]`.
 * @returns bytes `[planes, to.height, to.width]`; the input itself when nothing changes.
 */
export function resizePlanes(pixels: Uint8Array, from: PlaneSize, to: PlaneSize): Uint8Array {
  if (from.height === to.height && from.width === to.width) return pixels;
  const planes = pixels.length / (from.height * from.width);
  if (!Number.isInteger(planes) || Math.min(to.height, to.width) < 1)
    throw new RangeError(
      `expected whole planes of ${from.height}×${from.width} and a positive size, ` +
        `got ${pixels.length} bytes to ${to.height}×${to.width}`,
    );
  const across = triangleFilter(from.width, to.width);
  const down = triangleFilter(from.height, to.height);
  const narrowed = new Uint8ClampedArray(from.height * to.width);
  const narrowedBytes = new Uint8Array(narrowed.buffer);
  const resized = new Uint8ClampedArray(planes * to.height * to.width);
  const rows = { offset: 0, step: 1, line: to.width };
  const columns = { offset: 0, step: to.width, line: 1 };
  for (let plane = 0; plane < planes; plane++) {
    const source = { offset: plane * from.height * from.width, step: 1, line: from.width };
    filterAxis(pixels, source, narrowed, rows, from.height, across);
    const target = { ...columns, offset: plane * to.height * to.width };
    filterAxis(narrowedBytes, columns, resized, target, to.width, down);
  }
  return new Uint8Array(resized.buffer);
}

/** A split with every image resized to a square, bytes `[count, channels, side, side]`. */
export function resizeSplit(split: Split, from: PlaneSize, side: number): Split {
  return { ...split, pixels: resizePlanes(split.pixels, from, { height: side, width: side }) };
}
