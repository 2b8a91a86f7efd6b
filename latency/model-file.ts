import { readFile } from 'node:fs/promises';
import { ConfigError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import { buildNetwork } from '../models/build.ts';
import { exportOnnx } from '../models/export.ts';
import { initialWeights } from '../models/initialise.ts';
import type { ModelSpec } from '../models/transformer.ts';

/** Bytes of a model given by its path or as they are. @throws {ConfigError} when the file cannot be read. */
export async function modelBytes(model: string | Uint8Array): Promise<Uint8Array> {
  if (typeof model !== 'string') return model;
  return readFile(model).catch((cause: NodeJS.ErrnoException) => {
    throw new ConfigError(`expected a readable ONNX file, got '${model}' (${cause.code})`, { cause });
  });
}

/**
 * The file that stands for a network which nobody has trained: constant weights of trained scale, the same ones for
 * the same spec, and the batch fixed.
 */
export function candidateModel(spec: ModelSpec, batch: number, precision: 'fp32' | 'fp16' = 'fp32'): Uint8Array {
  return exportOnnx(spec, initialWeights(buildNetwork(spec, 1), new Random('latency')), batch, undefined, precision);
}
