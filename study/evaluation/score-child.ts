import { readFile } from 'node:fs/promises';
import { serveChild } from '../../core/child.ts';
import { ConfigError } from '../../core/errors.ts';
import { noAugmentation } from '../../data/augment.ts';
import { imageTask, targetInput } from '../../training/image-task.ts';
import { tallyScores } from '../../training/scoring.ts';
import { type Classifier, openClassifier } from './classifier.ts';
import type { Score, ScoredSplit, ScoreRequest } from './score.ts';

await serveChild<ScoreRequest, Partial<Record<ScoredSplit, Score>>>(
  async ({ modelFile, splits, ...fed }, { signal }) => {
    const classifier = await openClassifier(await readFile(modelFile), { from: modelFile, ...fed });
    const scores: Partial<Record<ScoredSplit, Score>> = {};
    for (const split of splits) scores[split] = await scoreSplit(modelFile, classifier, split, signal);
    await classifier.session.close();
    return scores;
  },
);

async function scoreSplit(
  modelFile: string,
  { session, dataset, input, resolution, fixedBatch }: Classifier,
  split: ScoredSplit,
  signal: AbortSignal,
): Promise<Score> {
  const task = imageTask(dataset, { resolution, scoredSplit: split, augmentation: noAugmentation });
  let examples = 0;
  let right = 0;
  let nats = 0;
  for (const batch of task.scoringBatches(fixedBatch ?? 64)) {
    signal.throwIfAborted();
    const image = batch['image'];
    const targets = batch[targetInput];
    if (!image || !targets) throw new Error('the task gave no images or no targets');
    if (fixedBatch !== null && image.shape[0] !== fixedBatch)
      throw new ConfigError(
        `${modelFile}: expected a symbolic batch or one that divides ${dataset.splits[split].count} examples, got ${fixedBatch}`,
      );
    const outputs = await session.run({
      [input]: { dtype: 'float32', dims: image.shape, data: image.data as Float32Array },
    });
    const logits = outputs[session.outputs[0] as string];
    if (logits?.dims.length !== 2 || logits.dims[1] !== dataset.classNames.length)
      throw new ConfigError(
        `${modelFile}: expected logits [batch, ${dataset.classNames.length}], got [${logits?.dims.join(', ')}]`,
      );
    const tally = tallyScores(logits.data as Float32Array, targets);
    examples += tally.rows;
    right += tally.right;
    nats += tally.nats;
  }
  return { examples, accuracy: right / examples, crossEntropy: nats / examples, fixedBatch };
}
