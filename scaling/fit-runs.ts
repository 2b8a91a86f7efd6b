import { parseCsv } from '../core/csv.ts';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import { median } from '../core/quantile.ts';
import type { Point } from './laws/law.ts';

/** One finished training: a trial allocation tuple with its score. */
export interface Run extends Point {
  /** Training FLOPs; 6·N·D unless the table says otherwise. */
  readonly flops: number;
  /** Final loss in nats. */
  readonly loss: number;
  /** Line of the file it came from, for messages. */
  readonly line: number;
  /** Training curve it is a point of, if any, and the data over which its schedule was planned. */
  readonly curve?: string;
  readonly horizon?: number;
}

/** What a column holds, and the headings it is known by when nobody says. */
const headings = {
  n: ['n', 'params', 'parameters', 'model_size'],
  d: ['d', 'data', 'tokens', 'examples', 'tokens_total'],
  c: ['c', 'flops', 'flop', 'compute'],
  loss: ['loss', 'val_loss'],
  unique: ['unique', 'unique_data', 'tokens_unique'],
  curve: ['curve', 'run_id'],
  horizon: ['horizon'],
} as const;
type Role = keyof typeof headings;

/** Column headings by role, as `--columns n=…,d=…,loss=…` gives them. @throws {ConfigError} for a role there is not. */
export function parseColumns(text: string): Readonly<Partial<Record<Role, string>>> {
  const entries = text.split(',').map((part) => {
    const at = part.indexOf('=');
    const role = part.slice(0, Math.max(0, at)).trim();
    const heading = part.slice(at + 1).trim();
    if (!Object.hasOwn(headings, role) || heading === '')
      throw new ConfigError(
        `columns: expected ${Object.keys(headings).join('=…, ')}=…, got ${JSON.stringify(part.trim())}`,
      );
    return [role, heading] as const;
  });
  return Object.fromEntries(entries);
}

/**
 * Runs from a CSV file with a heading line. N and loss are needed, and either D or the FLOPs: what is missing follows
 * from C = 6·N·D.
 * @param where names the file in errors. @param columns headings by role; usual ones are found without.
 * @throws {InvalidFileError} naming line and column of values that are not positive numbers, and of curves of several sizes;
 * {ConfigError} for columns that are not there.
 */
export function parseRuns(
  text: string,
  where: string,
  columns: Readonly<Partial<Record<Role, string>>> = {},
): readonly Run[] {
  const table = parseCsv(text, where);
  const headingOf = findColumns(table.columns, columns, where);
  const problems: string[] = [];
  const runs: Run[] = [];
  const sizes = new Map<string, number>();
  for (const { cells, line } of table.rows) {
    const cellOf = (role: Role): string | undefined => {
      const heading = headingOf[role];
      return heading === undefined ? undefined : (cells[heading] ?? '').trim();
    };
    const number = (role: Role): number | undefined => {
      const cell = cellOf(role);
      if (cell === undefined) return undefined;
      const value = cell === '' ? Number.NaN : Number(cell);
      if (!(Number.isFinite(value) && value > 0))
        problems.push(`line ${line}, ${headingOf[role]}: expected a positive number, got ${JSON.stringify(cell)}`);
      return value;
    };
    const [params = Number.NaN, loss = Number.NaN] = [number('n'), number('loss')];
    const [givenData, givenFlops] = [number('d'), number('c')];
    const data = givenData ?? (givenFlops ?? Number.NaN) / (6 * params);
    const flops = givenFlops ?? 6 * params * data;
    // A blank is no curve: such a row is a run of its own.
    const curve = cellOf('curve') || undefined;
    if (curve !== undefined && params > 0) {
      const size = sizes.get(curve) ?? params;
      if (size !== params)
        problems.push(
          `line ${line}, ${headingOf.curve}: expected one model size a training curve, got ${params} where ${JSON.stringify(curve)} has ${size}`,
        );
      sizes.set(curve, size);
    }
    const horizon = cellOf('horizon') === '' ? undefined : number('horizon');
    runs.push({ params, data, flops, loss, line, uniqueData: number('unique'), horizon, curve });
  }
  if (problems.length > 0) {
    const more = problems.length > 5 ? `\n  and ${problems.length - 5} more` : '';
    throw new InvalidFileError(`${where}: ${problems.slice(0, 5).join('\n  ')}${more}`);
  }
  return runs;
}

function findColumns(
  names: readonly string[],
  columns: Readonly<Partial<Record<Role, string>>>,
  where: string,
): Readonly<Partial<Record<Role, string>>> {
  const found: Partial<Record<Role, string>> = {};
  for (const role of Object.keys(headings) as Role[]) {
    const asked = columns[role];
    const heading = names.find((name) =>
      asked === undefined ? (headings[role] as readonly string[]).includes(name.trim().toLowerCase()) : name === asked,
    );
    if (heading !== undefined) found[role] = heading;
    else if (asked !== undefined)
      throw new ConfigError(`${where}: expected a column ${JSON.stringify(asked)}, got ${names.join(', ')}`);
  }
  // Naming one of D and C leaves the other out: a column that happens to be called so may mean something else.
  if (columns.d !== undefined && columns.c === undefined) delete found.c;
  if (columns.c !== undefined && columns.d === undefined) delete found.d;
  const missing = [
    ...(found.n === undefined ? ['model size (n=…)'] : []),
    ...(found.d === undefined && found.c === undefined ? ['data (d=…) or FLOPs (c=…)'] : []),
    ...(found.loss === undefined ? ['loss (loss=…)'] : []),
  ];
  if (missing.length > 0)
    throw new ConfigError(
      `${where}: expected columns of ${missing.join(' and ')}, got ${names.join(', ')}; name them with --columns`,
    );
  return found;
}

/**
 * Which runs are left out of a fit. There is no right answer, so it is asked for: on the Chinchilla points the five highest losses
 * decide whether a is .51 or .56.
 * - `keep`: none, the default; what looks like an outlier is named in a warning.
 * - `highest`: the runs with the highest losses, as the replication of Chinchilla does.
 * - `residual`: after a first fit, runs further from it than so many robust standard deviations (1.4826 times the median
 *   absolute residual).
 */
export type OutlierPolicy =
  | { readonly kind: 'keep' }
  | { readonly kind: 'highest'; readonly count: number }
  | { readonly kind: 'residual'; readonly deviations: number };

/** Indices of residuals beyond so many robust standard deviations. */
export function outlying(residuals: ArrayLike<number>, deviations: number): readonly number[] {
  const limit = deviations * 1.4826 * median(Array.from(residuals, Math.abs));
  return Array.from({ length: residuals.length }, (_, i) => i).filter((i) => Math.abs(residuals[i] as number) > limit);
}
