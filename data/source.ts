import { z } from 'zod';
import { largestSide, mostChannels } from './pixels.ts';
import { maxRenderedClasses } from './rendered.ts';

const pathsSchema = z.union([z.string(), z.array(z.string()).min(1)], 'expected a path or a list of paths');
/** A share of the examples (below 1) or a count. */
const partSchema = z.union([z.number().gt(0).lt(1), z.int().positive()]);

/** What every source can say about its splits. Both parts are taken class by class, seeded. */
const splitting = {
  /** Taken from the training examples for decisions; share or count. */
  holdout: partSchema.default(0.1),
  /** Taken from the training examples when the source brings no test split; share or count. */
  testShare: partSchema.default(0.15),
  /** Use only so many of the examples that are not test examples. */
  limit: z.int().positive().optional(),
  seed: z.int().nonnegative().default(0),
};

const givesBothSides = ({ height, width }: { height?: number | undefined; width?: number | undefined }) =>
  (height === undefined) === (width === undefined);
const bothSides = { path: ['height'], error: 'expected height and width, got one of them' };

const renderedSchema = z.strictObject({
  format: z.literal('rendered'),
  classes: z.int().min(2).max(maxRenderedClasses).default(10),
  /** Native side in pixels. */
  resolution: z.int().min(8).max(512).default(64),
  /** Examples before the hold-out is taken. */
  train: z.int().min(20).max(1_000_000).default(4000),
  test: z.int().min(10).max(1_000_000).default(1000),
  ...splitting,
});

const cifar10Schema = z.strictObject({
  format: z.literal('cifar10'),
  /** Files of records (`.bin`, `.bin.gz`), or the folder of `data_batch_*.bin` and `test_batch.bin`. */
  path: pathsSchema,
  test: pathsSchema.optional(),
  ...splitting,
});

const cifar100Schema = z.strictObject({
  format: z.literal('cifar100'),
  /** Files of records (`.bin`, `.bin.gz`), or the folder of `train.bin` and `test.bin`. */
  path: pathsSchema,
  test: pathsSchema.optional(),
  /** The 100 classes or their 20 superclasses. */
  labels: z.enum(['fine', 'coarse']).default('fine'),
  ...splitting,
});

const channelsSchema = z.int().min(1).max(mostChannels);
const sideSchema = z.int().min(1).max(largestSide);
/** Names of the classes in label order; their numbers when left out. */
const classNamesSchema = z.array(z.string()).min(2).optional();
/** Whether channels of a pixel lie next to each other (`channels-last`) or apart, each a plane. */
const layoutSchema = z.enum(['channels-first', 'channels-last']).optional();

const recordsSchema = z.strictObject({
  format: z.literal('records'),
  /** Files of fixed-size records: label byte, then channel-first pixels; gzip is recognised. */
  path: pathsSchema,
  test: pathsSchema.optional(),
  channels: channelsSchema,
  height: sideSchema,
  width: sideSchema,
  classNames: classNamesSchema,
  ...splitting,
});

const pairSchema = z.strictObject({ images: z.string(), labels: z.string() });
const idxSchema = z
  .strictObject({
    format: z.literal('idx'),
    /** The folder of `train-images-idx3-ubyte` and its companions, or the two files; gzip is recognised. */
    path: z.union([z.string(), pairSchema], 'expected a folder or {images: path, labels: path}'),
    test: pairSchema.optional(),
    /** Needed where the header leaves it open: images of four dimensions, or of two with several channels. */
    layout: layoutSchema,
    /** Shape of images that the file holds as plain vectors; a square of one channel when left out. */
    channels: channelsSchema.optional(),
    height: sideSchema.optional(),
    width: sideSchema.optional(),
    classNames: classNamesSchema,
    ...splitting,
  })
  .refine(givesBothSides, bothSides);

