import type { Random } from '../core/random.ts';

/** α of mixup's and of CutMix's Beta(α, α); 0 for none. */
export interface MixOptions {
  readonly mixup: number;
  readonly cutmix: number;
}

/** A batch of images and what they show, example by example. */
export interface MixableBatch {
  /** Floats `[count, channels, side, side]`, normalised. */
  readonly images: Float32Array;
  /** Distributions `[count, classes]`. */
  readonly targets: Float32Array;
  readonly count: number;
  readonly side: number;
}

/**
 * Mixes the examples of a batch in pairs, where they lie: the first with the last, the second with the last but one, and
 * so on; with an odd number the middle one stays. Batches are shuffled, so these are random pairs.
 *
 * mixup (Zhang et al. 2018, eq. 1): each becomes λ of itself and 1 − λ of its partner, λ ~ Beta(α, α). CutMix
 * (Yun et al. 2019, eq. 1–2): partners exchange a box of 1 − λ of the area around a random pixel; targets count the
 * box as it lies within the image. Where both are asked for, every batch takes one of them by a fair coin, as timm does.
 *
 * A pair shares its draw, so all that was in a batch stays in it with total weight 1. The papers' code draws
 * λ once a batch; once a pair lowers the variance between steps, which tells in runs of a few hundred.
 */
export function mixBatch(batch: MixableBatch, { mixup, cutmix }: MixOptions, random: Random): void {
  if (mixup === 0 && cutmix === 0) return;
  const isCut = cutmix > 0 && (mixup === 0 || random.uniform() < 0.5);
  const alpha = isCut ? cutmix : mixup;
  const imageOf = rowsOf(batch.images, batch.count);
  const targetOf = rowsOf(batch.targets, batch.count);
  for (let first = 0, last = batch.count - 1; first < last; first++, last--) {
    const drawn = random.beta(alpha, alpha);
    let kept = drawn;
    if (isCut) {
      const box = drawBox(1 - drawn, batch.side, random);
      kept = 1 - ((box.right - box.left) * (box.bottom - box.top)) / batch.side ** 2;
      exchange(imageOf(first), imageOf(last), box, batch.side);
    } else blend(imageOf(first), imageOf(last), kept);
    blend(targetOf(first), targetOf(last), kept);
  }
}

function rowsOf(values: Float32Array, count: number): (row: number) => Float32Array {
  const length = values.length / count;
  return (row) => values.subarray(row * length, (row + 1) * length);
}

/** a ← share·a + (1 − share)·b and the other way round. */
function blend(a: Float32Array, b: Float32Array, share: number): void {
  const rest = 1 - share;
  for (let at = 0; at < a.length; at++) {
    const one = a[at] as number;
    const other = b[at] as number;
    a[at] = share * one + rest * other;
    b[at] = share * other + rest * one;
  }
}

/** Pixels from `left` and `top` up to but without `right` and `bottom`. */
interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** A square of `area` (a share) around a random pixel, cut off at the image's edge. */
function drawBox(area: number, side: number, random: Random): Box {
  const extent = Math.round(side * Math.sqrt(area));
  const [left, top] = [random.integer(side) - (extent >> 1), random.integer(side) - (extent >> 1)];
  const within = (place: number) => Math.max(0, Math.min(side, place));
  return { left: within(left), top: within(top), right: within(left + extent), bottom: within(top + extent) };
}

function exchange(a: Float32Array, b: Float32Array, { left, top, right, bottom }: Box, side: number): void {
  for (let plane = 0; plane < a.length; plane += side * side)
    for (let row = top; row < bottom; row++) {
      const line = plane + row * side;
      for (let at = line + left; at < line + right; at++) {
        const aside = a[at] as number;
        a[at] = b[at] as number;
        b[at] = aside;
      }
    }
}
