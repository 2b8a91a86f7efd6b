import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { parseCsv } from '../core/csv.ts';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import type { Choices, Metrics } from '../core/trial.ts';
import { choicesKey } from './history.ts';
import { Members } from './members.ts';
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
    /** The metric is `scale` ÷ the column, as a latency is of a throughput. */ inverse: z.boolean().optional(),
  }),
]);

/** One column, or one for each rung of the search, the lowest first. */
const columnsSchema = z.union([columnSchema, z.array(columnSchema).min(1)]);

/** A table of results instead of trainings: the `trainer.table` section of a study file. */
export const tableSchema = z.strictObject({
  /** CSV with a header. */
  file: z.string(),
  /** The column that holds a cell's text (nas-bench-201), or a column for each decision (table). */
  key: z.union([z.string(), z.array(z.string()).min(1)]),
  /**
   * Metrics by name, `accuracy` and `latencyMs.<target>` among them, with the columns they come from; a list where the search has
   * several rungs and the metric differs between them.
   */
  metrics: z.record(z.string(), columnsSchema),
  /** The column of the seconds that a training took, or one for each rung; trainings cost nothing without one. */
  cost: columnsSchema.optional(),
  /**
   * What becomes of a point without a row: it is `infeasible`, or the search is over the rows alone, and what is proposed becomes the
   * `nearest` of them that is new. The second is for tables of some of a space's networks.
   */
  absent: z.enum(['infeasible', 'nearest']).default('infeasible'),
  /** What becomes of a key that comes again: the file is refused, or metrics and costs are the `mean` of its rows. */
  repeated: z.enum(['refused', 'mean']).default('refused'),
});
export type TableConfig = z.output<typeof tableSchema>;

/** What a table knows of a point at a rung. */
export interface TableRow {
  readonly metrics: Metrics;
  readonly costS: number;
}

/** Results that were measured before, by choices. */
export interface ResultTable {
  readonly space: SpaceNode;
  readonly identity: (choices: Choices) => string;
  /** The points that have a row, where the search is over these alone. */
  readonly members?: Members;
  /** What the table knows of a point at a rung, the last when left out; undefined where it has no such row. */
  readonly rowOf: (choices: Choices, rung?: number) => TableRow | undefined;
  /** Every row, at the last rung. */
  readonly rows: readonly TableRow[];
}

/**
 * Reads a table and the space that it answers for.
 * @param baseDirectory folder that `file` is relative to. @param rungs how many rungs the search has.
 * @throws {ConfigError} naming the missing column, the list that is no column for each rung, or the unreadable file; {InvalidFileError} naming the row of a cell that is no
 * number or one that its metric cannot be, of a key that came before, or of a decision with one row alone.
 */
export function readTable(
  { file, key, metrics, cost, absent, repeated }: TableConfig,
  space: TabularSpaceName,
  baseDirectory: string,
  rungs = 1,
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
  const sources = Object.entries(metrics).map(
    ([metric, source]) => [metric, perRung(source, rungs, `trainer.table.metrics.${metric}`)] as const,
  );
  const costs = cost === undefined ? undefined : perRung(cost, rungs, 'trainer.table.cost');
  const named = [...sources.flatMap(([, each]) => each), ...(costs ?? [])];
  for (const name of [...keys, ...named.map(({ column }) => column)])
    if (!columns.includes(name))
      throw new ConfigError(`trainer.table: expected a column of ${path} (${columns.join(', ')}), got ${name}`);
  const naming = space === 'nas-bench-201' ? cells(keys) : keyColumns(keys, rows);
  const { choicesOfRow } = naming;
  if (absent === 'nearest' && choicesOfRow === undefined)
    throw new ConfigError(`trainer.table.absent: expected infeasible with ${space}, whose table has every point`);
  const found = new Map<string, { readonly cells: Cells; readonly rows: (readonly TableRow[])[] }>();
  for (const [index, row] of rows.entries()) {
    const place = `${path}: row ${index + 1}`;
    const name = naming.nameOfRow(row);
    const known = found.get(name) ?? { cells: row, rows: [] };
    if (known.rows.length > 0 && repeated === 'refused')
      throw new InvalidFileError(
        `${place}: expected every key once, got ${name} again; trainer.table.repeated: mean averages such rows`,
      );
    known.rows.push(Array.from({ length: rungs }, (_, rung) => rowAt(row, { sources, costs, rung, place })));
    found.set(name, known);
  }
  const answers = new Map(
    [...found].map(([name, known]) => [
      name,
      Array.from({ length: rungs }, (_, rung) => meanRow(known.rows.flatMap((each) => each[rung] ?? []))),
    ]),
  );
  const members =
    absent === 'nearest' && choicesOfRow
      ? {
          members: new Members(
            naming.space,
            [...found.values()].map((known) => choicesOfRow(known.cells)),
          ),
        }
      : {};
  return {
    space: naming.space,
    identity: naming.identity,
    ...members,
    rowOf: (choices, rung = -1) => answers.get(naming.nameOf(choices))?.at(rung),
    rows: [...answers.values()].flatMap((known) => known.at(-1) ?? []),
  };
}

