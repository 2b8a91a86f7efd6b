import { ConfigError } from '../core/errors.ts';
import type { Text, Tokens } from '../data/text.ts';
import { tokensInput } from '../models/build-transformer.ts';
import { targetInput } from './image-task.ts';
import type { Batch, TrainingTask } from './trainer.ts';

/** The network that predicts. */
export interface TextTaskOptions {
  readonly context: number;
  readonly vocabulary: number;
}

/**
 * Predicting the next token: batches of `tokens` int64 `[n, context]` and `target` float32 `[n, context, vocabulary]`, 1 at the
 * token that follows. An example is a sequence; scores are means over tokens.
 * @throws {ConfigError} when the text has tokens that the network does not know.
 */
export function textTask(text: Text, { context, vocabulary }: TextTaskOptions): TrainingTask {
  if (text.vocabulary > vocabulary)
    throw new ConfigError(
      `${text.name}: expected a network with a vocabulary of at least ${text.vocabulary}, got ${vocabulary}`,
    );

  const batchOf = (sequences: readonly Tokens[]): Batch => {
    const count = sequences.length;
    const tokens = new BigInt64Array(count * context);
    const targets = new Float32Array(count * context * vocabulary);
    sequences.forEach((sequence, row) => {
      for (let place = 0; place < context; place++) {
        const position = row * context + place;
        tokens[position] = BigInt(sequence[place] as number);
        targets[position * vocabulary + (sequence[place + 1] as number)] = 1;
      }
    });
    return {
      [tokensInput]: { dtype: 'int64', shape: [count, context], data: tokens },
      [targetInput]: { dtype: 'float32', shape: [count, context, vocabulary], data: targets },
    };
  };

  return {
    inputs: [{ name: tokensInput, dtype: 'int64', shape: [context] }],
    targets: [{ name: targetInput, dtype: 'float32', shape: [context, vocabulary] }],
    loss: { kind: 'softmax-cross-entropy' },
    *trainingBatches(batchSize, seed, skip = 0) {
      const sequences = text.trainingSequences(seed, context, skip);
      for (;;) yield batchOf(Array.from({ length: batchSize }, () => sequences.next().value));
    },
    *scoringBatches(batchSize) {
      let waiting: Tokens[] = [];
      for (const sequence of text.scoredSequences(context)) {
        waiting.push(sequence);
        if (waiting.length < batchSize) continue;
        yield batchOf(waiting);
        waiting = [];
      }
      if (waiting.length > 0) yield batchOf(waiting);
    },
  };
}
