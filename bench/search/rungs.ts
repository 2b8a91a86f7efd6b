// Successive halving against full trainings, at equal simulated cost: `npx tsx bench/search/rungs.ts <folder>`. See bench/README.md.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseCsv } from '../../core/csv.ts';
import { nonNegativeLeastSquares } from '../../core/least-squares.ts';
import { median, quantile } from '../../core/quantile.ts';
import type { Choices, Metrics } from '../../core/trial.ts';
import { controllerNames, openController } from '../../search/controllers.ts';
import { accuracyAndLatencies } from '../../search/objectives.ts';
import { cellText } from '../../search/nas-bench-201.ts';
import { SuccessiveHalving } from '../../search/successive-halving.ts';
import { rankSumTest } from './rank-sum.ts';
import { type Run, volumeAfter } from './run.ts';
import { nasBench201Tasks, type Task } from './tables.ts';

const { positionals, values: options } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '24' },
    devices: { type: 'string', default: 'help_1080ti_1,help_raspi4' },
    controllers: { type: 'string', default: 'bayesian,random' },
    /** Cost of a search, in full trainings of an average network. */
    budget: { type: 'string', default: '50' },
  },
});
const folder = positionals[0];
if (!folder) {
  console.error(
    'usage: npx tsx bench/search/rungs.ts <folder of the tables> [--devices a,b] [--controllers a,b] [--seeds 24] [--budget 50]',
  );
  process.exit(2);
}
const budget = Number(options.budget);
const seeds = Array.from({ length: Number(options.seeds) }, (_, seed) => seed);
const fullEpochs = 200;
const shortEpochs = 12;
const objectives = accuracyAndLatencies(['device']);
const rewardOf = (metrics: Metrics): number => (metrics['accuracy'] ?? 0) * (metrics['latencyMs.device'] ?? 1) ** -0.07;
/** Cells of one network that were measured apart differ by some per cent (study/search/replay.ts). */
const tolerances = { 'latencyMs.device': 0.03 };

const table = readTable(join(folder, 'nasbench201-cifar10.csv'));
const shortAccuracy = accuraciesAfterShort();
const fullS = trainingSeconds(join(folder, 'nasbench201-traintime-cifar10.csv'));

function readTable(path: string) {
  return parseCsv(readFileSync(path, 'utf8'), path).rows.map(({ cells }) => cells);
}

/** Validation accuracy after 12 epochs by cell, of one training a network: the first of its cells, where the task's answer is the mean of all. */
function accuraciesAfterShort(): ReadonlyMap<string, number> {
  const first = new Map<string, number>();
  for (const { unique = '', cifar10_val_12ep: accuracy } of table)
    if (!first.has(unique)) first.set(unique, Number(accuracy) / 100);
  return new Map(table.map(({ arch = '', unique = '' }) => [arch, first.get(unique) ?? NaN]));
}

/** Work of a cell that training seconds are linear in: a constant, multiply-adds, and operators that take time. */
function work({ arch = '', flops_M_cifar10: flops }: Readonly<Record<string, string>>): readonly number[] {
  const count = (operator: string): number => arch.split(operator).length - 1;
  return [1, Number(flops), count('nor_conv'), count('avg_pool')];
}

/** Seconds of 200 epochs by cell, by non-negative least squares on the cells whose real seconds are known; 12 epochs take 12/200 of it. */
function trainingSeconds(path: string): ReadonlyMap<string, number> {
  const byIndex = new Map(table.map((row) => [row['idx'], row]));
  const known = readTable(path).flatMap(({ idx, epochs, train_time_s: seconds }) => {
    const row = byIndex.get(idx ?? '');
    return row && Number(epochs) === fullEpochs ? [{ work: work(row), seconds: Number(seconds) }] : [];
  });
  const columns = (known[0]?.work ?? []).map((_, place) => known.map((one) => one.work[place] ?? 0));
  const { coefficients } = nonNegativeLeastSquares(
    columns,
    known.map(({ seconds }) => seconds),
  );
  const predict = (values: readonly number[]): number =>
    values.reduce((sum, value, place) => sum + value * (coefficients[place] ?? 0), 0);
  const mean = known.reduce((sum, { seconds }) => sum + seconds, 0) / known.length;
  const left = known.reduce((sum, one) => sum + (one.seconds - predict(one.work)) ** 2, 0);
  const all = known.reduce((sum, { seconds }) => sum + (seconds - mean) ** 2, 0);
  console.log(
    `training seconds of ${known.length} cells: mean ${mean.toFixed(0)} for ${fullEpochs} epochs; the line through them leaves ${((100 * left) / all).toFixed(1)} % of their variance`,
  );
  return new Map(table.map((row) => [row['arch'] ?? '', predict(work(row))]));
}

