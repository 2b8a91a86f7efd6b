import type { Random } from '../core/random.ts';

/** Where one example's image is put: mirrored, then shifted, then blanked. In whole pixels. */
export interface Placement {
  readonly mirrored: boolean;
  readonly right: number;
  readonly down: number;
  /** Top-left corner and side of the square that is blanked; side 0 for none. */
  readonly blank: { readonly row: number; readonly column: number; readonly side: number };
}

/** The image as it is. */
export const asStored: Placement = { mirrored: false, right: 0, down: 0, blank: { row: 0, column: 0, side: 0 } };

/** What may happen to a placement: the keys of the same names of the augmentation. */
export interface PlacementRange {
  readonly flip: boolean;
  readonly shift: number;
  readonly cutout: number;
}

/** Draws what happens to one image of `side` pixels. */
export function drawPlacement({ flip, shift, cutout }: PlacementRange, side: number, random: Random): Placement {
  const reach = Math.round(shift * side);
  const blankSide = Math.round(cutout * side);
  const within = () => random.integer(2 * reach + 1) - reach;
  return {
    mirrored: flip && random.uniform() < 0.5,
    right: reach > 0 ? within() : 0,
    down: reach > 0 ? within() : 0,
    // The square's centre is anywhere in the image, so it may hang over the edge.
    blank:
      blankSide > 0
        ? {
            row: random.integer(side) - (blankSide >> 1),
            column: random.integer(side) - (blankSide >> 1),
            side: blankSide,
          }
        : { row: 0, column: 0, side: 0 },
  };
}

/**
 * Writes one image, normalised and placed.
 * @param source bytes `[channels, side, side]`.
 * @param tables normalised value of every byte, one table a channel; the mean is 0 after normalisation.
 * @param out floats `[channels, side, side]`.
 */
export function placeImage(
  source: Uint8Array,
  side: number,
  tables: readonly Float32Array[],
  placement: Placement,
  out: Float32Array,
): void {
  const { mirrored, right, down, blank } = placement;
  const from = Math.max(0, right);
  const to = Math.min(side, side + right);
  for (const [channel, table] of tables.entries()) {
    const plane = channel * side * side;
    for (let row = 0; row < side; row++) {
      const at = plane + row * side;
      const sourceRow = row - down;
      if (sourceRow < 0 || sourceRow >= side) {
        out.fill(0, at, at + side);
        continue;
      }
      if (right > 0) out.fill(0, at, at + from);
      if (right < 0) out.fill(0, at + to, at + side);
      const start = plane + sourceRow * side;
      if (mirrored) lookUp(table, source, start + side - 1 - (from - right), -1, out, at + from, to - from);
      else lookUp(table, source, start + from - right, 1, out, at + from, to - from);
    }
    for (let row = Math.max(0, blank.row); row < Math.min(side, blank.row + blank.side); row++)
      out.fill(
        0,
        plane + row * side + Math.max(0, blank.column),
        plane + row * side + Math.min(side, blank.column + blank.side),
      );
  }
}

/** `count` bytes from `read` on, forwards or backwards, as floats from `write` on. Four a turn take two thirds of the time. */
function lookUp(
  table: Float32Array,
  source: Uint8Array,
  read: number,
  step: 1 | -1,
  out: Float32Array,
  write: number,
  count: number,
): void {
  const end = write + count;
  let from = read;
  let to = write;
  for (; to + 3 < end; to += 4, from += 4 * step) {
    out[to] = table[source[from] as number] as number;
    out[to + 1] = table[source[from + step] as number] as number;
    out[to + 2] = table[source[from + 2 * step] as number] as number;
    out[to + 3] = table[source[from + 3 * step] as number] as number;
  }
  for (; to < end; to++, from += step) out[to] = table[source[from] as number] as number;
}
