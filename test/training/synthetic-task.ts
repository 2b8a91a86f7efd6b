import { Random } from '../../core/random.ts';
import type { Batch, TrainingTask } from '../../training/trainer.ts';

const side = 8;
export const syntheticClasses = 3;

/** Noisy 8×8 grey images; class c has bright stripes of its own direction. Easy, but no single pixel tells. */
export function stripesTask(scored = 96): TrainingTask {
  const batch = (count: number, random: Random): Batch => {
    const pixels = new Float32Array(count * side * side);
    const labels = new BigInt64Array(count);
    for (let n = 0; n < count; n++) {
      const label = random.integer(syntheticClasses);
      const phase = random.integer(4);
      labels[n] = BigInt(label);
      for (let pixel = 0; pixel < side * side; pixel++) {
        const [row, column] = [Math.floor(pixel / side), pixel % side];
        const along = [row, column, row + column][label] as number;
        pixels[n * side * side + pixel] = ((along + phase) % 4 < 2 ? 1 : -1) + 0.3 * random.normal();
      }
    }
    return {
      image: { dtype: 'float32', shape: [count, 1, side, side], data: pixels },
      label: { dtype: 'int64', shape: [count], data: labels },
    };
  };
  return {
    inputs: [{ name: 'image', dtype: 'float32', shape: [1, side, side] }],
    targets: [{ name: 'label', dtype: 'int64', shape: [] }],
    loss: { kind: 'softmax-cross-entropy', labelSmoothing: 0.1 },
    *trainingBatches(batchSize, seed, skip = 0) {
      for (let index = skip; ; index++) yield batch(batchSize, new Random(seed).child('train', index));
    },
    *scoringBatches(batchSize) {
      for (let start = 0; start < scored; start += batchSize)
        yield batch(Math.min(batchSize, scored - start), new Random('scored').child(start));
    },
  };
}
