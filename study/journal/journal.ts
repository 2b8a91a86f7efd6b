import {
  closeSync,
  existsSync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { type Clock, systemClock } from '../../core/clock.ts';
import { canonicalJson } from '../../core/digest.ts';
import { ConfigError, EnvironmentError, InvalidFileError } from '../../core/errors.ts';
import { NumberList } from '../../core/number-list.ts';
import type { EventLog, EventSequence } from './event-log.ts';
import { type EventPayload, type JournalEvent, journalEventSchema } from './events.ts';

/** The journal of a study's folder. */
export function journalPath(folder: string): string {
  return join(folder, 'journal.jsonl');
}

/** Checksum of an event, over its canonical JSON without the checksum itself. */
function checksum(event: object): string {
  return crc32(canonicalJson(event)).toString(16).padStart(8, '0');
}

/** An event and the bytes of the file that hold its line. */
export interface JournalLine {
  readonly event: JournalEvent;
  readonly start: number;
  readonly end: number;
}

/** The events of a study's folder. @throws {ConfigError} when it holds no study. */
export function readStudyEvents(folder: string): readonly JournalEvent[] {
  const path = journalPath(folder);
  if (!existsSync(path))
    throw new ConfigError(`${folder}: expected the folder of a study (it has a journal.jsonl), found none`);
  const { events } = readJournal(path);
  if (events.length === 0) throw new ConfigError(`${path}: expected a study's journal, got an empty one`);
  return events;
}

/**
 * Reads a journal without writing to it. A last line that is torn (the process was killed while
 * writing) is left out: nothing was ever answered on its strength. So is everything from the first zero byte on,
 * which is what a file system leaves of lines that the machine lost power before writing.
 * @throws {InvalidFileError} naming the line when anything before the tail is damaged.
 */
export function readJournal(path: string): { readonly events: readonly JournalEvent[] } {
  return { events: [...journalEvents(path)] };
}

/** {@link readJournal}, an event at a time: who stops early has read no more than it needed. */
export function* journalEvents(path: string): Generator<JournalEvent> {
  const descriptor = openSync(path, 'r');
  try {
    for (const { event } of linesOf(descriptor, { path, seq: 0, offset: 0 })) yield event;
  } finally {
    closeSync(descriptor);
  }
}

/** Bytes that are read at a time, more where one line is longer. */
const pieceBytes = 1 << 20;

interface JournalPlace {
  readonly path: string;
  /** Number of the first event, and where its line begins. */
  readonly seq: number;
  readonly offset: number;
}

/** The whole lines of an open journal from a place on. */
function* linesOf(descriptor: number, { path, ...from }: JournalPlace): Generator<JournalLine> {
  const { size } = fstatSync(descriptor);
  let { seq, offset } = from;
  for (let length = pieceBytes; offset < size;) {
    const piece = bytesAt(descriptor, offset, Math.min(length, size - offset));
    const { lines, validBytes } = parseJournal(piece, { path, seq, offset });
    yield* lines;
    if (offset + piece.length >= size || piece.length === 0) return;
    length = validBytes === 0 ? 2 * length : pieceBytes;
    seq += lines.length;
    offset += validBytes;
  }
}

function bytesAt(descriptor: number, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const read = readSync(descriptor, bytes, filled, length - filled, offset + filled);
    if (read === 0) break;
    filled += read;
  }
  return bytes.subarray(0, filled);
}

/**
 * The whole lines of a piece of a journal that begins where a line does; what is left out at its end is as of {@link readJournal}.
 * @param at the file, the number of the piece's first event and its place in the file.
 * @returns the lines, and how many bytes of the piece they are.
 * @throws {InvalidFileError} naming the line when anything before the tail is damaged.
 */
