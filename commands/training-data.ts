import { writeDatasetFile } from '../data/cache.ts';
import type { Dataset, Split } from '../data/dataset.ts';
import { resizeSplit } from '../data/resize.ts';

/** The test split as a trainer gets it. */
const withheld: Split = { count: 0, labels: new Uint16Array(0), pixels: new Uint8Array(0) };

/**
 * Writes a data set for a program that trains: at the network's resolution, resized as Ridgepoint and every
 * deployment resize, so that accuracies agree; and without the test split, which nobody decides anything on.
 */
export async function writeTrainingData(dataset: Dataset, side: number, path: string): Promise<void> {
  const splits = {
    train: resizeSplit(dataset.splits.train, dataset, side),
    holdout: resizeSplit(dataset.splits.holdout, dataset, side),
    test: withheld,
  };
  await writeDatasetFile({ ...dataset, height: side, width: side, splits }, path);
}
