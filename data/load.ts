import { InterruptedError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import { loadCsv } from './csv.ts';
import type { Dataset } from './dataset.ts';
import { loadFolder } from './folder.ts';
import { loadIdx } from './idx.ts';
import { loadRecords } from './records.ts';
import { requireFit } from './pixels.ts';
import { renderedClassNames, renderSplit } from './rendered.ts';
import type { DataSource, LoadOptions, RenderedSource } from './source.ts';
import { arrange, channelStatistics, type DecodedImages, divide, missingClasses } from './split.ts';

/**
 * Reads and splits a data set. The hold-out is always taken from the training examples, class by class;
 * a test split that the source brings is left alone. Memory: one byte a value of every example, once; splits are views.
 * @throws {ConfigError} for sources that are missing or cannot be split; {InvalidFileError} for damaged files;
 * {InterruptedError} when aborted.
 */
export async function loadDataset(source: DataSource, options: LoadOptions): Promise<Dataset> {
  const images = await loadImages(source, options).catch((error: unknown) => {
    if (options.signal?.aborted) throw new InterruptedError('data: loading was interrupted', { cause: error });
    throw error;
  });
  const { name, channels, height, width, classNames, train: given } = images;
  const rules = {
    holdout: source.holdout,
    testShare: source.testShare,
    limit: source.limit,
    hasTest: images.test !== undefined,
  };
  const parts = divide(given.labels, classNames, rules, new Random(source.seed).child('split'));
  const taken = arrange(given, parts);
  const splits = { ...taken, test: images.test ?? taken.test };
  const missing = missingClasses(splits, classNames);
  if (missing !== undefined) options.onNotice?.(missing);
  return { name, channels, height, width, classNames, ...channelStatistics(taken.train, channels), splits };
}

function loadImages(source: DataSource, options: LoadOptions): Promise<DecodedImages> {
  switch (source.format) {
    case 'rendered':
      return renderImages(source, options);
    case 'cifar10':
    case 'cifar100':
    case 'records':
      return loadRecords(source, options);
    case 'idx':
      return loadIdx(source, options);
    case 'csv':
      return loadCsv(source, options);
    case 'folder':
      return loadFolder(source, options);
    default:
      return source satisfies never;
  }
}

async function renderImages(source: RenderedSource, { signal, maxPixelBytes }: LoadOptions): Promise<DecodedImages> {
  const { classes, resolution, seed } = source;
  const shape = { channels: 3, height: resolution, width: resolution };
  requireFit(Math.max(source.train, source.test), shape, 'data', maxPixelBytes);
  const task = { classes, resolution, seed };
  return {
    name: `rendered-${resolution}`,
    ...shape,
    classNames: renderedClassNames(classes),
    train: await renderSplit(task, 'train', source.train, signal),
    test: await renderSplit(task, 'test', source.test, signal),
  };
}
