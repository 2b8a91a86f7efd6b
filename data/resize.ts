import type { Split } from './dataset.ts';

/** Name of the filter every image is resized with; it ships with a model, for deployments to repeat. */
export const resizeFilter =
  'bilinear with antialiasing (triangle filter widened by the reduction, as Pillow’s BILINEAR)';

/** Contributions to one output pixel: weights of the inputs from `first` on, summing to 1. */
interface Tap {
  readonly first: number;
  readonly weights: Float32Array;
}

/** Triangle filter whose support is the reduction factor when shrinking, 1 when enlarging; centres aligned. */
function triangleTaps(from: number, to: number): Tap[] {
  const scale = from / to;
  const support = Math.max(1, scale);
  return Array.from({ length: to }, (_, out) => {
    const centre = (out + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - support + 0.5));
    const last = Math.min(from, Math.ceil(centre + support - 0.5) + 1);
    const raw = Array.from({ length: last - first }, (_, k) =>
      Math.max(0, 1 - Math.abs(first + k + 0.5 - centre) / support),
    );
    const sum = raw.reduce((total, weight) => total + weight, 0);
    return { first, weights: Float32Array.from(raw, (weight) => weight / sum) };
  });
}

/**
 * A split with every image resized to a square, bytes `[count, channels, side, side]`. Separable: rows,
 * then columns, in float, rounded once. The split itself when nothing changes.
 */
export function resizeSplit(
  split: Split,
  from: { readonly channels: number; readonly height: number; readonly width: number },
  side: number,
): Split {
  const { channels, height, width } = from;
  if (height === side && width === side) return split;
  const across = triangleTaps(width, side);
  const down = triangleTaps(height, side);
  const pixels = new Uint8Array(split.count * channels * side * side);
  const narrowed = new Float32Array(height * side);
  for (let plane = 0; plane < split.count * channels; plane++) {
    const source = split.pixels.subarray(plane * height * width, (plane + 1) * height * width);
    for (let row = 0; row < height; row++)
      for (let column = 0; column < side; column++) {
        const { first, weights } = across[column] as Tap;
        let sum = 0;
        for (let k = 0, at = row * width + first; k < weights.length; k++, at++)
          sum += (weights[k] as number) * (source[at] as number);
        narrowed[row * side + column] = sum;
      }
    const out = plane * side * side;
    for (let row = 0; row < side; row++) {
      const { first, weights } = down[row] as Tap;
      for (let column = 0; column < side; column++) {
        let sum = 0;
        for (let k = 0, at = first * side + column; k < weights.length; k++, at += side)
          sum += (weights[k] as number) * (narrowed[at] as number);
        pixels[out + row * side + column] = Math.round(sum);
      }
    }
  }
  return { count: split.count, labels: split.labels, pixels };
}
