import { InvalidFileError } from './errors.ts';

/** A row of text. */
export interface CsvRow {
  /** By column. */
  readonly cells: Readonly<Record<string, string>>;
  /** Where it begins in the text, from 1. */
  readonly line: number;
}

/** A table of text. */
export interface CsvTable {
  readonly columns: readonly string[];
  readonly rows: readonly CsvRow[];
}

/**
 * Comma-separated values with a header, after RFC 4180: cells may stand in double quotes, inside which commas, line
 * breaks and doubled quotes are text. Blank lines are skipped; lines may end in CR LF or LF.
 * @param where names the text in errors, e.g. its path.
 * @throws {InvalidFileError} naming the line, for rows of another length, an open quote, a repeated or missing header.
 */
export function parseCsv(text: string, where: string): CsvTable {
  const lines = splitCells(text.replace(/^\uFEFF/, ''), where);
  const [header, ...body] = lines;
  if (!header) throw new InvalidFileError(`${where}: expected a table with a header, got no lines`);
  const columns = header.cells;
  const twice = columns.find((name, index) => columns.indexOf(name) !== index);
  if (twice !== undefined) throw new InvalidFileError(`${where}: expected distinct columns, got ${twice} twice`);
  const rows = body.map(({ cells, line }) => {
    if (cells.length !== columns.length)
      throw new InvalidFileError(`${where}: line ${line}: expected ${columns.length} cells, got ${cells.length}`);
    return { cells: Object.fromEntries(columns.map((name, index) => [name, cells[index] ?? ''])), line };
  });
  return { columns, rows };
}

interface Line {
  readonly cells: readonly string[];
  /** Where it begins, from 1. */
  readonly line: number;
}

function splitCells(text: string, where: string): readonly Line[] {
  const lines: Line[] = [];
  let cells: string[] = [];
  let start = 1;
  let line = 1;
  // A cell in quotes or one without, then what ends it.
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/gy;
  while (cell.lastIndex < text.length) {
    const match = cell.exec(text);
    if (!match) throw new InvalidFileError(`${where}: line ${line}: expected a comma or a line break after a cell`);
    const [all, quoted, plain = '', end] = match;
    cells.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    line += all.split('\n').length - 1;
    if (end === ',') {
      // A comma at the very end leaves an empty cell behind it.
      if (cell.lastIndex === text.length) cells.push('');
      else continue;
    }
    if (cells.length > 1 || cells[0] !== '' || quoted !== undefined) lines.push({ cells, line: start });
    cells = [];
    start = line;
  }
  if (cells.length > 0) lines.push({ cells, line: start });
  return lines;
}
