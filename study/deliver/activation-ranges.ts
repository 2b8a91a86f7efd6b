import { childEntry, runChild } from '../../core/child.ts';
import type { RangeMethod } from '../../models/activation-range.ts';
import type { ValueRange } from '../../models/affine-quantization.ts';
import type { InputNormalisation } from '../evaluation/classifier.ts';

/** Whose activations to watch, and on what. */
export interface ActivationRangesRequest extends InputNormalisation {
  readonly modelFile: string;
  readonly dataFile: string;
  /** Of the training split, drawn with seed 0, as a deployment would be fed them: not augmented. */
  readonly examples: number;
  readonly method: RangeMethod;
}

/** Ranges by activation. */
export interface ActivationRanges {
  readonly ranges: ReadonlyMap<string, ValueRange>;
  /** Different training examples that they were found on: whole batches, and no more than there are. */
  readonly examples: number;
}

/** How far a calibration is. */
export interface ActivationRangesProgress {
  readonly seen: number;
  readonly of: number;
}

/**
 * Ranges of the activations that eight bits are to stand for, from running a file in float32 on training examples, in a
 * process of its own.
 * @throws {InvalidFileError} when the file cannot be quantised. @throws {ConfigError} when it does not fit the data.
 */
export async function activationRanges(
  request: ActivationRangesRequest,
  {
    signal,
    onProgress,
  }: { readonly signal?: AbortSignal; readonly onProgress?: (progress: ActivationRangesProgress) => void } = {},
): Promise<ActivationRanges> {
  const { output } = await runChild<ActivationRangesRequest, ActivationRanges, ActivationRangesProgress>({
    entry: childEntry(import.meta.url, './activation-ranges-child'),
    input: request,
    ...(signal && { signal }),
    ...(onProgress && { onEvent: onProgress }),
  });
  return output;
}
