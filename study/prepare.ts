import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { datasetDigest, writeDatasetFile } from '../data/cache.ts';
import type { Dataset } from '../data/dataset.ts';
import { loadDataset } from '../data/load.ts';
import type { DataSource, LoadOptions } from '../data/source.ts';
import type { DataDescription } from './context.ts';
import type { StudyRecord } from './journal/record.ts';
import type { StudyConfig } from './study-file.ts';

/** A data set without its pixels and without where it is stored. */
export function describeData(dataset: Dataset, source: DataSource): Omit<DataDescription, 'file'> {
  const { name, channels, height, width, classNames, mean, std, splits } = dataset;
  const counts = { train: splits.train.count, holdout: splits.holdout.count, test: splits.test.count };
  const fit = source.format === 'folder' ? 'centre-crop' : 'stretch';
  return { name, fit, channels, height, width, classNames, mean, std, counts, digest: datasetDigest(dataset) };
}

/**
 * Decodes a study's data once into a file that child processes read in milliseconds.
 * @throws {InvalidFileError} when a resumed study finds other data than it began with.
 */
export async function prepareData(
  config: Pick<StudyConfig, 'data' | 'baseDirectory'>,
  folder: string,
  record: StudyRecord,
  { signal, onNotice }: Pick<LoadOptions, 'signal' | 'onNotice'>,
): Promise<DataDescription> {
  const file = join(folder, 'data.bin');
  const known = record.decision('data') as Omit<DataDescription, 'file'> | undefined;
  if (known && existsSync(file)) return { ...known, file };
  rmSync(file, { force: true });
  const dataset = await loadDataset(config.data, { baseDirectory: config.baseDirectory, signal, onNotice });
  await writeDatasetFile(dataset, file);
  const description = JSON.parse(JSON.stringify(describeData(dataset, config.data))) as Omit<DataDescription, 'file'>;
  record.decideAgain(
    'data',
    { ...description, classNames: [...description.classNames], mean: [...description.mean], std: [...description.std] },
    'the data set as prepared',
  );
  return { ...description, file };
}
