import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { type CsvRow, parseCsv } from '../../core/csv.ts';
import { InvalidFileError } from '../../core/errors.ts';

/** A table of runs on disk to which finished ones are appended, so that whoever is interrupted goes on. */
export class RunTable<Column extends string> {
  readonly path: string;
  readonly #columns: readonly Column[];

  /** The table begins with its first row where there is none. @throws {InvalidFileError} when there is one of other columns, or in another order. */
  constructor(path: string, columns: readonly Column[]) {
    this.path = path;
    this.#columns = columns;
    if (!existsSync(path)) return;
    const { columns: found } = parseCsv(this.text(), path);
    if (found.join() !== columns.join())
      throw new InvalidFileError(`${path}: expected the columns ${columns.join()}, got ${found.join()}`);
  }

  text(): string {
    return existsSync(this.path) ? readFileSync(this.path, 'utf8') : `${this.#columns.join(',')}\n`;
  }

  rows(): readonly CsvRow[] {
    return parseCsv(this.text(), this.path).rows;
  }

  add(row: Readonly<Record<Column, string | number>>): void {
    if (!existsSync(this.path)) appendFileSync(this.path, this.text());
    appendFileSync(this.path, `${this.#columns.map((name) => row[name]).join(',')}\n`);
  }
}