const csvSchema = z
  .strictObject({
    format: z.literal('csv'),
    /** Files with a row an image, a cell a pixel and one for the label; gzip is recognised. */
    path: pathsSchema,
    test: pathsSchema.optional(),
    /** Column of the class number: `last`, `first` or a name of the header. */
    label: z.string().min(1).default('last'),
    /** Whether the first row names the columns. */
    header: z.boolean().default(false),
    separator: z.enum([',', ';', '\t']).default(','),
    /** Values of black and white; what lies between is stored in 256 steps. */
    range: z.tuple([z.number(), z.number()]).default([0, 255]),
    layout: layoutSchema,
    /** Shape of the images; a square of one channel when left out. */
    channels: channelsSchema.default(1),
    height: sideSchema.optional(),
    width: sideSchema.optional(),
    classNames: classNamesSchema,
    ...splitting,
  })
  .refine(givesBothSides, bothSides)
  .refine(({ range: [black, white] }) => black < white, {
    path: ['range'],
    error: 'expected a range [low, high] with low < high',
  })
  .refine(({ label, header }) => header || label === 'first' || label === 'last', {
    path: ['label'],
    error: 'expected first or last, or header: true for a column by name',
  })
  .refine(({ channels, layout }) => channels === 1 || layout !== undefined, {
    path: ['layout'],
    error: 'expected channels-first or channels-last for images of several channels',
  });

const folderSchema = z.strictObject({
  format: z.literal('folder'),
  /** One subfolder a class, or `train/` and `test/` (else `val/`, `valid/`, `validation/`) with one subfolder a class each. */
  path: z.string(),
  test: z.string().optional(),
  /** Side to store: the shorter side is resized to it and the centre cropped. */
  resolution: z.int().min(8).max(1024).default(96),
  ...splitting,
});

const sourceSchemas = [
  renderedSchema,
  folderSchema,
  cifar10Schema,
  cifar100Schema,
  idxSchema,
  csvSchema,
  recordsSchema,
] as const;

const sourceObjectSchema = z.discriminatedUnion('format', sourceSchemas, {
  error: ({ input }) => {
    const formats = sourceSchemas.map(({ shape }) => shape.format.value).join(', ');
    const { format = 'none' } = input as { format?: unknown };
    return `expected one of ${formats}, got ${String(format)}`;
  },
});

/** What is wrong with a source, in one sentence: a union would only say that nothing fitted. */
function misfit(input: unknown): string {
  if (typeof input !== 'object' || input === null)
    return `expected "rendered", the path of a folder of images such as ./photos, or {format: …}, got ${JSON.stringify(input)}`;
  const issues = sourceObjectSchema.safeParse(input).error?.issues ?? [];
  return issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
}

/**
 * Where images come from: `rendered`, the path of a folder of images, or an object that names its format.
 * Parsed into the object form.
 */
export const dataSourceSchema = z.union(
  [
    sourceObjectSchema,
    z.literal('rendered').transform(() => sourceObjectSchema.parse({ format: 'rendered' })),
    z
      .string()
      .regex(/[/\\.]/)
      .transform((path) => sourceObjectSchema.parse({ format: 'folder', path })),
  ],
  { error: ({ input }) => misfit(input) },
);
export type DataSource = z.output<typeof sourceObjectSchema>;
export type RenderedSource = Extract<DataSource, { format: 'rendered' }>;
export type RecordsSource = Extract<DataSource, { format: 'records' | 'cifar10' | 'cifar100' }>;
export type IdxSource = Extract<DataSource, { format: 'idx' }>;
export type CsvSource = Extract<DataSource, { format: 'csv' }>;
export type FolderSource = Extract<DataSource, { format: 'folder' }>;

/** How a source is read. */
export interface LoadOptions {
  /** Relative paths of the source start here. */
  readonly baseDirectory: string;
  readonly signal?: AbortSignal;
  /** Hears what a person should know of the data: what of it is not used, and which classes a split has none of. */
  readonly onNotice?: ((text: string) => void) | undefined;
  /** Most bytes of pixels of a split; `largestPixelBytes` by default. */
  readonly maxPixelBytes?: number;
}
