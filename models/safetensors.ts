import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
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
export function encodeSafetensors(stored: StoredWeights): Uint8Array {
  return Buffer.concat([...parts(stored)]);
}

/** What a file is made of, in order: its header, then tensor by tensor. */
function* parts({ weights, shapes, metadata }: StoredWeights): Generator<Uint8Array> {
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
  const bytes = Buffer.alloc(8 + headerLength, ' ');
  bytes.writeBigUInt64LE(BigInt(headerLength));
  json.copy(bytes, 8);
  yield bytes;
  for (const name of names) yield bytesOf(weights.get(name) as Float32Array);
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Says what was expected of a file, and what it is instead. */
type Fail = (expected: string, got: string, cause?: unknown) => never;

function failureOf(where: string): Fail {
  return (expected, got, cause) => {
    throw new InvalidFileError(`${where}: expected ${expected}, got ${got}`, { cause });
  };
}

/** What a file holds and where: offsets are from the file's begin. */
interface Layout extends Omit<StoredWeights, 'weights'> {
  readonly starts: ReadonlyMap<string, number>;
}

const prefixBytes = 8;

/**
 * Reads the bytes of a safetensors file of float32 tensors.
 * @param where names the file in errors.
 * @throws {InvalidFileError} when it is cut short, is not safetensors, or holds other types.
 */
export function decodeSafetensors(bytes: Uint8Array, where: string): StoredWeights {
  const fail = failureOf(where);
  const dataStart = dataStartOf(bytes, bytes.length, fail);
  const { starts, shapes, metadata } = layoutOf(bytes.subarray(prefixBytes, dataStart), bytes.length, fail);
  const weights = new Map<string, Float32Array>();
  for (const [name, start] of starts) {
    // Copied: the file’s bytes need not be aligned.
    const values = new Float32Array(valuesOf(shapes.get(name)));
    bytesOf(values).set(bytes.subarray(start, start + values.byteLength));
    weights.set(name, values);
  }
  return { weights, shapes, metadata };
}

/** Where the data of a file begins. @param prefix its first bytes, 8 or more where it has so many. */
function dataStartOf(prefix: Uint8Array, size: number, fail: Fail): number {
  if (size < prefixBytes) fail('a safetensors file', `${size} bytes`);
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  const headerLength = Number(view.getBigUint64(0, true));
  if (headerLength > size - prefixBytes)
    fail('a safetensors header', `${size} bytes where the header alone has ${headerLength}`);
  return prefixBytes + headerLength;
}

function layoutOf(header: Uint8Array, size: number, fail: Fail): Layout {
  const { __metadata__: metadata = {}, ...entries } = parseHeader(header, fail);
  const dataStart = prefixBytes + header.length;
  const starts = new Map<string, number>();
  const shapes = new Map<string, readonly number[]>();
  for (const [name, { shape, data_offsets: offsets }] of Object.entries(entries)) {
    const [start, end] = offsets;
    const bytes = 4 * valuesOf(shape);
    if (end - start !== bytes) fail(`${bytes} bytes for tensor ${name} [${shape.join(', ')}]`, `${end - start}`);
    if (end > size - dataStart) fail(`at least ${end} bytes of data (tensor ${name})`, `${size - dataStart}`);
    starts.set(name, dataStart + start);
    shapes.set(name, shape);
  }
  return { starts, shapes, metadata };
}

function valuesOf(shape: readonly number[] = []): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

function parseHeader(bytes: Uint8Array, fail: Fail): z.infer<typeof headerSchema> {
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
      for (const part of parts(stored)) await handle.writeFile(part);
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

/** Reading takes no more than 2 GiB at once. */
const largestPiece = 2 ** 30;

/**
 * Reads a file tensor by tensor, of any size.
 * @param pieceBytes read at once, at most.
 * @throws {InvalidFileError} when the file is not safetensors of float32; the file system's error when it is not there.
 */
export async function readSafetensors(file: string, pieceBytes: number = largestPiece): Promise<StoredWeights> {
  const fail = failureOf(file);
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const read = (into: Uint8Array, start: number) => readInto(handle, { into, start, pieceBytes, fail });
    const prefix = new Uint8Array(Math.min(prefixBytes, size));
    await read(prefix, 0);
    const header = new Uint8Array(dataStartOf(prefix, size, fail) - prefixBytes);
    await read(header, prefixBytes);
    const { starts, shapes, metadata } = layoutOf(header, size, fail);
    const weights = new Map<string, Float32Array>();
    for (const [name, start] of starts) {
      const values = new Float32Array(valuesOf(shapes.get(name)));
      await read(bytesOf(values), start);
      weights.set(name, values);
    }
    return { weights, shapes, metadata };
  } finally {
    await handle.close();
  }
}

async function readInto(
  handle: FileHandle,
  { into, start, pieceBytes, fail }: { into: Uint8Array; start: number; pieceBytes: number; fail: Fail },
): Promise<void> {
  for (let done = 0; done < into.length;) {
    const length = Math.min(pieceBytes, into.length - done);
    const { bytesRead } = await handle.read(into, done, length, start + done);
    if (bytesRead === 0)
      fail(`${start + into.length} bytes`, `${start + done}, for the file was cut while it was read`);
    done += bytesRead;
  }
}
