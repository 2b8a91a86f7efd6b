import { canonicalJson } from '../core/digest.ts';
import type {
  AcrossTargets,
  FamilySummary,
  MemberSummary,
  SharedMemberSummary,
  SharedOnTarget,
  StudySummary,
  TargetSummary,
  TrialSummary,
} from '../study/deliver/summary.ts';
import { memberRows, type MemberRow } from './variants.ts';

// Comma-separated tables of a study. Fields are quoted as RFC 4180 says; we differ from it in that
// lines end in LF, as every tool on the platforms we run on expects. Numbers keep full precision.

type Field = string | number | boolean | null | undefined;
/** A column's name and its value in a row. What is not known is empty. */
type Column<Row> = readonly [name: string, value: (row: Row) => Field];

/**
 * Every trial, in order of issue: `id, phase, candidate, status, reason, fidelity_examples,
 * accuracy, cross_entropy, latency_ms.<target>…, cost_s, started, ended`. `candidate` is its
 * choices as compact JSON, `latency_ms` a p50, `cost_s` seconds of the evaluation (a network's latency is
 * measured once for all its trials: the journal's `measured` events have that time), times ISO 8601 in UTC.
 */
export function trialsCsv(summary: StudySummary): string {
  return csv<TrialSummary>(
    [
      ['id', (trial) => trial.id],
      ['phase', (trial) => trial.phase],
      ['candidate', (trial) => canonicalJson(trial.choices)],
      ['status', (trial) => trial.status],
      ['reason', (trial) => trial.reason],
      ['fidelity_examples', (trial) => trial.fidelityExamples],
      ['accuracy', (trial) => trial.accuracy],
      ['cross_entropy', (trial) => trial.crossEntropy],
      ...latencyColumns(summary),
      ['cost_s', ({ cost }) => cost && cost.trainS + cost.measureS],
      ['started', (trial) => isoTime(trial.startedMs)],
      ['ended', (trial) => isoTime(trial.endedMs)],
    ],
    summary.trials,
  );
}

/** The search's Pareto front, fastest on the first target first: what it is judged on, and what it costs. */
export function paretoCsv(summary: StudySummary): string {
  const first = summary.targets[0]?.name ?? '';
  const latencyMs = (trial: TrialSummary): number => trial.latencyMs[first] ?? Infinity;
  return csv<TrialSummary>(
    [
      ['id', (trial) => trial.id],
      ['candidate', (trial) => canonicalJson(trial.choices)],
      ['fidelity_examples', (trial) => trial.fidelityExamples],
      ['accuracy', (trial) => trial.accuracy],
      ['cross_entropy', (trial) => trial.crossEntropy],
      ...latencyColumns(summary),
      ['params', ({ count }) => count.params],
      ['macs', ({ count }) => count.macs],
      ['peak_bytes', ({ count }) => count.peakBytes],
      ['weight_bytes', ({ count }) => count.weightBytes],
    ],
    summary.trials.filter((trial) => trial.onFront).toSorted((a, b) => latencyMs(a) - latencyMs(b)),
  );
}

/**
 * Every delivered and compared network, a row each: `line` is `family`, `variant` (a network of the family in another
 * precision, after it), `rule` or `user-model`.
 * Accuracies are shares of the test and hold-out splits over the training seeds; the interval is
 * that of `interval_percentile`, at `interval_level`.
 */
export function familyCsv({ targets }: Pick<StudySummary, 'targets'>): string {
  const rows = targets.flatMap((target) =>
    target.lines.flatMap((line) => memberRows(line).map((row) => ({ target, line, ...row }))),
  );
  return csv(familyColumns, rows);
}

