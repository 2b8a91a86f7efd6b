import { InterruptedError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import { loadCsv } from './csv.ts';
import type { Dataset, DatasetOutline } from './dataset.ts';
import { loadFolder } from './folder.ts';
import { loadIdx } from './idx.ts';
import { loadRecords } from './records.ts';
import { requireFit } from './pixels.ts';
import { renderedClassNames, renderedLabels, renderSplit } from './rendered.ts';
import type { DataSource, LoadOptions, RenderedSource } from './source.ts';
import {
  arrange,
  channelStatistics,
  type DecodedImages,
  divide,
  type LabelledImages,
  missingClasses,
} from './split.ts';

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
  const taken = arrange(images.train, dividedExamples(images, source, options));
  const splits = { ...taken, test: images.test ?? taken.test };
  return { ...outlineOf(images), ...channelStatistics(taken.train, images.channels), splits };
}

/**
 * What {@link loadDataset} would give, without its pixels: it throws and tells the same, except that of generated data nothing is
 * rendered. Others are read.
 */
export async function outlineDataset(source: DataSource, options: LoadOptions): Promise<DatasetOutline> {
  const images = source.format === 'rendered' ? declaredImages(source, options) : await loadImages(source, options);
  dividedExamples(images, source, options);
  return outlineOf(images);
}

function outlineOf({ name, channels, height, width, classNames }: LabelledImages): DatasetOutline {
  return { name, channels, height, width, classNames };
}

/** Which of the training examples belong to which split; classes that a split has none of are told. */
function dividedExamples(
  { classNames, train: { labels }, test }: LabelledImages,
  { holdout, testShare, limit, seed }: DataSource,
  { onNotice }: LoadOptions,
): ReturnType<typeof divide> {
  const rules = { holdout, testShare, limit, hasTest: test !== undefined };
  const parts = divide(labels, classNames, rules, new Random(seed).child('split'));
  const labelsOf = (examples: Uint32Array) => ({ labels: Uint16Array.from(examples, (at) => labels[at] as number) });
  const splits = {
    train: labelsOf(parts.train),
    holdout: labelsOf(parts.holdout),
    test: test ?? labelsOf(parts.test),
  };
  const missing = missingClasses(splits, classNames);
  if (missing !== undefined) onNotice?.(missing);
  return parts;
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

/** Generated images before any is rendered. @throws {ConfigError} when they would be more than can be held. */
function declaredImages(source: RenderedSource, { maxPixelBytes }: LoadOptions): LabelledImages {
  const { classes, resolution } = source;
  const shape = { channels: 3, height: resolution, width: resolution };
  requireFit(Math.max(source.train, source.test), shape, 'data', maxPixelBytes);
  return {
    name: `rendered-${resolution}`,
    ...shape,
    classNames: renderedClassNames(classes),
    train: { labels: renderedLabels(classes, source.train) },
    test: { labels: renderedLabels(classes, source.test) },
  };
}

async function renderImages(source: RenderedSource, options: LoadOptions): Promise<DecodedImages> {
  const declared = declaredImages(source, options);
  return {
    ...declared,
    train: await renderSplit(source, 'train', source.train, options.signal),
    test: await renderSplit(source, 'test', source.test, options.signal),
  };
}
