import { closeSync, openSync, writeSync } from 'node:fs';

/** Bytes of the most recent output that messages may quote. */
const recentBytes = 4096;

/**
 * A program's output in a file of limited size: its beginning as it comes, its end when closed, and
 * between them how much was left out. A program that prints without end fills neither disk nor memory.
 */
export class CappedLog {
  readonly #file: number;
  readonly #half: number;
  #headBytes = 0;
  #tail: Buffer[] = [];
  #tailBytes = 0;
  #omittedBytes = 0;
  #recent: Buffer = Buffer.alloc(0);

  /** @param capBytes of the file; the line that tells what was left out comes on top. */
  constructor(path: string, capBytes: number) {
    this.#file = openSync(path, 'w');
    this.#half = Math.floor(capBytes / 2);
  }

  write(chunk: Buffer): void {
    this.#recent = Buffer.concat([this.#recent, chunk]).subarray(-recentBytes);
    const head = chunk.subarray(0, this.#half - this.#headBytes);
    if (head.length > 0) {
      writeSync(this.#file, head);
      this.#headBytes += head.length;
    }
    if (head.length < chunk.length) this.#keep(chunk.subarray(head.length));
  }

  /** The last lines, for messages. */
  lastLines(count: number): string {
    return this.#recent.toString().trim().split('\n').slice(-count).join('\n');
  }

  close(): void {
    const tail = Buffer.concat(this.#tail);
    const kept = tail.subarray(-this.#half);
    const omitted = this.#omittedBytes + tail.length - kept.length;
    if (omitted > 0) writeSync(this.#file, `\n[${omitted} bytes left out]\n`);
    writeSync(this.#file, kept);
    closeSync(this.#file);
  }

  /** Chunks are dropped whole, as soon as the later ones alone fill the tail. */
  #keep(chunk: Buffer): void {
    this.#tail.push(chunk);
    this.#tailBytes += chunk.length;
    for (let first = this.#tail[0]; first && this.#tailBytes - first.length >= this.#half; first = this.#tail[0]) {
      this.#tail.shift();
      this.#tailBytes -= first.length;
      this.#omittedBytes += first.length;
    }
  }
}
