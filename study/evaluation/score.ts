import { childEntry, runChild } from '../../core/child.ts';
import type { InputNormalisation } from './classifier.ts';

/** What to score: a model file on a split of a prepared data set. */
export interface ScoreRequest extends InputNormalisation {
  readonly modelFile: string;
  readonly dataFile: string;
  readonly split: 'holdout' | 'test';
}

/** Result of scoring a file as a deployment would run it. */
export interface Score {
  readonly examples: number;
  /** Share of right top-1 answers, 0–1. */
  readonly accuracy: number;
  /** Mean negative log-likelihood in nats. */
  readonly crossEntropy: number;
  /** Batch the file is fixed to; null where it is symbolic. */
  readonly fixedBatch: number | null;
}

/**
 * Loads an ONNX file in a fresh process and scores it: nothing of the trainer is left but the file.
 * Input resolution is read from the file; it may be anyone's classifier with one image input
 * `[batch, channels, side, side]` and logits `[batch, classes]` first among its outputs.
 * @throws {ConfigError} when the file does not fit the data.
 */
export async function scoreFile(request: ScoreRequest, signal?: AbortSignal): Promise<Score> {
  const { output } = await runChild<ScoreRequest, Score>({
    entry: childEntry(import.meta.url, './score-child'),
    input: request,
    signal,
  });
  return output;
}
