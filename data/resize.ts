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
  const outputs = Array.from({ length: to }, (_, output) => {
    const centre = (output + 0.5) * scale;
    const shareOf = (input: number) => Math.max(0, 1 - Math.abs((input + 0.5 - centre) / support));
    let start = Math.max(0, Math.floor(centre - support + 0.5));
    let end = Math.min(from, Math.floor(centre + support + 0.5));
    while (shareOf(start) === 0) start++;
    while (shareOf(end - 1) === 0) end--;
    return { start, shares: Array.from({ length: end - start }, (_, tap) => shareOf(start + tap)) };
  });
  const taps = Math.max(...outputs.map(({ shares }) => shares.length));
  const first = new Int32Array(to);
  const weights = new Int32Array(to * taps);
  for (const [output, { start, shares }] of outputs.entries()) {
    const total = shares.reduce((sum, share) => sum + share, 0);
    // Every output reads `taps` inputs: near the far edge start earlier and lead with zeros.
    const shifted = Math.min(start, from - taps);
    first[output] = shifted;
    for (const [tap, share] of shares.entries())
      weights[output * taps + (start - shifted) + tap] = Math.floor(0.5 + (share / total) * 2 ** fractionBits);
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
    if (taps === 2) {
      // Enlarging, as most crops do: without the loop over taps it takes half the time.
      const near = weights[weight] as number;
      const far = weights[weight + 1] as number;
      for (let line = 0, at = start; line < lines; line++, at += inputLine) {
        const sum = half + Math.imul(input[at] as number, near) + Math.imul(input[at + step] as number, far);
        output[target + line * outputLine] = sum >> fractionBits;
      }
      continue;
    }
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

/** Part of a plane: its extents and its top-left corner, in pixels. */
export interface PlaneWindow extends PlaneSize {
  readonly top: number;
  readonly left: number;
}

/** Brings parts of planes of one size to another size, by {@link resizeFilter}: rows, then columns, each rounded to bytes. */
export class WindowResizer {
  readonly #from: PlaneSize;
  readonly #to: PlaneSize;
  /** By the extent they reduce; a window has at most as many as the plane has pixels a side. */
  readonly #across = new Map<number, AxisFilter>();
  readonly #down = new Map<number, AxisFilter>();
  readonly #narrowed: Uint8ClampedArray;
  readonly #narrowedBytes: Uint8Array;

  constructor(from: PlaneSize, to: PlaneSize) {
    this.#from = from;
    this.#to = to;
    this.#narrowed = new Uint8ClampedArray(from.height * to.width);
    this.#narrowedBytes = new Uint8Array(this.#narrowed.buffer);
  }

  /**
   * @param pixels bytes `[planes, from.height, from.width]`.
   * @param window lies within a plane.
   * @param out bytes `[planes, to.height, to.width]`, written.
   */
  resize(pixels: Uint8Array, { top, left, height, width }: PlaneWindow, out: Uint8ClampedArray): void {
    const [from, to] = [this.#from, this.#to];
    const across = filterOf(this.#across, width, to.width);
    const down = filterOf(this.#down, height, to.height);
    const rows = { offset: 0, step: 1, line: to.width };
    const columns = { offset: 0, step: to.width, line: 1 };
    const planes = out.length / (to.height * to.width);
    for (let plane = 0; plane < planes; plane++) {
      const corner = (plane * from.height + top) * from.width + left;
      filterAxis(pixels, { offset: corner, step: 1, line: from.width }, this.#narrowed, rows, height, across);
      const target = { ...columns, offset: plane * to.height * to.width };
      filterAxis(this.#narrowedBytes, columns, out, target, to.width, down);
    }
  }
}

function filterOf(filters: Map<number, AxisFilter>, from: number, to: number): AxisFilter {
  const known = filters.get(from);
  if (known) return known;
  const made = triangleFilter(from, to);
  filters.set(from, made);
  return made;
}

/**
 * Whole planes of bytes at another size. Equal to Pillow's `Image.resize(size, BILINEAR)` in every bit.
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
  const resized = new Uint8ClampedArray(planes * to.height * to.width);
  new WindowResizer(from, to).resize(pixels, { ...from, top: 0, left: 0 }, resized);
  return new Uint8Array(resized.buffer);
}

/** A split with every image resized to a square, bytes `[count, channels, side, side]`. */
export function resizeSplit(split: Split, from: PlaneSize, side: number): Split {
  return { ...split, pixels: resizePlanes(split.pixels, from, { height: side, width: side }) };
}