const meanS = [...fullS.values()].reduce((sum, seconds) => sum + seconds, 0) / fullS.size;
/** Cost of a training in full trainings of an average network. */
const costOf = (choices: Choices, epochs: number): number =>
  ((fullS.get(cellText(choices)) ?? NaN) / meanS) * (epochs / fullEpochs);

interface Search {
  /** Fully trained networks, in order, with what had been spent when they were done. */
  readonly trained: readonly { readonly spent: number; readonly losses: Run[number] }[];
  /** Networks that began at each rung. */
  readonly counts: readonly number[];
}

/** One training after the other until the budget is spent. */
function search(task: Task, name: string, seed: number, epochs: readonly number[]): Search {
  const controllerName = controllerNames.find((known) => known === name);
  if (!controllerName) throw new Error(`expected controllers among ${controllerNames.join(', ')}, got ${name}`);
  const { space, identity } = task;
  // As of a search of 40 trials or more: ten at random first.
  const controller = openController(controllerName, { space, identity, seed, objectives, trials: 200 });
  const halving = new SuccessiveHalving({
    controller,
    rungs: epochs,
    seed,
    trials: Infinity,
    finalists: 1,
    objectives,
    rewardOf,
  });
  const trained: { spent: number; losses: Run[number] }[] = [];
  for (let spent = 0; ;) {
    const [assignment] = halving.next(1);
    if (!assignment) throw new Error('expected something to train');
    const { choices } = assignment;
    const [id, rung] = assignment.kind === 'promotion' ? [assignment.id, assignment.rung] : [`n${halving.size}`, 0];
    spent += costOf(choices, epochs[rung] ?? fullEpochs);
    if (spent > budget) return { trained, counts: halving.counts() };
    const losses = task.lossesOf(choices);
    const isFull = epochs[rung] === fullEpochs;
    if (isFull) trained.push({ spent, losses });
    const accuracy = isFull ? 1 - losses[0] / 100 : (shortAccuracy.get(cellText(choices)) ?? NaN);
    halving.begin(id, choices, rung);
    const metrics = { accuracy, 'latencyMs.device': Math.exp(losses[1]) };
    halving.answer(id, rung, { status: 'ok', metrics, tolerances });
  }
}

const marks = [0.25, 0.5, 1].map((share) => share * budget);

/** Share of the table's own front that is found for a cost. */
function volumes(task: Task, searches: readonly Search[], mark: number): readonly number[] {
  return searches.map(({ trained }) => {
    const run = trained.filter(({ spent }) => spent <= mark).map(({ losses }) => losses);
    return volumeAfter(run, run.length, task);
  });
}

const spread = (values: readonly number[]): string => {
  const sorted = Float64Array.from(values).sort();
  const [low, high] = [quantile(sorted, 0.1), quantile(sorted, 0.9)];
  return `${(100 * median(values)).toFixed(1)} % (${(100 * low).toFixed(1)} … ${(100 * high).toFixed(1)})`;
};

for (const task of nasBench201Tasks(folder).filter(({ device }) => options.devices.split(',').includes(device)))
  for (const name of options.controllers.split(',')) {
    console.log(`\n${task.device}, ${name}, ${seeds.length} seeds; cost in full trainings of an average network`);
    const without = seeds.map((seed) => search(task, name, seed, [fullEpochs]));
    const halved = seeds.map((seed) => search(task, name, seed, [shortEpochs, fullEpochs]));
    for (const mark of marks) {
      const [a, b] = [volumes(task, halved, mark), volumes(task, without, mark)];
      console.log(
        `  at ${mark}: rungs ${spread(a)}, without ${spread(b)}, p(rungs are not better) = ${rankSumTest(a, b).toExponential(0)}`,
      );
    }
    const networks = (searches: readonly Search[], rung: number) =>
      median(searches.map(({ counts }) => counts[rung] ?? 0));
    console.log(
      `  networks: ${networks(halved, 0)} after ${shortEpochs} epochs and ${networks(halved, 1)} after ${fullEpochs}; without ${networks(without, 0)}`,
    );
  }
