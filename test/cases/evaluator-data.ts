import { join } from 'node:path';
import { writeDatasetFile } from '../../data/cache.ts';
import { loadDataset } from '../../data/load.ts';
import { dataSourceSchema } from '../../data/source.ts';
import type { DataDescription } from '../../study/context.ts';
import { describeData } from '../../study/prepare.ts';

/** A small data set of generated pictures, its file in a folder. */
export async function smallData(folder: string): Promise<DataDescription> {
  const source = dataSourceSchema.parse({ format: 'rendered', classes: 2, train: 60, test: 10, resolution: 16 });
  const dataset = await loadDataset(source, { baseDirectory: folder });
  const file = join(folder, 'data.bin');
  await writeDatasetFile(dataset, file);
  return { ...describeData(dataset, source), file };
}
