import type { Outcome } from '../core/trial.ts';
import type { PhaseName } from '../study/journal/events.ts';

/** What the page keeps of a trial: enough for its line in a table and its point in a chart. The rest is read again when asked for. */
export interface TrialRow {
  /** `t0001`, `t0002`, …, in order of issue. */
  readonly id: string;
  readonly phase: PhaseName;
  /** Who proposed it. */
  readonly by: string;
  readonly because: string;
  /** Target and size it was proposed for, in scaling and training. */
  readonly target?: string;
  readonly size?: string;
  readonly specDigest: string;
  readonly examples: number;
  readonly seed: number;
  readonly status: 'issued' | Outcome['status'];
  readonly reason?: string;
  readonly accuracy?: number;
  /** p50 by target; one object for all trials of a network. */
  readonly latencyMs: Readonly<Record<string, number>>;
  readonly params?: number;
  readonly macs?: number;
  readonly trainS?: number;
  /** Milliseconds since the epoch. */
  readonly startedMs: number;
  readonly endedMs?: number;
  /** Number of the event that changed it last. */
  readonly changed: number;
}

/** What people call the status of a trial. */
export const statusWords = {
  ok: 'trained',
  issued: 'open',
  infeasible: 'infeasible',
  failed: 'failed',
} as const satisfies Record<TrialRow['status'], string>;

/** Which trials a person asks for. */
export interface TrialQuery {
  readonly phase?: string;
  readonly status?: string;
  readonly front: boolean;
  /** Text that is looked for in ids, reasons and who proposed it. */
  readonly text: string;
  /** A {@link sortKeys} name, or `latency:<target>`; with `-` before it the largest first. */
  readonly sort: string;
  /** From 1. */
  readonly page: number;
}

type Value = string | number | undefined;
const sortKeys: Readonly<Record<string, (row: TrialRow) => Value>> = {
  id: ({ startedMs }) => startedMs,
  phase: ({ phase }) => phase,
  status: ({ status }) => statusWords[status],
  accuracy: ({ accuracy }) => accuracy,
  params: ({ params }) => params,
  macs: ({ macs }) => macs,
  examples: ({ examples }) => examples,
  train: ({ trainS }) => trainS,
};

/** Reads a query of an address; what it does not understand it leaves out. */
export function trialQuery(params: URLSearchParams): TrialQuery {
  const page = Number(params.get('page') ?? 1);
  return {
    ...(params.get('phase') ? { phase: params.get('phase') ?? '' } : {}),
    ...(params.get('status') ? { status: params.get('status') ?? '' } : {}),
    front: params.get('front') !== null,
    text: (params.get('q') ?? '').trim().toLowerCase(),
    sort: params.get('sort') ?? '-id',
    page: Number.isSafeInteger(page) && page > 0 ? page : 1,
  };
}

/** The address's part of a query, without what is as by default. */
export function queryText({ phase, status, front, text, sort, page }: TrialQuery): string {
  const params = new URLSearchParams();
  if (phase) params.set('phase', phase);
  if (status) params.set('status', status);
  if (front) params.set('front', '1');
  if (text) params.set('q', text);
  if (sort !== '-id') params.set('sort', sort);
  if (page !== 1) params.set('page', String(page));
  return params.size === 0 ? '' : `?${params}`;
}

/**
 * The trials that a query is about, in its order. Sorting is stable and rows without the value come last.
 * @param rows in order of issue. @param front ids of the Pareto front.
 */
export function selectTrials(
  rows: readonly TrialRow[],
  { phase, status, front: onlyFront, text, sort }: TrialQuery,
  front: ReadonlySet<string>,
): readonly TrialRow[] {
  const matches = ({ id, reason = '', by, because }: TrialRow): boolean =>
    [id, reason, by, because].some((part) => part.toLowerCase().includes(text));
  const found = rows.filter(
    (row) =>
      (phase === undefined || row.phase === phase) &&
      (status === undefined || row.status === status) &&
      (!onlyFront || front.has(row.id)) &&
      (text === '' || matches(row)),
  );
  if (sort === 'id') return found;
  if (sort === '-id') return found.toReversed();
  const descending = sort.startsWith('-');
  const value = valueOf(descending ? sort.slice(1) : sort);
  return value ? found.toSorted((a, b) => compared(value(a), value(b), descending)) : found.toReversed();
}

function valueOf(name: string): ((row: TrialRow) => Value) | undefined {
  if (name.startsWith('latency:')) return ({ latencyMs }) => latencyMs[name.slice('latency:'.length)];
  return Object.hasOwn(sortKeys, name) ? sortKeys[name] : undefined;
}

function compared(a: Value, b: Value, descending: boolean): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  const order = a < b ? -1 : a > b ? 1 : 0;
  return descending ? -order : order;
}
