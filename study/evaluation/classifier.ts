import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import type { Session } from '../../accelerators/accelerator.ts';
import { ConfigError, InvalidFileError } from '../../core/errors.ts';
import { readDatasetFile } from '../../data/cache.ts';
import type { Dataset } from '../../data/dataset.ts';

/** What a classifier expects instead of a data set's own, per channel of pixels scaled to [0, 1]. */
export interface InputNormalisation {
  readonly mean?: readonly number[] | undefined;
  readonly std?: readonly number[] | undefined;
}

/** A classifier of pictures, loaded to be fed a data set. */
export interface Classifier {
  readonly session: Session;
  readonly dataset: Dataset;
  /** Of its one input, `[batch, channels, resolution, resolution]`. */
  readonly input: string;
  readonly resolution: number;
  /** Batch the file is fixed to; null where it is symbolic. */
  readonly fixedBatch: number | null;
}

/**
 * Loads a classifier on the CPU, and the data set that it is fed; for child processes, for its runs block.
 * @param from names the model in errors.
 * @throws {InvalidFileError} when it does not load. @throws {ConfigError} when it does not fit the data.
 */
export async function openClassifier(
  model: Uint8Array,
  { from, dataFile, mean, std }: InputNormalisation & { readonly from: string; readonly dataFile: string },
): Promise<Classifier> {
  const prepared = await readDatasetFile(dataFile);
  const dataset = { ...prepared, mean: mean ?? prepared.mean, std: std ?? prepared.std };
  if (dataset.mean.length !== dataset.channels || dataset.std.length !== dataset.channels)
    throw new ConfigError(
      `${from}: expected mean and std of ${dataset.channels} channels, got ${dataset.mean.length} and ${dataset.std.length}`,
    );
  const session = await onnxRuntimeAccelerator('cpu')
    .open(model, { threads: 1, flushDenormals: true })
    .catch((cause: Error) => {
      throw new InvalidFileError(`${from}: ${cause.message}`, { cause });
    });
  const [input, ...others] = session.inputs;
  const [batch, channels, height, width] = input?.dims ?? [];
  if (!input || others.length > 0 || channels !== dataset.channels || height !== width || typeof height !== 'number')
    throw new ConfigError(
      `${from}: expected one input [batch, ${dataset.channels}, side, side], got ${session.inputs.map(({ name, dims }) => `${name} [${dims.join(', ')}]`).join(' and ')}`,
    );
  return {
    session,
    dataset,
    input: input.name,
    resolution: height,
    fixedBatch: typeof batch === 'number' ? batch : null,
  };
}
