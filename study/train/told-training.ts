import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { ConfigError } from '../../core/errors.ts';
import { withHostLock } from '../../latency/host-lock.ts';
import { type StoredTrainingResult, trainInChild, type TrainingProgress } from '../../training/isolate.ts';
import type { StudyProgress } from '../context.ts';

/** What people call the examples of a training, and what of them they count a second. */
export interface ExampleWords {
  readonly examples: string;
  readonly speed: string;
  /** How many of what is counted an example has. */
  readonly perExample: number;
}

export const pictureWords: ExampleWords = { examples: 'examples', speed: 'images/s', perExample: 1 };

/** @param context tokens of a sequence. */
export function sequenceWords(context: number): ExampleWords {
  return { examples: 'sequences', speed: 'tokens/s', perExample: context };
}

/** Where a training outside any study stands. @param total examples of the whole. */
export function trainingProgress(
  { examples, loss, imagesPerS, remainingS }: Pick<TrainingProgress, 'examples' | 'loss' | 'imagesPerS' | 'remainingS'>,
  total: number,
  words: ExampleWords,
): StudyProgress {
  const speed = `${Math.round(imagesPerS * words.perExample)} ${words.speed}`;
  return {
    phase: 'train',
    text: `${examples}/${total} ${words.examples}, loss ${loss.toFixed(3)}, ${speed}`,
    etaMs: 1000 * remainingS,
  };
}

/** A training by itself: what is trained, and who hears of it. */
type ToldTraining = Omit<Parameters<typeof trainInChild>[0], 'onProgress'> &
  Required<Pick<Parameters<typeof trainInChild>[0], 'checkpoint'>> & {
    readonly words: ExampleWords;
    readonly onPoint: (point: TrainingProgress) => void;
    readonly onProgress?: ((progress: StudyProgress) => void) | undefined;
  };

/**
 * Trains in a process of its own, sharing the host with other trainings, and tells how far it is.
 * @param training `threads` at most those of the host.
 * @throws {ConfigError} when it diverged; its checkpoint is gone then. Else as {@link trainInChild}.
 */
export async function trainTold(
  training: ToldTraining,
): Promise<Exclude<StoredTrainingResult, { readonly status: 'diverged' }>> {
  const { words, onPoint, onProgress, ...assignment } = training;
  const { recipe, fidelity, checkpoint, threads, signal } = assignment;
  const hear = (point: TrainingProgress): void => {
    onPoint(point);
    onProgress?.(trainingProgress(point, fidelity.examples, words));
  };
  const train = () =>
    trainInChild({ ...assignment, threads: Math.min(threads, availableParallelism()), onProgress: hear });
  const result = await withHostLock('shared', train, { signal });
  if (result.status !== 'diverged') return result;
  rmSync(checkpoint.file, { force: true });
  throw new ConfigError(
    `training diverged after ${result.atExamples} ${words.examples}; expected a lower learning rate than ${recipe.learningRate}`,
  );
}
