import { closeSync, fstatSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
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

/**
 * Reads a journal without writing to it. A last line that is torn (the process was killed while
 * writing) is left out: nothing was ever answered on its strength.
 * @throws {InvalidFileError} naming the line when anything before the tail is damaged.
 */
export function readJournal(path: string): ReadJournal {
  const bytes = readFileSync(path);
  const events: JournalEvent[] = [];
  let start = 0;
  while (start < bytes.length) {
    const newline = bytes.indexOf(10, start);
    const end = newline === -1 ? bytes.length : newline;
    const isLast = newline === -1 || newline === bytes.length - 1;
    const where = `${path}, line ${events.length + 1}`;
    const parsed = newline === -1 ? undefined : parseLine(bytes.toString('utf8', start, end), where);
    if (typeof parsed !== 'object') {
      if (isLast) break;
      throw new InvalidFileError(`${where}: expected a journal event, got a damaged line (${parsed})`);
    }
    if (parsed.seq !== events.length)
      throw new InvalidFileError(`${where}: expected event ${events.length}, got event ${parsed.seq}`);
    events.push(parsed);
    start = end + 1;
  }
  return { events, validBytes: start };
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
 * holds a lease on the folder). Every append is on disk (fsync) before it returns.
 */
export class Journal {
  readonly path: string;
  readonly #descriptor: number;
  readonly #clock: Clock;
  readonly #events: JournalEvent[];

  /** Opens or creates the file, cutting off a torn last line. */
  constructor(path: string, clock: Clock = systemClock) {
    this.path = path;
    this.#clock = clock;
    mkdirSync(dirname(path), { recursive: true });
    this.#descriptor = openSync(path, 'a+');
    const { events, validBytes } = readJournal(path);
    ftruncateSync(this.#descriptor, validBytes);
    this.#events = [...events];
  }

  get events(): readonly JournalEvent[] {
    return this.#events;
  }

  append(payload: EventPayload): JournalEvent {
    const event = { schema: 1, seq: this.#events.length, tMs: this.#clock.now(), ...payload } as JournalEvent;
    this.#write(Buffer.from(`${JSON.stringify({ ...event, crc: checksum(event) })}\n`));
    this.#events.push(event);
    return event;
  }

  /** Whole and on disk, or not at all: a line half-written (a full disk, say) is cut off again. */
  #write(line: Uint8Array): void {
    const { size } = fstatSync(this.#descriptor);
    try {
      for (let written = 0; written < line.length;) written += writeSync(this.#descriptor, line, written);
      fsyncSync(this.#descriptor);
    } catch (cause) {
      ftruncateSync(this.#descriptor, size);
      throw new EnvironmentError(`${this.path}: expected to append an event, but ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
