import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { ConfigError, InvalidFileError } from '../core/errors.ts';

/** Bytes read and unpacked at once: what a loader holds beside the pixels it fills. */
const pieceBytes = 2 ** 18;

/**
 * Files named one by one, or those of a folder whose names match.
 * @throws {ConfigError} when a path does not exist or a folder has no such file.
 */
export function filesOf(paths: string | readonly string[], baseDirectory: string, pattern: RegExp): string[] {
  return [paths].flat().flatMap((path) => {
    const full = existingPath(path, baseDirectory);
    if (!statSync(full).isDirectory()) return [full];
    const found = readdirSync(full)
      .filter((name) => pattern.test(name))
      .toSorted();
    if (found.length === 0) throw new ConfigError(`data: expected files like ${pattern.source} in ${full}, found none`);
    return found.map((name) => join(full, name));
  });
}

/** Absolute form of a path. @throws {ConfigError} when nothing is there. */
export function existingPath(path: string, baseDirectory: string): string {
  const full = resolve(baseDirectory, path);
  if (!existsSync(full)) throw new ConfigError(`data: expected a file or folder, found nothing at ${full}`);
  return full;
}

/**
 * Bytes of a file in order, in pieces of at most 256 KiB; gzip is unpacked, and told by its magic number, not by
 * the file's name.
 * @throws {ConfigError} when the file cannot be read; {InvalidFileError} when it is damaged gzip.
 */
export async function* unpackFile(path: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const isPacked = await isGzip(path);
  const packed = createReadStream(path, { signal, highWaterMark: pieceBytes });
  try {
    // The pipeline only ties the two streams' lives together: errors reach the loop through the iterator.
    const bytes = isPacked ? pipeline(packed, createGunzip({ chunkSize: pieceBytes }), () => {}) : packed;
    for await (const piece of bytes) yield piece as Uint8Array;
  } catch (cause) {
    const { code = '', message } = cause as NodeJS.ErrnoException;
    if (!code.startsWith('Z_')) throw cause;
    throw new InvalidFileError(`${path}: expected a whole gzip file, got a damaged one (${message})`, { cause });
  }
}

async function isGzip(path: string): Promise<boolean> {
  const file = await open(path).catch((cause: NodeJS.ErrnoException) => {
    throw new ConfigError(`${path}: expected a readable file, got ${cause.code}`, { cause });
  });
  try {
    const start = new Uint8Array(2);
    await file.read(start, 0, 2, 0);
    return start[0] === 0x1f && start[1] === 0x8b;
  } finally {
    await file.close();
  }
}

/**
 * Size of a file once unpacked. A gzip file is unpacked for it without being kept, because what it says of its own
 * size is modulo 2³² and need not be true.
 * @param atMost counting stops beyond it, so that a file that unpacks to terabytes costs no more than is allowed.
 */
export async function unpackedSize(path: string, atMost: number, signal?: AbortSignal): Promise<number> {
  if (!(await isGzip(path))) return (await stat(path)).size;
  let size = 0;
  for await (const piece of unpackFile(path, signal)) {
    size += piece.length;
    if (size > atMost) break;
  }
  return size;
}

/** The first `length` bytes of a file once unpacked, or all of a shorter one. */
export async function unpackStart(path: string, length: number, signal?: AbortSignal): Promise<Buffer> {
  const start = Buffer.alloc(length);
  let filled = 0;
  for await (const piece of unpackFile(path, signal)) {
    start.set(piece.subarray(0, length - filled), filled);
    filled = Math.min(length, filled + piece.length);
    if (filled === length) break;
  }
  return start.subarray(0, filled);
}

/**
 * Fills an array with the bytes from `offset` on, which a size taken before says are there.
 * @throws {InvalidFileError} when the file has become shorter since.
 */
export async function unpackInto(
  target: Uint8Array,
  path: string,
  offset: number,
  signal?: AbortSignal,
): Promise<void> {
  let position = -offset;
  for await (const piece of unpackFile(path, signal)) {
    const wanted = piece.subarray(Math.max(0, -position), Math.max(0, target.length - position));
    if (wanted.length > 0) target.set(wanted, Math.max(0, position));
    position += piece.length;
    if (position >= target.length) return;
  }
  if (position < target.length) throw changedWhileRead(path);
}

/** A file that was measured first, and then held something else. */
export function changedWhileRead(path: string): InvalidFileError {
  return new InvalidFileError(`${path}: expected a file that nobody writes to, got one that changed while it was read`);
}

/** Longest line of a text file, in bytes. */
const longestLine = 2 ** 26;
const lineFeed = 0x0a;

/**
 * Lines of a text file once unpacked, counted from 1, without line ends, surrounding white space and a byte order mark;
 * blank ones are left out.
 * @throws {InvalidFileError} for a line of more than 64 MiB.
 */
export async function* unpackLines(
  path: string,
  signal?: AbortSignal,
): AsyncGenerator<{ readonly number: number; readonly bytes: Buffer }> {
  let number = 1;
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (const piece of unpackFile(path, signal)) {
    let start = 0;
    for (let end = piece.indexOf(lineFeed); end >= 0; end = piece.indexOf(lineFeed, start)) {
      const bytes = trimmed([...parts, piece.subarray(start, end)]);
      if (bytes.length > 0) yield { number, bytes };
      number++;
      parts = [];
      held = 0;
      start = end + 1;
    }
    held += piece.length - start;
    if (held > longestLine)
      throw new InvalidFileError(`${path}: line ${number}: expected at most ${longestLine} bytes, got more`);
    parts.push(piece.subarray(start));
  }
  const bytes = trimmed(parts);
  if (bytes.length > 0) yield { number, bytes };
}

/** A line put together, without what is not text at either end. */
function trimmed(parts: readonly Uint8Array[]): Buffer {
  const [only] = parts;
  const line =
    only && parts.length === 1 ? Buffer.from(only.buffer, only.byteOffset, only.length) : Buffer.concat(parts);
  const isMarked = line[0] === 0xef && line[1] === 0xbb && line[2] === 0xbf;
  // Tabs stay: they may separate cells.
  const isSpace = (at: number) => line[at] === 0x20 || line[at] === 0x0d;
  let start = isMarked ? 3 : 0;
  let end = line.length;
  while (start < end && isSpace(start)) start++;
  while (end > start && isSpace(end - 1)) end--;
  return line.subarray(start, end);
}
