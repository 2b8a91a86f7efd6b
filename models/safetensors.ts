import { randomBytes } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { z } from 'zod';
import { InvalidFileError } from '../core/errors.ts';
import type { Weights } from './graph.ts';

/** Weights with their extents, and text by key that describes them. */
export interface StoredWeights {
  readonly weights: Weights;
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly metadata: Readonly<Record<string, string>>;
}

const entrySchema = z.object({
  dtype: z.literal('F32', 'only float32 (F32) tensors are read'),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});
const headerSchema = z.object({ __metadata__: z.record(z.string(), z.string()).optional() }).catchall(entrySchema);

/**
 * The bytes of a safetensors file: 8-byte little-endian header length, JSON header (padded with
 * spaces so that data starts at a multiple of 8), float32 data. Tensors are sorted by name: equal
 * weights give equal bytes.
 * @see https://huggingface.co/docs/safetensors
 */
export function encodeSafetensors({ weights, shapes, metadata }: StoredWeights): Uint8Array {
  const names = [...weights.keys()].toSorted((a, b) => (a < b ? -1 : 1));
  const header: Record<string, unknown> = { __metadata__: metadata };
  let end = 0;
  for (const name of names) {
    const start = end;
    end += (weights.get(name) as Float32Array).byteLength;
    header[name] = { dtype: 'F32', shape: shapes.get(name), data_offsets: [start, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const headerLength = Math.ceil(json.length / 8) * 8;
  const bytes = Buffer.alloc(8 + headerLength + end, ' ');
  bytes.writeBigUInt64LE(BigInt(headerLength));
  json.copy(bytes, 8);
  let offset = 8 + headerLength;
  for (const name of names) {
    const { buffer, byteOffset, byteLength } = weights.get(name) as Float32Array;
    bytes.set(new Uint8Array(buffer, byteOffset, byteLength), offset);
    offset += byteLength;
  }
  return bytes;
}

/**
 * Reads the bytes of a safetensors file of float32 tensors.
 * @param where names the file in errors.
 * @throws {InvalidFileError} when it is cut short, is not safetensors, or holds other types.
 */
export function decodeSafetensors(bytes: Uint8Array, where: string): StoredWeights {
  const fail = (expected: string, got: string, cause?: unknown): never => {
    throw new InvalidFileError(`${where}: expected ${expected}, got ${got}`, { cause });
  };
  if (bytes.length < 8) fail('a safetensors file', `${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerLength = Number(view.getBigUint64(0, true));
  if (headerLength > bytes.length - 8)
    fail('a safetensors header', `${bytes.length} bytes where the header alone has ${headerLength}`);
  const data = bytes.subarray(8 + headerLength);
  const weights = new Map<string, Float32Array>();
  const shapes = new Map<string, readonly number[]>();
  const header = parseHeader(bytes.subarray(8, 8 + headerLength), fail);
  const { __metadata__: metadata = {}, ...entries } = header;
  for (const [name, { shape, data_offsets: offsets }] of Object.entries(entries)) {
    const [start, end] = offsets;
    const size = shape.reduce((product, extent) => product * extent, 4);
    if (end - start !== size) fail(`${size} bytes for tensor ${name} [${shape.join(', ')}]`, `${end - start}`);
    if (end > data.length) fail(`at least ${end} bytes of data (tensor ${name})`, `${data.length}`);
    // Copied: the file’s bytes need not be aligned (and slice of a Buffer would not copy).
    weights.set(name, new Float32Array(new Uint8Array(data.subarray(start, end)).buffer));
    shapes.set(name, shape);
  }
  return { weights, shapes, metadata };
}

function parseHeader(
  bytes: Uint8Array,
  fail: (expected: string, got: string, cause?: unknown) => never,
): z.infer<typeof headerSchema> {
  try {
    return headerSchema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch (cause) {
    const problem = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message;
    return fail('a JSON header of float32 tensors', problem, cause);
  }
}

/** Writes beside the file and renames: a reader never sees half a file. */
export async function writeSafetensors(file: string, stored: StoredWeights): Promise<void> {
  const unfinished = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const handle = await open(unfinished, 'wx');
    try {
      await handle.writeFile(encodeSafetensors(stored));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(unfinished, file);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}

/** @throws {InvalidFileError} when the file is not safetensors of float32; the file system's error when it is not there. */
export async function readSafetensors(file: string): Promise<StoredWeights> {
  return decodeSafetensors(await readFile(file), file);
}
