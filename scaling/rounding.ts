import { roundChannels } from '../models/rounding.ts';

/**
 * Channels under a width multiplier, as {@link roundChannels} rounds them (EfficientNet release, `round_filters`).
 * We differ: a multiplier of exactly 1 leaves channels alone even where they are no multiple.
 */
export function roundFilters(channels: number, width: number, divisor = 8): number {
  return width === 1 ? channels : roundChannels(channels * width, divisor);
}

/** Repeats under a depth multiplier: ⌈d·r⌉ in double arithmetic (EfficientNet release, `round_repeats`). */
export function roundRepeats(repeats: number, depth: number): number {
  return Math.ceil(depth * repeats);
}

/** Bounds of {@link roundResolution}, in pixels. */
export interface ResolutionBounds {
  /** Usually the data's native side: resizing above it adds work and no information. */
  readonly max?: number;
  /** The result is a multiple of this; default 1, as in EfficientNet-X's tables. */
  readonly multiple?: number;
}

/**
 * Input side in pixels under a resolution multiplier: to the nearest `multiple`, and at most the largest
 * multiple within `max` (ours; EfficientNet's own resolutions are hand-picked). At least one multiple.
 */
export function roundResolution(
  resolution: number,
  factor: number,
  { max, multiple = 1 }: ResolutionBounds = {},
): number {
  const rounded = Math.round((resolution * factor) / multiple) * multiple;
  const highest = max === undefined ? rounded : Math.floor(max / multiple) * multiple;
  return Math.max(multiple, Math.min(rounded, highest));
}