export function parseJournal(
  bytes: Buffer,
  { path, seq, offset }: JournalPlace,
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

/** Text of events that are kept as they are, in bytes. The journal of most studies is shorter. */
const keptBytes = 4 << 20;

/**
 * The events of a journal, read from it when they are asked for. Of each only its place is kept, 8 bytes; those
 * asked for last are kept whole.
 */
class StoredEvents implements EventSequence {
  readonly #path: string;
  readonly #descriptor: number;
  /** Where each line begins. */
  readonly #starts = new NumberList();
  /** Where the last one ends. */
  #end = 0;
  /** By place, the one asked for last at the end. */
  readonly #kept = new Map<number, { readonly event: JournalEvent; readonly bytes: number }>();
  #keptBytes = 0;

  constructor(path: string, descriptor: number) {
    this.#path = path;
    this.#descriptor = descriptor;
    for (const { event, end } of linesOf(descriptor, { path, seq: 0, offset: 0 })) this.push(event, end + 1);
  }

  get length(): number {
    return this.#starts.length;
  }

  /** Bytes of the file that hold whole, valid lines. */
  get bytes(): number {
    return this.#end;
  }

  /** @param end where the event's line ends in the file, its line feed included. */
  push(event: JournalEvent, end: number): void {
    this.#keep(this.length, event, end - this.#end);
    this.#starts.push(this.#end);
    this.#end = end;
  }

  /** @throws {InvalidFileError} when the file is no longer what was written or read there. */
  at(index: number): JournalEvent | undefined {
    const place = index < 0 ? this.length + index : index;
    const start = this.#starts.at(place);
    if (start === undefined) return undefined;
    const known = this.#kept.get(place);
    const bytes = known?.bytes ?? (this.#starts.at(place + 1) ?? this.#end) - start;
    const event = known?.event ?? this.#read(place, start, bytes);
    this.#keep(place, event, bytes);
    return event;
  }

  *[Symbol.iterator](): Generator<JournalEvent> {
    let place = 0;
    while (place < this.length) {
      const known = this.#kept.get(place);
      if (known) {
        yield known.event;
        place++;
        continue;
      }
      for (const { event } of linesOf(this.#descriptor, {
        path: this.#path,
        seq: place,
        offset: this.#starts.at(place) as number,
      })) {
        yield event;
        place++;
        // From there on nothing need be read.
        if (this.#kept.has(place)) break;
      }
    }
  }

  #read(place: number, start: number, length: number): JournalEvent {
    const [line] = parseJournal(bytesAt(this.#descriptor, start, length), {
      path: this.#path,
      seq: place,
      offset: start,
    }).lines;
    if (!line)
      throw new InvalidFileError(
        `${this.#path}, line ${place + 1}: expected the event that was there before, got another`,
      );
    return line.event;
  }

  #keep(place: number, event: JournalEvent, bytes: number): void {
    if (!this.#kept.delete(place)) this.#keptBytes += bytes;
    this.#kept.set(place, { event, bytes });
    for (const [oldest, { bytes: freed }] of this.#kept) {
      if (this.#keptBytes <= keptBytes) break;
      this.#kept.delete(oldest);
      this.#keptBytes -= freed;
    }
  }
}

/**
 * The append-only record of a study; a study is the replay of it. One writer at a time (the study
 * holds a lease on the folder). An event is in the file when its append returns, so it survives this process; it is
 * on disk, where it survives the machine, when {@link Journal.durable} resolves. All that was appended meanwhile shares
 * one fsync, which takes milliseconds.
 */
export class Journal implements EventLog {
  readonly path: string;
  readonly #descriptor: number;
  readonly #clock: Clock;
  readonly #events: StoredEvents;
  #syncing: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #failure: EnvironmentError | undefined;
  #closed = false;

  /** Opens or creates the file, cutting off a torn last line. */
  constructor(path: string, clock: Clock = systemClock) {
    this.path = path;
    this.#clock = clock;
    mkdirSync(dirname(path), { recursive: true });
    this.#descriptor = openSync(path, 'a+');
    this.#events = new StoredEvents(path, this.#descriptor);
    ftruncateSync(this.#descriptor, this.#events.bytes);
  }

  /** Until it is closed. */
  get events(): EventSequence {
    return this.#events;
  }

  append(payload: EventPayload): JournalEvent {
    const event = { schema: 1, seq: this.#events.length, tMs: this.#clock.now(), ...payload } as JournalEvent;
    const line = Buffer.from(`${JSON.stringify({ ...event, crc: checksum(event) })}\n`);
    this.#write(line);
    this.#events.push(event, this.#events.bytes + line.length);
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
    } catch (cause) {
      ftruncateSync(this.#descriptor, this.#events.bytes);
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
