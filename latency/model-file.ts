import { readFile } from 'node:fs/promises';
import { ConfigError } from '../core/errors.ts';

/** Bytes of a model given by its path or as they are. @throws {ConfigError} when the file cannot be read. */
export async function modelBytes(model: string | Uint8Array): Promise<Uint8Array> {
  if (typeof model !== 'string') return model;
  return readFile(model).catch((cause: NodeJS.ErrnoException) => {
    throw new ConfigError(`expected a readable ONNX file, got '${model}' (${cause.code})`, { cause });
  });
}
