import { basename } from 'node:path';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import type { Split } from './dataset.ts';
import { changedWhileRead, filesOf, unpackLines } from './files.ts';
import { mostClasses, numberedClasses, requireEveryClass } from './labels.ts';
import { allocatePixels, type ImageShape, largestPixelBytes, shapeOfValues, toChannelsFirst } from './pixels.ts';
import type { CsvSource, LoadOptions } from './source.ts';
import type { DecodedImages } from './split.ts';

/** Longest cell that can be a number, in bytes. */
const longestCell = 64;

/**
 * Tables of pixels, plain or gzip: a row an image, a cell a value, one column for the class number. Values of
 * `range` become bytes (rounded to the nearest of 256 steps). Blank lines are skipped, a cell may stand in double quotes.
 * Labels without names are called by their number, and every number up to the largest must occur.
 *
 * A file is read twice, first for its rows and columns. Memory: one byte a value and two a label, allocated in between,
 * and one row as text.
 * @throws {ConfigError} for missing files, unknown columns, shapes that do not fit and too many pixels;
 * {InvalidFileError} naming file, line and column for cells that are no such values, and rows of another length.
 */
export async function loadCsv(source: CsvSource, options: LoadOptions): Promise<DecodedImages> {
  const { baseDirectory } = options;
  const pattern = /\.csv(\.gz)?$/;
  const trainFiles = filesOf(source.path, baseDirectory, pattern);
  const testFiles = source.test === undefined ? [] : filesOf(source.test, baseDirectory, pattern);
  const tables = [];
  for (const file of [...trainFiles, ...testFiles]) tables.push(await surveyTable(file, source, options.signal));
  const [first] = tables as [Table, ...Table[]];
  const odd = tables.find(({ columns }) => columns !== first.columns);
  if (odd)
    throw new InvalidFileError(
      `${odd.file}: expected ${first.columns} columns as in ${first.file}, got ${odd.columns}`,
    );
  const shape = shapeOfValues(first.columns - 1, source, first.file);
  const train = await readTables(tables.slice(0, trainFiles.length), shape, source, options);
  const test =
    testFiles.length > 0 ? await readTables(tables.slice(trainFiles.length), shape, source, options) : undefined;
  requireSpread(train, source, trainFiles.join(', '));
  const classNames = source.classNames ?? numberedClasses([train, ...(test ? [test] : [])]);
  requireEveryClass(train, classNames.length, trainFiles.join(', '));
  return { name: basename(first.file).replace(pattern, ''), ...shape, classNames, train, test };
}

/** What a first look at a file tells. */
interface Table {
  readonly file: string;
  /** The label's included. */
  readonly columns: number;
  readonly labelColumn: number;
  /** Rows of values, the header left out. */
  readonly rows: number;
}

async function surveyTable(
  file: string,
  { header, label, separator }: CsvSource,
  signal: AbortSignal | undefined,
): Promise<Table> {
  let lines = 0;
  let names: string[] = [];
  for await (const { bytes } of unpackLines(file, signal))
    if (lines++ === 0) names = bytes.toString().split(separator).map(unquoted);
  const rows = lines - Number(header);
  if (rows < 1)
    throw new InvalidFileError(
      `${file}: expected rows of pixel values, got ${lines === 0 ? 'an empty file' : 'a header alone'}`,
    );
  if (names.length < 2)
    throw new InvalidFileError(
      `${file}: line 1: expected several cells separated by ${JSON.stringify(separator)}, got one`,
    );
  return { file, columns: names.length, labelColumn: columnOf(label, names, file), rows };
}

function columnOf(label: string, names: readonly string[], file: string): number {
  if (label === 'last') return names.length - 1;
  if (label === 'first') return 0;
  const found = names.indexOf(label);
  if (found >= 0) return found;
  const shown = names.length > 6 ? [...names.slice(0, 3), '…', ...names.slice(-2)] : names;
  throw new ConfigError(`${file}: expected a column ${JSON.stringify(label)} for data.label, got ${shown.join(', ')}`);
}

const unquoted = (cell: string) => cell.trim().replace(/^"(.*)"$/, '$1');

