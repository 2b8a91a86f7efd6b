import { type FileHandle, open, stat } from 'node:fs/promises';
import { InvalidFileError } from '../../core/errors.ts';
import { type JournalLine, parseJournal } from './journal.ts';

/** Bytes that are read at a time, more where one line is longer. */
const pieceBytes = 1 << 20;
/** Bytes of a file's beginning by which it is known again. The first event's time is among them. */
const beginningBytes = 256;

/** What a look at a journal found. */
export interface JournalNews {
  readonly lines: readonly JournalLine[];
  /** The file is another one than before: what was read of it is void, and these lines are its first. */
  readonly restarted: boolean;
  /** Bytes of the file that are not read yet; a torn last line counts among them. */
  readonly behindBytes: number;
}

/**
 * Follows a journal that somebody else writes: each look reads what came since the last one, a piece at a time, and
 * nothing twice. A torn last line waits until it is whole, or cut off by the study when it is opened again.
 */
export class JournalTail {
  readonly path: string;
  #offset = 0;
  #seq = 0;
  #piece = pieceBytes;
  #beginning: Buffer = Buffer.alloc(0);
  /** Of the file when it had nothing more to read; a file that is as it was is not opened. */
  #known = '';

  constructor(path: string) {
    this.path = path;
  }

  /** Events read so far. */
  get count(): number {
    return this.#seq;
  }

  /**
   * The next piece of the file; no lines when nothing whole came.
   * @throws {InvalidFileError} where the journal is damaged; a later look tries the same place again.
   */
  async look(): Promise<JournalNews> {
    try {
      const { ino, size, mtimeMs } = await stat(this.path);
      const identity = `${ino} ${size} ${mtimeMs}`;
      if (identity === this.#known) return { lines: [], restarted: false, behindBytes: size - this.#offset };
      const file = await open(this.path, 'r');
      const news = await this.#read(file).finally(() => file.close());
      this.#known = news.lines.length === 0 ? identity : '';
      return news;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return this.#nothing();
      throw error;
    }
  }

  async #read(file: FileHandle): Promise<JournalNews> {
    const { size } = await file.stat();
    const beginning = await bytesOf(file, 0, Math.min(size, beginningBytes));
    const known = Math.min(this.#beginning.length, this.#offset);
    const restarted = size < this.#offset || !beginning.subarray(0, known).equals(this.#beginning.subarray(0, known));
    if (restarted) this.#reset();
    this.#beginning = beginning;
    if (size === this.#offset) return { lines: [], restarted, behindBytes: 0 };
    const bytes = await bytesOf(file, this.#offset, Math.min(size - this.#offset, this.#piece));
    const { lines, validBytes } = parseJournal(bytes, { path: this.path, seq: this.#seq, offset: this.#offset });
    const isCut = this.#offset + bytes.length < size;
    this.#piece = validBytes === 0 && isCut ? this.#piece * 2 : pieceBytes;
    this.#offset += validBytes;
    this.#seq += lines.length;
    return { lines, restarted, behindBytes: size - this.#offset };
  }

  #nothing(): JournalNews {
    const restarted = this.#seq > 0;
    this.#reset();
    return { lines: [], restarted, behindBytes: 0 };
  }

  #reset(): void {
    this.#offset = 0;
    this.#seq = 0;
    this.#piece = pieceBytes;
    this.#beginning = Buffer.alloc(0);
    this.#known = '';
  }
}

/** The events of lines that a journal was found to have. @throws {InvalidFileError} when the file has changed there. */
export async function readLines(
  path: string,
  places: readonly { readonly seq: number; readonly start: number; readonly end: number }[],
): Promise<readonly JournalLine[]> {
  const file = await open(path, 'r');
  try {
    const found: JournalLine[] = [];
    for (const { seq, start, end } of places) {
      const bytes = await bytesOf(file, start, end + 1 - start);
      const [line] = parseJournal(bytes, { path, seq, offset: start }).lines;
      if (!line)
        throw new InvalidFileError(
          `${path}, line ${seq + 1}: expected the event that was read there before, got another`,
        );
      found.push(line);
    }
    return found;
  } finally {
    await file.close();
  }
}

async function bytesOf(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
