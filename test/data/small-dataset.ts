import { Random } from '../../core/random.ts';
import type { Dataset, Split } from '../../data/dataset.ts';

/** 3×8×8 images of noise in which the first pixel of an example is its index. */
function noise(name: string, count: number): Split {
  const random = new Random(name);
  const pixels = Uint8Array.from({ length: count * 192 }, (_, at) => (at % 192 === 0 ? at / 192 : random.integer(256)));
  return { count, pixels, labels: Uint16Array.from({ length: count }, (_, index) => index % 2) };
}

/** A data set of two classes that take turns. */
export function smallDataset(counts = { train: 10, holdout: 5, test: 4 }): Dataset {
  return {
    name: 'small',
    channels: 3,
    height: 8,
    width: 8,
    classNames: ['even', 'odd'],
    mean: [0.5, 0.4, 0.3],
    std: [0.2, 0.25, 0.5],
    splits: {
      train: noise('train', counts.train),
      holdout: noise('holdout', counts.holdout),
      test: noise('test', counts.test),
    },
  };
}
