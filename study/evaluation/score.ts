import { childEntry, runChild } from '../../core/child.ts';
import type { InputNormalisation } from './classifier.ts';

/** A split that files are scored on. */
export type ScoredSplit = 'holdout' | 'test';

/** What to score: a model file on splits of a prepared data set. */
export interface ScoreRequest<Scored extends ScoredSplit = ScoredSplit> extends InputNormalisation {
  readonly modelFile: string;
  readonly dataFile: string;
  readonly splits: readonly Scored[];
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
export async function scoreFile<Scored extends ScoredSplit>(
  request: ScoreRequest<Scored>,
  signal?: AbortSignal,
): Promise<Record<Scored, Score>> {
  const { output } = await runChild<ScoreRequest, Record<Scored, Score>>({
    entry: childEntry(import.meta.url, './score-child'),
    input: request,
    signal,
  });
  return output;
}
