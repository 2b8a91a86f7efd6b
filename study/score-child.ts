import { readFile } from 'node:fs/promises';
import { onnxRuntimeAccelerator } from '../accelerators/onnxruntime.ts';
import { serveChild } from '../core/child.ts';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import { noAugmentation } from '../data/augment.ts';
import { readDatasetFile } from '../data/cache.ts';
import { imageTask, targetInput } from '../training/image-task.ts';
import { tallyScores } from '../training/scoring.ts';
import type { Score, ScoreRequest } from './score.ts';

await serveChild<ScoreRequest, Score>(async ({ modelFile, dataFile, split, mean, std }, { signal }) => {
  const prepared = await readDatasetFile(dataFile);
  const dataset = { ...prepared, mean: mean ?? prepared.mean, std: std ?? prepared.std };
  if (dataset.mean.length !== dataset.channels || dataset.std.length !== dataset.channels)
    throw new ConfigError(
      `${modelFile}: expected mean and std of ${dataset.channels} channels, got ${dataset.mean.length} and ${dataset.std.length}`,
    );
  const session = await onnxRuntimeAccelerator('cpu')
    .open(await readFile(modelFile), { threads: 1, flushDenormals: true })
    .catch((cause: Error) => {
      throw new InvalidFileError(`${modelFile}: ${cause.message}`, { cause });
    });
  const [input, ...others] = session.inputs;
  const [fixedBatch, channels, height, width] = input?.dims ?? [];
  if (!input || others.length > 0 || channels !== dataset.channels || height !== width || typeof height !== 'number')
    throw new ConfigError(
      `${modelFile}: expected one input [batch, ${dataset.channels}, side, side], got ${session.inputs.map(({ name, dims }) => `${name} [${dims.join(', ')}]`).join(' and ')}`,
    );
  const batchSize = typeof fixedBatch === 'number' ? fixedBatch : 64;
  const task = imageTask(dataset, {
    resolution: height,
    scoredSplit: split,
    augmentation: noAugmentation,
  });
  let examples = 0;
  let right = 0;
  let nats = 0;
  for (const batch of task.scoringBatches(batchSize)) {
    signal.throwIfAborted();
    const image = batch['image'];
    const targets = batch[targetInput];
    if (!image || !targets) throw new Error('the task gave no images or no targets');
    if (typeof fixedBatch === 'number' && image.shape[0] !== fixedBatch)
      throw new ConfigError(
        `${modelFile}: expected a symbolic batch or one that divides ${dataset.splits[split].count} examples, got ${fixedBatch}`,
      );
    const outputs = await session.run({
      [input.name]: { dtype: 'float32', dims: image.shape, data: image.data as Float32Array },
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
  await session.close();
  return {
    examples,
    accuracy: right / examples,
    crossEntropy: nats / examples,
    fixedBatch: typeof fixedBatch === 'number' ? fixedBatch : null,
  };
});