const familyColumns: readonly Column<{
  readonly target: TargetSummary;
  readonly line: FamilySummary;
  readonly kind: MemberRow['kind'];
  readonly member: MemberSummary;
}>[] = [
  ['target', ({ target }) => target.name],
  ['line', ({ kind }) => kind],
  ['name', ({ line }) => line.name],
  ['size', ({ member }) => member.size],
  ['target_ms', ({ member }) => member.targetMs],
  ['depth', ({ member }) => member.multipliers?.depth],
  ['width', ({ member }) => member.multipliers?.width],
  ['resolution', ({ member }) => member.multipliers?.resolution],
  ['resolution_px', ({ member }) => member.spec?.input.resolution],
  ['params', ({ member }) => member.count?.params],
  ['macs', ({ member }) => member.count?.macs],
  ['peak_bytes', ({ member }) => member.count?.peakBytes],
  ['weight_bytes', ({ member }) => member.count?.weightBytes],
  ['test_accuracy', ({ member }) => member.testAccuracy.mean],
  ['test_accuracy_sd', ({ member }) => member.testAccuracy.sd],
  ['seeds', ({ member }) => member.testAccuracy.values.length],
  ['holdout_accuracy', ({ member }) => member.holdoutAccuracy?.mean],
  ['latency_source', ({ member }) => member.latency.source],
  ['batch', ({ member }) => member.latency.batch],
  ['precision', ({ member }) => member.latency.precision],
  ['threads', ({ member }) => member.latency.threads],
  ['time_of', ({ member }) => member.latency.per ?? 'run'],
  ['p50_ms', ({ member }) => member.latency.p50Ms],
  ['p90_ms', ({ member }) => member.latency.p90Ms],
  ['p99_ms', ({ member }) => member.latency.p99Ms],
  ['interval_percentile', ({ member }) => member.latency.intervalMs.percentile],
  ['interval_level', ({ member }) => member.latency.intervalMs.level],
  ['interval_lo_ms', ({ member }) => member.latency.intervalMs.lo],
  ['interval_hi_ms', ({ member }) => member.latency.intervalMs.hi],
  ['stable', ({ member }) => member.latency.stable],
  ['limit_met', ({ member }) => member.limitMet],
  ['file', ({ member }) => member.file],
];

/**
 * The family that all targets share, a row for each size and target. `regret` is hold-out accuracy lost against the best
 * trained network within that target's size, as a share.
 */
export function sharedCsv({ shared }: AcrossTargets): string {
  const rows = shared.flatMap((member) => member.targets.map((on) => ({ member, on })));
  return csv<{ readonly member: SharedMemberSummary; readonly on: SharedOnTarget }>(
    [
      ['name', ({ member }) => member.name],
      ['target', ({ on }) => on.target],
      ['size', ({ on }) => on.size],
      ['target_ms', ({ on }) => on.targetMs],
      ['p50_ms', ({ on }) => on.latency.p50Ms],
      ['batch', ({ on }) => on.latency.batch],
      ['precision', ({ on }) => on.latency.precision],
      ['limit_met', ({ on }) => on.limitMet],
      ['test_accuracy', ({ member }) => member.testAccuracy.mean],
      ['holdout_accuracy', ({ member }) => member.holdoutAccuracy.mean],
      ['regret', ({ on }) => on.regret],
      ['own_test_accuracy', ({ on }) => on.ownTestAccuracy],
      ['params', ({ member }) => member.count.params],
      ['macs', ({ member }) => member.count.macs],
      ['files', ({ member }) => member.files.join(' ')],
    ],
    rows,
  );
}

function latencyColumns(summary: StudySummary): readonly Column<TrialSummary>[] {
  return summary.targets.map(({ name }) => [`latency_ms.${name}`, (trial) => trial.latencyMs[name]]);
}

function isoTime(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

function csv<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const header = columns.map(([name]) => name);
  const lines = [header, ...rows.map((row) => columns.map(([, value]) => value(row)))];
  return lines.map((line) => `${line.map(quoted).join(',')}\n`).join('');
}

function quoted(field: Field): string {
  const text = field === null || field === undefined ? '' : String(field);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
