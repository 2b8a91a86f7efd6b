import { type CommandEvent, eventPrefix, eventSchema } from './protocol.ts';

/** A longer line is no event. */
const maxLineBytes = 64 * 1024;
const newline = 10;

/** Tells events from log in a program's stdout, in whatever pieces it comes. */
export class EventLines {
  /** Lines that began like an event and were none; they are log. */
  malformed = 0;
  readonly #onEvent: (event: CommandEvent) => void;
  readonly #onLog: (bytes: Buffer) => void;
  /** A line whose end has not come yet. */
  #begun: Buffer = Buffer.alloc(0);
  /** Inside a line that is too long for an event. */
  #overlong = false;

  constructor(onEvent: (event: CommandEvent) => void, onLog: (bytes: Buffer) => void) {
    this.#onEvent = onEvent;
    this.#onLog = onLog;
  }

  write(chunk: Buffer): void {
    const bytes = this.#begun.length === 0 ? chunk : Buffer.concat([this.#begun, chunk]);
    const end = bytes.lastIndexOf(newline) + 1;
    if (end > 0) this.#takeLines(bytes.subarray(0, end));
    const rest = bytes.subarray(end);
    this.#overlong = rest.length > maxLineBytes || (this.#overlong && end === 0);
    if (this.#overlong) this.#onLog(rest);
    this.#begun = this.#overlong ? Buffer.alloc(0) : rest;
  }

  /** A last line without its end. */
  close(): void {
    if (this.#begun.length > 0) this.#takeLines(this.#begun);
  }

  /** Whole lines. What lies between events is logged in one piece: some programs print a lot. */
  #takeLines(lines: Buffer): void {
    let logged = 0;
    // The rest of an overlong line ends with the first newline.
    let start = this.#overlong ? lines.indexOf(newline) + 1 : 0;
    for (start = this.#nextLike(lines, start); start >= 0; start = this.#nextLike(lines, start)) {
      const newlineAt = lines.indexOf(newline, start);
      const end = newlineAt < 0 ? lines.length : newlineAt + 1;
      const event = this.#parse(lines.subarray(start, end).toString());
      if (event) {
        if (start > logged) this.#onLog(lines.subarray(logged, start));
        logged = end;
        this.#onEvent(event);
      }
      start = end;
    }
    if (logged < lines.length) this.#onLog(lines.subarray(logged));
  }

  /** Where the next line that looks like an event begins, from the beginning of a line on; -1 when none does. */
  #nextLike(lines: Buffer, from: number): number {
    for (let at = lines.indexOf(eventPrefix, from); at >= 0; at = lines.indexOf(eventPrefix, at + 1))
      if (at === from || lines[at - 1] === newline) return at;
    return -1;
  }

  #parse(line: string): CommandEvent | undefined {
    try {
      return eventSchema.parse(JSON.parse(line.slice(eventPrefix.length)));
    } catch {
      this.malformed++;
      return undefined;
    }
  }
}
