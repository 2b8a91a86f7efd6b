/** What a labelled image set is of, as a network has to fit it. */
export interface DatasetOutline {
  readonly name: string;
  readonly channels: number;
  /** Native height and width in pixels; scaling never asks for more. */
  readonly height: number;
  readonly width: number;
  readonly classNames: readonly string[];
}

/**
 * A labelled image set, decoded once, at its native resolution.
 * Pixels stay bytes until a batch is made; normalisation is part of what ships with a model.
 */
export interface Dataset extends DatasetOutline {
  /** Per channel, of pixels scaled to [0, 1], over the training split: x = (pixel ÷ 255 − mean) ÷ std. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** `train` fits weights, `holdout` (taken from the training data) decides, `test` is read once at delivery. */
  readonly splits: Readonly<Record<SplitName, Split>>;
}

export type SplitName = 'train' | 'holdout' | 'test';

/** Examples of one split. */
export interface Split {
  readonly count: number;
  /** Bytes `[count, channels, height, width]`. */
  readonly pixels: Uint8Array;
  /** Class of each example, 0 … classes − 1. */
  readonly labels: Uint16Array;
}
