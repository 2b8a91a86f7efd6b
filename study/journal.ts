import { closeSync, fsync, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { type Clock, systemClock } from '../core/clock.ts';
import { canonicalJson } from '../core/digest.ts';
import { EnvironmentError, InvalidFileError } from '../core/errors.ts';
import { type EventPayload, type JournalEvent, journalEventSchema } from './events.ts';

/** The journal of a study's folder. */
export function journalPath(folder: string): string {
  return join(folder, 'journal.jsonl');
}

/** Checksum of an event, over its canonical JSON without the checksum itself. */
function checksum(event: object): string {
  return crc32(canonicalJson(event)).toString(16).padStart(8, '0');
}

interface ReadJournal {
  readonly events: readonly JournalEvent[];
  /** Bytes of the file that hold whole, valid lines. */
  readonly validBytes: number;
}

/** An event and the bytes of the file that hold its line. */
export interface JournalLine {
  readonly event: JournalEvent;
  readonly start: number;
  readonly end: number;
}

/**
 * Reads a journal without writing to it. A last line that is torn (the process was killed while
 * writing) is left out: nothing was ever answered on its strength. So is everything from the first zero byte on,
 * which is what a file system leaves of lines that the machine lost power before writing.
 * @throws {InvalidFileError} naming the line when anything before the tail is damaged.
 */
export function readJournal(path: string): ReadJournal {
  const { lines, validBytes } = parseJournal(readFileSync(path), { path, seq: 0, offset: 0 });
  return { events: lines.map(({ event }) => event), validBytes };
}

/**
 * The whole lines of a piece of a journal that begins where a line does; what is left out at its end is as of {@link readJournal}.
 * @param at the file, the number of the piece's first event and its place in the file.
 * @returns the lines, and how many bytes of the piece they are.
 * @throws {InvalidFileError} naming the line when anything before the tail is damaged.
 */
export function parseJournal(
  bytes: Buffer,
  { path, seq, offset }: { readonly path: string; readonly seq: number; readonly offset: number },
): { readonly lines: readonly JournalLine[]; readonly validBytes: number } {
  const lines: JournalLine[] = [];
  let start = 0;
  while (start < bytes.length) {
    const newline = bytes.indexOf(10, start);
    const end = newline === -1 ? bytes.length : newline;
    if (bytes.subarray(start, end).includes(0)) break;
    const isLast = newline === -1 || newline === bytes.length - 1;
    const expected = seq + lines.length;
    const where = `${path}, line ${expected + 1}`;
    const parsed = newline === -1 ? undefined : parseLine(bytes.toString('utf8', start, end), where);
    if (typeof parsed !== 'object') {
      if (isLast) break;
      throw new InvalidFileError(`${where}: expected a journal event, got a damaged line (${parsed})`);
    }
    if (parsed.seq !== expected)
      throw new InvalidFileError(`${where}: expected event ${expected}, got event ${parsed.seq}`);
    lines.push({ event: parsed, start: offset + start, end: offset + end });
    start = end + 1;
  }
  return { lines, validBytes: start };
}

/** @returns the event, or why the line does not hold what was once written. @throws {InvalidFileError} for an event we do not know. */
function parseLine(line: string, where: string): JournalEvent | string {
  let data: { crc?: unknown };
  try {
    data = JSON.parse(line) as { crc?: unknown };
  } catch {
    return 'not JSON';
  }
  const { crc, ...event } = data;
  if (crc !== checksum(event)) return 'its checksum does not match';
  const result = journalEventSchema.safeParse(event);
  // Whole, so not torn: another version wrote it, and to cut it off would lose it.
  if (!result.success)
    throw new InvalidFileError(`${where}: expected an event this version knows\n${z.prettifyError(result.error)}`);
  return result.data;
}

/**
 * The append-only record of a study; a study is the replay of it. One writer at a time (the study
 * holds a lease on the folder). An event is in the file when its append returns, so it survives this process; it is
 * on disk, where it survives the machine, when {@link Journal.durable} resolves. All that was appended meanwhile shares
 * one fsync, which takes milliseconds.
 */
export class Journal {
  readonly path: string;
  readonly #descriptor: number;
  readonly #clock: Clock;
  readonly #events: JournalEvent[];
  #syncing: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #failure: EnvironmentError | undefined;
  #closed = false;
  /** Length of the file, which nobody else writes. */
  #bytes: number;

  /** Opens or creates the file, cutting off a torn last line. */
  constructor(path: string, clock: Clock = systemClock) {
    this.path = path;
    this.#clock = clock;
    mkdirSync(dirname(path), { recursive: true });
    this.#descriptor = openSync(path, 'a+');
    const { events, validBytes } = readJournal(path);
    ftruncateSync(this.#descriptor, validBytes);
    this.#bytes = validBytes;
    this.#events = [...events];
  }

  get events(): readonly JournalEvent[] {
    return this.#events;
  }

  append(payload: EventPayload): JournalEvent {
    const event = { schema: 1, seq: this.#events.length, tMs: this.#clock.now(), ...payload } as JournalEvent;
    this.#write(Buffer.from(`${JSON.stringify({ ...event, crc: checksum(event) })}\n`));
    this.#events.push(event);
    // Nobody need ask for it; a failure is thrown by the next append.
    this.durable().catch(() => {});
    return event;
  }

  /**
   * Resolves when every event appended so far is on disk.
   * @throws {EnvironmentError} when the disk refuses.
   */
  durable(): Promise<void> {
    // An fsync under way may have begun before the last append: those who come meanwhile share the one after it.
    this.#next ??= (this.#syncing ?? Promise.resolve()).then(() => {
      this.#syncing = this.#next;
      this.#next = undefined;
      return this.#sync();
    });
    return this.#next;
  }

  async #sync(): Promise<void> {
    try {
      if (!this.#closed) await promisify(fsync)(this.#descriptor);
    } catch (cause) {
      this.#failure = this.#refused(cause);
      throw this.#failure;
    }
  }

  #refused(cause: unknown): EnvironmentError {
    return new EnvironmentError(`${this.path}: expected to append an event, but ${(cause as Error).message}`, {
      cause,
    });
  }

  /** Whole or not at all: a line half-written (a full disk, say) is cut off again. */
  #write(line: Uint8Array): void {
    if (this.#failure) throw this.#failure;
    try {
      for (let written = 0; written < line.length;) written += writeSync(this.#descriptor, line, written);
      this.#bytes += line.length;
    } catch (cause) {
      ftruncateSync(this.#descriptor, this.#bytes);
      throw this.#refused(cause);
    }
  }

  /**
   * Closes the file with all of it on disk.
   * @throws {EnvironmentError} when the disk refuses, or did before: it says so once only. The file is closed all the same.
   */
  close(): void {
    const descriptor = this.#descriptor;
    try {
      if (this.#failure) throw this.#failure;
      fsyncSync(descriptor);
    } catch (cause) {
      this.#failure ??= this.#refused(cause);
      throw this.#failure;
    } finally {
      this.#closed = true;
      // Not under an fsync that has begun: its number may be another file's by then.
      if (this.#syncing === undefined) closeSync(descriptor);
      else void this.#syncing.catch(() => {}).then(() => closeSync(descriptor));
    }
  }
}
