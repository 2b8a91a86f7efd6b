import { z } from 'zod';
import { maxRenderedClasses } from './rendered.ts';

const pathsSchema = z.union([z.string(), z.array(z.string()).min(1)]);
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

const recordsSchema = z.strictObject({
  format: z.literal('records'),
  /** Files of fixed-size records: label byte, then channel-first pixels; gzip is recognised. */
  path: pathsSchema,
  test: pathsSchema.optional(),
  channels: z.int().min(1).max(64),
  height: z.int().min(1).max(4096),
  width: z.int().min(1).max(4096),
  classNames: z.array(z.string()).min(2).optional(),
  ...splitting,
});

const folderSchema = z.strictObject({
  format: z.literal('folder'),
  /** One subfolder a class, or `train/` and `test/` with one subfolder a class each. */
  path: z.string(),
  test: z.string().optional(),
  /** Side to store: the shorter side is resized to it and the centre cropped. */
  resolution: z.int().min(8).max(1024).default(96),
  ...splitting,
});

const sourceObjectSchema = z.discriminatedUnion('format', [renderedSchema, cifar10Schema, recordsSchema, folderSchema]);

/**
 * Where images come from: `rendered`, the path of a folder of images, or an object that names its format.
 * Parsed into the object form.
 */
export const dataSourceSchema = z.union([
  sourceObjectSchema,
  z.literal('rendered').transform(() => sourceObjectSchema.parse({ format: 'rendered' })),
  z
    .string()
    .regex(/[/\\.]/, 'expected "rendered", the path of a folder of images such as ./photos, or {format: …}')
    .transform((path) => sourceObjectSchema.parse({ format: 'folder', path })),
]);
export type DataSource = z.output<typeof sourceObjectSchema>;
export type RenderedSource = Extract<DataSource, { format: 'rendered' }>;
export type RecordsSource = Extract<DataSource, { format: 'records' | 'cifar10' }>;
export type FolderSource = Extract<DataSource, { format: 'folder' }>;

/** How a source is read. */
export interface LoadOptions {
  /** Relative paths of the source start here. */
  readonly baseDirectory: string;
  readonly signal?: AbortSignal;
}
