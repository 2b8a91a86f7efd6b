import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { parseCsv } from '../core/csv.ts';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import type { Choices, Metrics } from '../core/trial.ts';
import { choicesKey } from './history.ts';
import { cellIdentity, cellText, nasBench201 } from './nas-bench-201.ts';
import { oneOf, type SpaceNode } from './space.ts';

/** Spaces whose points are rows of a table: NAS-Bench-201's cells, or whatever a table's key columns offer. */
export const tabularSpaceNames = ['nas-bench-201', 'table'] as const;
export type TabularSpaceName = (typeof tabularSpaceNames)[number];

/** Whether a space is one of a table's. */
export function isTabularSpace(name: string): name is TabularSpaceName {
  return (tabularSpaceNames as readonly string[]).includes(name);
}

const columnSchema = z.union([
  z.string(),
  z.strictObject({
    column: z.string(),
    /** Factor from the column's unit to the metric's, e.g. .01 for per cent. */ scale: z.number(),
  }),
]);

/** A table of results instead of trainings: the `trainer.table` section of a study file. */
export const tableSchema = z.strictObject({
  /** CSV with a header. */
  file: z.string(),
  /** The column that holds a cell's text (nas-bench-201), or a column for each decision (table). */
  key: z.union([z.string(), z.array(z.string()).min(1)]),
  /** Metrics by name, `accuracy` and `latencyMs.<target>` among them, with the columns they come from. */
  metrics: z.record(z.string(), columnSchema),
  /** The column of the seconds that a training took; trainings cost nothing without one. */
  cost: columnSchema.optional(),
});
export type TableConfig = z.output<typeof tableSchema>;

/** What a table knows of a point. */
export interface TableRow {
  readonly metrics: Metrics;
  readonly costS: number;
}

/** Results that were measured before, by choices. */
export interface ResultTable {
  readonly space: SpaceNode;
  readonly identity: (choices: Choices) => string;
  /** The point's row; undefined where the table has none. */
  readonly rowOf: (choices: Choices) => TableRow | undefined;
  readonly rows: readonly TableRow[];
}

/**
 * Reads a table and the space that it answers for.
 * @param baseDirectory folder that `file` is relative to.
 * @throws {ConfigError} naming the missing column or unreadable file; {InvalidFileError} naming the row of a cell that is no
 * number, of a key that came before, or of a decision with one row alone.
 */
export function readTable(
  { file, key, metrics, cost }: TableConfig,
  space: TabularSpaceName,
  baseDirectory: string,
): ResultTable {
  const path = resolve(baseDirectory, file);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ConfigError(`trainer.table.file: expected a table, could not read ${path}`, { cause });
  }
  const table = parseCsv(text, path);
  const { columns } = table;
  const rows = table.rows.map((row) => row.cells);
  const keys = typeof key === 'string' ? [key] : key;
  const sources = [...Object.values(metrics), ...(cost === undefined ? [] : [cost])].map(columnOf);
  for (const name of [...keys, ...sources.map(({ column }) => column)])
    if (!columns.includes(name))
      throw new ConfigError(`trainer.table: expected a column of ${path} (${columns.join(', ')}), got ${name}`);
  const named = space === 'nas-bench-201' ? cells(keys) : keyColumns(keys, rows);
  const found = new Map<string, TableRow>();
  for (const [index, row] of rows.entries()) {
    const place = `${path}: row ${index + 1}`;
    const name = named.nameOfRow(row);
    if (found.has(name)) throw new InvalidFileError(`${place}: expected every key once, got ${name} again`);
    const values = Object.entries(metrics).flatMap(([metric, source]) => {
      const value = numberIn(row, columnOf(source), place);
      return value === undefined ? [] : [[metric, value] as const];
    });
    const costS = cost === undefined ? 0 : (numberIn(row, columnOf(cost), place) ?? 0);
    found.set(name, { metrics: Object.fromEntries(values), costS });
  }
  return {
    space: named.space,
    identity: named.identity,
    rowOf: (choices) => found.get(named.nameOf(choices)),
    rows: [...found.values()],
  };
}

type Cells = Readonly<Record<string, string>>;

/** How rows and choices get the same name. */
interface Naming extends Pick<ResultTable, 'space' | 'identity'> {
  readonly nameOf: (choices: Choices) => string;
  readonly nameOfRow: (row: Cells) => string;
}

function cells(keys: readonly string[]): Naming {
  const [key = ''] = keys;
  if (keys.length > 1)
    throw new ConfigError(
      `trainer.table.key: expected the one column of nas-bench-201's cells, got ${keys.join(', ')}`,
    );
  return { space: nasBench201, identity: cellIdentity, nameOf: cellText, nameOfRow: (row) => row[key] ?? '' };
}

/** A decision for each column, of the values it has; numbers in ascending order. */
function keyColumns(keys: readonly string[], rows: readonly Cells[]): Naming {
  const entries = keys.map((key) => {
    const texts = [...new Set(rows.map((row) => row[key] ?? ''))];
    const isNumeric = texts.every((text) => text.trim() !== '' && Number.isFinite(Number(text)));
    const values = isNumeric ? [...new Set(texts.map(Number))].sort((a, b) => a - b) : texts.sort();
    return { key, isNumeric, node: oneOf(values, key) };
  });
  return {
    space: Object.fromEntries(entries.map(({ key, node }) => [key, node])),
    identity: choicesKey,
    nameOf: (choices) => JSON.stringify(keys.map((key) => choices[key])),
    nameOfRow: (row) =>
      JSON.stringify(entries.map(({ key, isNumeric }) => (isNumeric ? Number(row[key]) : (row[key] ?? '')))),
  };
}

interface Source {
  readonly column: string;
  readonly scale: number;
}

function columnOf(source: z.output<typeof columnSchema>): Source {
  return typeof source === 'string' ? { column: source, scale: 1 } : source;
}

/** The number in a cell; undefined where it is empty. */
function numberIn(row: Cells, { column, scale }: Source, place: string): number | undefined {
  const text = (row[column] ?? '').trim();
  if (text === '') return undefined;
  const value = Number(text);
  if (!Number.isFinite(value))
    throw new InvalidFileError(`${place}: ${column}: expected a number, got ${JSON.stringify(text)}`);
  return value * scale;
}
