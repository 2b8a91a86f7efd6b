import { Random } from '../../core/random.ts';
import type { Batch, TrainingTask } from '../../training/trainer.ts';

const side = 8;
export const syntheticClasses = 3;

/** Noisy 8×8 grey images; class c has bright stripes of its own direction. Easy, but no single pixel tells. */
export function stripesTask(scored = 96): TrainingTask {
  const batch = (count: number, random: Random): Batch => {
    const pixels = new Float32Array(count * side * side);
    const targets = new Float32Array(count * syntheticClasses);
    for (let n = 0; n < count; n++) {
      const label = random.integer(syntheticClasses);
      const phase = random.integer(4);
      targets[n * syntheticClasses + label] = 1;
      for (let pixel = 0; pixel < side * side; pixel++) {
        const [row, column] = [Math.floor(pixel / side), pixel % side];
        const along = [row, column, row + column][label] as number;
        pixels[n * side * side + pixel] = ((along + phase) % 4 < 2 ? 1 : -1) + 0.3 * random.normal();
      }
    }
    return {
      image: { dtype: 'float32', shape: [count, 1, side, side], data: pixels },
      target: { dtype: 'float32', shape: [count, syntheticClasses], data: targets },
    };
  };
  return {
    inputs: [{ name: 'image', dtype: 'float32', shape: [1, side, side] }],
    targets: [{ name: 'target', dtype: 'float32', shape: [syntheticClasses] }],
    loss: { kind: 'softmax-cross-entropy' },
    *trainingBatches(batchSize, seed, skip = 0) {
      for (let index = skip / batchSize; ; index++) yield batch(batchSize, new Random(seed).child('train', index));
    },
    *scoringBatches(batchSize) {
      for (let start = 0; start < scored; start += batchSize)
        yield batch(Math.min(batchSize, scored - start), new Random('scored').child(start));
    },
  };
}

/** The same task with a stream whose examples do not depend on how they are batched. */
export function exampleByExample(task: TrainingTask): TrainingTask {
  return {
    ...task,
    *trainingBatches(batchSize, seed, skip = 0) {
      const examples = task.trainingBatches(1, seed, skip);
      while (true)
        yield joined(Array.from({ length: batchSize }, () => (examples.next() as IteratorYieldResult<Batch>).value));
    },
  };
}

/** Does something just before a training batch is handed out, counted from 0 at the start of the stream. */
export function beforeBatch(task: TrainingTask, batch: number, act: () => void): TrainingTask {
  return {
    ...task,
    *trainingBatches(batchSize, seed, skip = 0) {
      let index = skip / batchSize;
      for (const next of { [Symbol.iterator]: () => task.trainingBatches(batchSize, seed, skip) }) {
        if (index++ === batch) act();
        yield next;
      }
    },
  };
}

/** Does something just before a scoring batch is handed out, counted from 0. */
export function beforeScoring(task: TrainingTask, batch: number, act: () => void): TrainingTask {
  return {
    ...task,
    *scoringBatches(batchSize) {
      let index = 0;
      for (const next of task.scoringBatches(batchSize)) {
        if (index++ === batch) act();
        yield next;
      }
    },
  };
}

function joined(examples: readonly Batch[]): Batch {
  const [first] = examples as [Batch];
  return Object.fromEntries(
    Object.entries(first).map(([name, { dtype, shape }]) => {
      const values = examples.flatMap((example) => Array.from(example[name]?.data as Float32Array));
      return [name, { dtype, shape: [examples.length, ...shape.slice(1)], data: Float32Array.from(values) }];
    }),
  );
}
