import { Random } from '../../core/random.ts';
import { type Point, speedUpAtEqualAccuracy } from '../headline/speed-up.ts';

/** A way to train, and what it holds equal to training without a schedule. */
export interface Arm {
  readonly schedule: string;
  readonly examples: number;
  /** `examples`, `multiply-adds`, or a share of these. */
  readonly equal: string;
}

/** One training. */
export interface Run extends Arm {
  readonly id: string;
  readonly task: string;
  readonly seed: number;
  /** On the test split; 0 where it diverged. */
  readonly accuracy: number;
  readonly trainS: number;
  /** Null of one that was interrupted and resumed. */
  readonly cpuS: number | null;
  readonly flops: number;
}

/**
 * For each task a table, accuracy over seeds and times and work against training without a schedule, seed by seed, and below it
 * how much sooner every schedule reaches the accuracy without one.
 */
export function report(runs: readonly Run[]): string {
  const tasks = [...new Set(runs.map(({ task }) => task))];
  return tasks
    .map((task) => {
      const own = runs.filter((run) => run.task === task);
      return [tableOf(task, own), ...equalAccuracyLines(own)].join('\n');
    })
    .join('\n\n');
}

/**
 * Processor time to the accuracy without a schedule: of every schedule, between its trainings of several lengths, evenly in
 * accuracy and ln time; a bound where all are more accurate, or less.
 */
function equalAccuracyLines(runs: readonly Run[]): string[] {
  const fixed = pointOf(runs.filter(({ schedule }) => schedule === 'fixed'));
  const schedules = [...new Set(runs.map(({ schedule }) => schedule))].filter((schedule) => schedule !== 'fixed');
  return schedules.flatMap((schedule) => {
    const own = runs.filter((run) => run.schedule === schedule);
    const line = [...new Set(own.map(({ equal }) => equal))]
      .map((equal) => pointOf(own.filter((run) => run.equal === equal)))
      .filter((point) => point !== undefined);
    if (!fixed || line.length === 0) return [];
    const { ratio, interval, beyond } = speedUpAtEqualAccuracy(fixed, line, new Random(`progressive ${schedule}`));
    const sign = { above: '≤ ', below: '≥ ', none: '' }[beyond ?? 'none'];
    const [least, most] = interval.map((end) => (1 / end).toFixed(2)).toReversed();
    return [
      `${schedule}: the accuracy without a schedule in ${sign}${(1 / ratio).toFixed(2)} times less CPU (95 %: ${least}–${most})`,
    ];
  });
}

/** Undefined where no run tells its processor time. */
function pointOf(runs: readonly Run[]): Point | undefined {
  const seconds = runs.map(({ cpuS }) => cpuS).filter((cpuS) => cpuS !== null);
  if (seconds.length === 0) return undefined;
  return { latencyMs: 1000 * geometricMean(seconds), accuracies: runs.map(({ accuracy }) => accuracy) };
}

function tableOf(task: string, runs: readonly Run[]): string {
  const fixed = runs.filter(({ schedule }) => schedule === 'fixed');
  const arms = [...new Map(runs.map((run) => [`${run.schedule} ${run.equal}`, run])).values()];
  const rows = arms.map(({ schedule, equal, examples }) => {
    const own = runs.filter((run) => run.schedule === schedule && run.equal === equal);
    const pairs = own.flatMap((run) => {
      const other = fixed.find(({ seed }) => seed === run.seed);
      return other ? [{ run, other }] : [];
    });
    const ratio = (of: (run: Run) => number) =>
      geometricMean(pairs.map(({ run, other }) => of(other) / of(run)).filter(Number.isFinite));
    const gains = pairs.map(({ run, other }) => 100 * (run.accuracy - other.accuracy));
    return [
      schedule,
      equal,
      String(examples),
      own.map(({ accuracy }) => (100 * accuracy).toFixed(1)).join(' '),
      `${signed(meanOf(gains))}${gains.length > 1 ? ` ± ${standardError(gains).toFixed(1)}` : ''}`,
      `${ratio(({ flops }) => flops).toFixed(2)}×`,
      `${ratio(({ cpuS }) => cpuS ?? Number.NaN).toFixed(2)}×`,
      `${ratio(({ trainS }) => trainS).toFixed(2)}×`,
    ];
  });
  const head = [
    'schedule',
    'equal',
    'examples',
    'test % by seed',
    'points',
    'fewer FLOPs',
    'less CPU',
    'less wall time',
  ];
  return [`${task} (${fixed.length} seeds)`, ...[head, ...rows].map((row) => `| ${row.join(' | ')} |`)].join('\n');
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

function geometricMean(values: readonly number[]): number {
  return Math.exp(meanOf(values.map(Math.log)));
}

function standardError(values: readonly number[]): number {
  const mean = meanOf(values);
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1) / values.length);
}

function signed(value: number): string {
  return `${value < 0 ? '' : '+'}${value.toFixed(1)}`;
}