/** What a row says at a rung. */
function rowAt(
  row: Cells,
  from: {
    readonly sources: readonly (readonly [metric: string, each: readonly Source[]])[];
    readonly costs: readonly Source[] | undefined;
    readonly rung: number;
    readonly place: string;
  },
): TableRow {
  const { sources, costs, rung, place } = from;
  const values = sources.flatMap(([metric, each]) => {
    const value = numberIn(row, each[rung], place, rangeOf(metric));
    return value === undefined ? [] : [[metric, value] as const];
  });
  const costS = numberIn(row, costs?.[rung], place, { says: 'a cost of 0 s or more', holds: (s) => s >= 0 }) ?? 0;
  return { metrics: Object.fromEntries(values), costS };
}

interface Range {
  readonly says: string;
  readonly holds: (value: number) => boolean;
}

/** What a metric can be; undefined for those of a name of the user's own. */
function rangeOf(metric: string): Range | undefined {
  if (metric === 'accuracy')
    return { says: 'an accuracy from 0 to 1 (per cent take scale: 0.01)', holds: (share) => share >= 0 && share <= 1 };
  if (metric.startsWith('latencyMs.'))
    return { says: 'a latency above 0 ms (an empty cell where it is not known)', holds: (ms) => ms > 0 };
  return undefined;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Means over rows; of a metric over those that have it. */
function meanRow(rows: readonly TableRow[]): TableRow {
  const names = [...new Set(rows.flatMap(({ metrics }) => Object.keys(metrics)))];
  return {
    metrics: Object.fromEntries(names.map((name) => [name, mean(rows.flatMap(({ metrics }) => metrics[name] ?? []))])),
    costS: mean(rows.map(({ costS }) => costS)),
  };
}

/** A source for each rung. */
function perRung(source: z.output<typeof columnsSchema>, rungs: number, where: string): readonly Source[] {
  if (!Array.isArray(source)) return Array.from({ length: rungs }, () => columnOf(source));
  if (source.length !== rungs)
    throw new ConfigError(
      `${where}: expected a column for each of the ${rungs} rungs of search.examples, got ${source.length}`,
    );
  return source.map(columnOf);
}

type Cells = Readonly<Record<string, string>>;

/** How rows and choices get the same name. */
interface Naming extends Pick<ResultTable, 'space' | 'identity'> {
  readonly nameOf: (choices: Choices) => string;
  readonly nameOfRow: (row: Cells) => string;
  /** A row's point, where the columns are decisions. */
  readonly choicesOfRow?: (row: Cells) => Choices;
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
    nameOfRow: (row) => JSON.stringify(entries.map((entry) => valueIn(row, entry))),
    choicesOfRow: (row) => Object.fromEntries(entries.map((entry) => [entry.key, valueIn(row, entry)])),
  };
}

function valueIn(row: Cells, { key, isNumeric }: { readonly key: string; readonly isNumeric: boolean }) {
  return isNumeric ? Number(row[key]) : (row[key] ?? '');
}

interface Source {
  readonly column: string;
  readonly scale: number;
  readonly inverse?: boolean | undefined;
}

function columnOf(source: z.output<typeof columnSchema>): Source {
  return typeof source === 'string' ? { column: source, scale: 1 } : source;
}

/** The number in a cell; undefined where it is empty or nobody asks for one. */
function numberIn(row: Cells, source: Source | undefined, place: string, range: Range | undefined): number | undefined {
  if (source === undefined) return undefined;
  const { column, scale, inverse = false } = source;
  const text = (row[column] ?? '').trim();
  if (text === '') return undefined;
  const value = Number(text);
  if (!Number.isFinite(value))
    throw new InvalidFileError(`${place}: ${column}: expected a number, got ${JSON.stringify(text)}`);
  if (inverse && value === 0) throw new InvalidFileError(`${place}: ${column}: expected a number to divide by, got 0`);
  const scaled = inverse ? scale / value : value * scale;
  if (range?.holds(scaled) === false)
    throw new InvalidFileError(`${place}: ${column}: expected ${range.says}, got ${scaled}`);
  return scaled;
}
