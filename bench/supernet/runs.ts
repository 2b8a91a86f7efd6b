import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';

/** One network scored once. */
export const rowSchema = z.strictObject({
  /** Names the run: what was trained, for how long and from which seed. */
  run: z.string(),
  /** Place in the sample. */
  network: z.int(),
  accuracy: z.number(),
  crossEntropy: z.number(),
  /** Median of a step of 32 examples; of a supernet one of a pass. */
  stepMs: z.number(),
  /** Of the training, and what scoring by inherited weights took. */
  seconds: z.number(),
});
export type Row = z.output<typeof rowSchema>;

/** Rows of a file, a JSON object a line; a run that is interrupted goes on where they end. */
export class Rows {
  readonly #file: string;
  readonly #rows: Row[];

  constructor(file: string) {
    this.#file = file;
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
    this.#rows = lines.map((line) => rowSchema.parse(JSON.parse(line)));
  }

  /** The rows of a run by network, as many as there are. */
  of(run: string): readonly Row[] {
    return this.#rows.filter((row) => row.run === run).toSorted((a, b) => a.network - b.network);
  }

  add(row: Row): void {
    appendFileSync(this.#file, `${JSON.stringify(row)}\n`);
    this.#rows.push(row);
  }
}
