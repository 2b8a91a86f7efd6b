// What stopping trainings early by their curves would have saved in studies that were run: `npx tsx bench/search/curves.ts <study folder> …`.
// See bench/README.md.
import { parseArgs } from 'node:util';
import { polynomialFit } from '../../core/least-squares.ts';
import { Random } from '../../core/random.ts';
import { rankCorrelation } from '../../core/rank-correlation.ts';
import { studentT } from '../../core/student-t.ts';
import { dominatesBeyondNoise, type RungResult } from '../../search/promotion.ts';
import { readStudyEvents } from '../../study/journal/journal.ts';
import { summarise } from '../../study/deliver/summarise.ts';
import type { TrialSummary } from '../../study/deliver/summary.ts';

const { positionals: folders, values: options } = parseArgs({
  allowPositionals: true,
  options: {
    /** Orders in which a study's trials are taken to have finished; the first is the real one. */
    orders: { type: 'string', default: '20' },
  },
});
if (folders.length === 0) {
  console.error('usage: npx tsx bench/search/curves.ts <study folder> … [--orders 20]');
  process.exit(2);
}

/** Shares of the schedule at which a training is looked at. */
const shares = [0.25, 0.5, 0.75];
/** Finished trainings below which nothing is predicted. */
const fewest = 10;
/** A curve's points that are averaged. */
const smoothed = 3;
/** Half an interval of a latency, in logarithms. */
const tolerance = 0.03;

interface Training {
  readonly accuracy: number;
  readonly logLatency: number;
  /** Training loss at each of `shares`. */
  readonly losses: readonly number[];
}

/** First-seed trainings of a search, all with the same schedule, on the first target. */
function trainingsOf(folder: string): readonly Training[] {
  const { trials, targets, seed } = summarise(readStudyEvents(folder));
  const finished = trials.filter(
    ({ phase, status, curve, ...trial }) =>
      phase === 'search' && status === 'ok' && trial.seed === seed && (curve?.length ?? 0) > 3,
  );
  const examples = finished[0]?.fidelityExamples;
  return finished
    .filter((trial) => trial.fidelityExamples === examples)
    .flatMap(({ accuracy, latencyMs, ...trial }) => {
      const ms = latencyMs[targets[0]?.name ?? ''];
      if (accuracy === undefined || ms === undefined) return [];
      return [{ accuracy, logLatency: Math.log(ms), losses: shares.map((share) => lossAt(trial, share)) }];
    });
}

function lossAt({ curve = [] }: Pick<TrialSummary, 'curve'>, share: number): number {
  const end = share * (curve.at(-1)?.examples ?? 0);
  const seen = curve.filter(({ examples }) => examples <= end * 1.0001).slice(-smoothed);
  return seen.reduce((sum, { loss }) => sum + loss, 0) / Math.max(1, seen.length);
}

/** Mean, deviation and degrees of freedom of the accuracy that a loss promises: a line, with its own uncertainty. */
function predict(done: readonly Training[], share: number, loss: number) {
  const x = done.map(({ losses }) => losses[share] ?? 0);
  const y = done.map(({ accuracy }) => accuracy);
  const [a = 0, b = 0] = polynomialFit(x, y, 1);
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const spread = x.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const left = y.reduce((sum, value, index) => sum + (value - a - b * (x[index] ?? 0)) ** 2, 0);
  const degrees = x.length - 2;
  const sd = Math.sqrt((left / degrees) * (1 + 1 / x.length + (loss - mean) ** 2 / spread));
  return { mean: a + b * loss, sd, degrees };
}

const asResult = ({ accuracy, logLatency }: Pick<Training, 'accuracy' | 'logLatency'>): RungResult => ({
  id: '',
  losses: [-accuracy, logLatency],
  tolerances: [0, tolerance],
  reward: 0,
});

/** Whether nothing that is done beats a training. */
function isUnbeaten(training: Pick<Training, 'accuracy' | 'logLatency'>, done: readonly Training[]): boolean {
  const result = asResult(training);
  return done.every((other) => !dominatesBeyondNoise(asResult(other), result));
}

/** The highest accuracy with which a latency would be beaten: what a training must exceed. */
function bar(logLatency: number, done: readonly Training[]): number {
  const enough = done.filter(({ accuracy }) => isUnbeaten({ accuracy: accuracy + 1e-9, logLatency }, done));
  return Math.min(1, ...enough.map(({ accuracy }) => accuracy));
}

/** Where a training would be stopped: index of the share; none when it goes to its end. */
function stopAt(training: Training, done: readonly Training[], chance: number): number | undefined {
  if (done.length < fewest) return undefined;
  // Faster than all that is done: whatever its accuracy, nothing beats it.
  if (isUnbeaten({ accuracy: 0, logLatency: training.logLatency }, done)) return undefined;
  const needed = bar(training.logLatency, done);
  const stopped = shares.findIndex((_, share) => {
    const { mean, sd, degrees } = predict(done, share, training.losses[share] ?? 0);
    return needed > mean + sd * studentT(1 - 2 * chance, degrees);
  });
  return stopped < 0 ? undefined : stopped;
}

for (const folder of folders) {
  const trainings = trainingsOf(folder);
  const correlations = shares.map((share, index) => {
    const known = trainings.map(({ losses }) => -(losses[index] ?? 0));
    return `${rankCorrelation(
      known,
      trainings.map(({ accuracy }) => accuracy),
    ).toFixed(2)} at ${100 * share} %`;
  });
  console.log(
    `\n${folder}: ${trainings.length} trainings; rank correlation of loss and final accuracy ${correlations.join(', ')}`,
  );
  for (const chance of [0.02, 0.05, 0.1]) {
    let [seen, saved, stopped, wrongly] = [0, 0, 0, 0];
    for (let order = 0; order < Number(options.orders); order++) {
      const places = [...new Random('curves').child(order).permutation(trainings.length)];
      const run = order === 0 ? trainings : places.flatMap((place) => trainings[place] ?? []);
      const done: Training[] = [];
      for (const training of run) {
        seen++;
        const share = stopAt(training, done, chance);
        if (share === undefined) done.push(training);
        else {
          stopped++;
          saved += 1 - (shares[share] ?? 1);
          if (isUnbeaten(training, done)) wrongly++;
        }
      }
    }
    console.log(
      `  chance of being unbeaten below ${100 * chance} %: ${((100 * stopped) / seen).toFixed(0)} % stopped, ${((100 * saved) / seen).toFixed(0)} % of the training saved; ` +
        `${wrongly} of ${stopped} (${((100 * wrongly) / Math.max(1, stopped)).toFixed(1)} %) would have been unbeaten`,
    );
  }
}