async function readTables(
  tables: readonly Table[],
  shape: ImageShape,
  source: CsvSource,
  { signal, maxPixelBytes = largestPixelBytes }: LoadOptions,
): Promise<Split> {
  const count = tables.reduce((sum, { rows }) => sum + rows, 0);
  const pixels = allocatePixels(count, shape, tables.map(({ file }) => file).join(', '), maxPixelBytes);
  const labels = new Uint16Array(count);
  const values = pixels.length / count;
  let first = 0;
  for (const table of tables) {
    const end = first + table.rows;
    const into = { labels: labels.subarray(first, end), pixels: pixels.subarray(first * values, end * values) };
    await fillTable(into, table, source, signal);
    first = end;
  }
  if (source.layout === 'channels-last') toChannelsFirst(pixels, shape);
  return { count, pixels, labels };
}

async function fillTable(
  into: { readonly labels: Uint16Array; readonly pixels: Uint8Array },
  { file, columns, labelColumn, rows }: Table,
  { header, separator, range: [black, white], classNames }: CsvSource,
  signal: AbortSignal | undefined,
): Promise<void> {
  const classes = classNames?.length ?? mostClasses;
  const scale = 255 / (white - black);
  const values = new Float64Array(columns);
  let row = header ? -1 : 0;
  let written = 0;
  for await (const { number, bytes } of unpackLines(file, signal)) {
    if (row === rows) throw changedWhileRead(file);
    if (row >= 0) {
      parseRow(bytes, separator, values, `${file}: line ${number}`, row === 0 && !header);
      for (let column = 0; column < columns; column++) {
        const value = values[column] as number;
        const isLabel = column === labelColumn;
        const fits = isLabel
          ? Number.isInteger(value) && value >= 0 && value < classes
          : value >= black && value <= white;
        if (!fits) {
          const expected = isLabel ? `a class number from 0 to ${classes - 1}` : `a value from ${black} to ${white}`;
          throw new InvalidFileError(
            `${file}: line ${number}, column ${column + 1}: expected ${expected}, got ${value}`,
          );
        }
        if (isLabel) into.labels[row] = value;
        else into.pixels[written++] = Math.round((value - black) * scale);
      }
    }
    row++;
  }
  if (row !== rows) throw changedWhileRead(file);
}

/** @param mayBeHeader whether a word in this row suggests that it names the columns. */
function parseRow(bytes: Buffer, separator: string, values: Float64Array, where: string, mayBeHeader: boolean): void {
  const separatorByte = separator.charCodeAt(0);
  let column = 0;
  for (let start = 0; start <= bytes.length; column++) {
    // Whole numbers, the usual case, are added up on the way as long as the sum is exact.
    let value = 0;
    let at = start;
    for (; at < bytes.length; at++) {
      const digit = (bytes[at] as number) - 0x30;
      if (!(digit >= 0 && digit <= 9)) break;
      value = value * 10 + digit;
    }
    if ((at < bytes.length && bytes[at] !== separatorByte) || at === start || at - start > 15) {
      const end = bytes.indexOf(separatorByte, at);
      at = end < 0 ? bytes.length : end;
      value = numberOf(bytes.toString('utf8', start, Math.min(at, start + longestCell)));
    }
    if (Number.isNaN(value)) {
      const text = bytes.toString('utf8', start, Math.min(at, start + longestCell));
      const hint = mayBeHeader ? '; if the first row names the columns, say header: true' : '';
      throw new InvalidFileError(
        `${where}, column ${column + 1}: expected a number, got ${JSON.stringify(text)}${hint}`,
      );
    }
    // Writing past the end is ignored; the row is refused below.
    values[column] = value;
    start = at + 1;
  }
  if (column !== values.length)
    throw new InvalidFileError(`${where}: expected ${values.length} cells as in the first row, got ${column}`);
}

/** Not a number unless the whole cell is one in decimal notation. */
function numberOf(cell: string): number {
  const text = unquoted(cell);
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}

/** Values far too small for the range would become black images. */
function requireSpread({ pixels }: Split, { range: [black, white] }: CsvSource, where: string): void {
  if (pixels.some((value) => value > 1)) return;
  throw new ConfigError(
    `${where}: expected values that use the range from ${black} to ${white}, got none far above ${black}; give the values of black and white as data.range`,
  );
}
