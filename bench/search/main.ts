// Controllers and Optuna's samplers on tables of networks: `npx tsx bench/search/main.ts <folder>`. See bench/README.md.
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { controllerNames } from '../../search/controllers.ts';
import { median, quantile } from '../../core/quantile.ts';
import {
  type Budget,
  type Contender,
  runController,
  runOptimizationJs,
  runOptunaSamplers,
  storedOptuna,
} from './contenders.ts';
import type { OptimizationJs } from './optimization-js.ts';
import { rankSumTest } from './rank-sum.ts';
import { accelNasBenchTasks, nasBench201Tasks, type Task } from './tables.ts';

const { positionals, values: options } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '24' },
    trials: { type: 'string', default: '200' },
    /** Names of devices, comma-separated; all when left out. */
    devices: { type: 'string' },
    table: { type: 'string', default: 'nas-bench-201' },
    controllers: { type: 'string', default: controllerNames.join(',') },
    python: { type: 'string', default: process.env['RIDGEPOINT_BENCH_PYTHON'] ?? 'python3' },
    'no-optuna': { type: 'boolean', default: false },
    /** Optuna's volumes of an earlier run, written by `--json`. */
    'stored-optuna': { type: 'string' },
    /** Folder of the package optimization-js. */
    'optimization-js': { type: 'string' },
    json: { type: 'string' },
  },
});
const folder = positionals[0];
const tables: Readonly<Record<string, (folder: string) => readonly Task[]>> = {
  'nas-bench-201': nasBench201Tasks,
  cells: (path) => nasBench201Tasks(path, false),
  accel: accelNasBenchTasks,
};
const tasksOf = tables[options.table];
if (!folder || !tasksOf) {
  console.error(
    `usage: npx tsx bench/search/main.ts <folder of the tables> [--table ${Object.keys(tables).join('|')}] [--devices …] ` +
      `[--seeds 24] [--trials 200] [--controllers ${controllerNames.join(',')}] ` +
      `[--python path | --no-optuna | --stored-optuna file] [--optimization-js folder] [--json file]`,
  );
  process.exit(2);
}
const trials = Number(options.trials);
const longTrials = Math.round(trials * 2.5);
const budget: Budget = {
  trials,
  longTrials,
  seeds: Array.from({ length: Number(options.seeds) }, (_, seed) => seed),
  marks: [...[0.25, 0.5, 1].map((share) => Math.round(share * trials)), longTrials],
};
const wanted = options.devices?.split(',');
const tasks = tasksOf(folder).filter(({ device }) => wanted?.includes(device) ?? true);
const optimizationJs = options['optimization-js']
  ? (createRequire(import.meta.url)(resolve(options['optimization-js'])) as OptimizationJs)
  : undefined;

console.log(
  [
    `${tasks[0]?.table ?? 'no table'}: ${tasks.map(({ device }) => device).join(', ')}`,
    `seeds 0 … ${budget.seeds.length - 1}; budgets ${budget.marks.slice(0, -1).join(', ')} trials, Optuna's nsga2 also ${longTrials}`,
    'objectives: error in % and ln(latency in ms); reference: the table’s median error and the 99th percentile of its ln latency',
    'volume: share of the hypervolume of the table’s own front (100 %); medians over seeds, 10th and 90th percentile in parentheses',
    'p: one-sided rank-sum test of "the first is not better"; ms: processor time of asking for a trial and telling its result',
    ...(optimizationJs ? [] : ['optimization-js is not compared: --optimization-js names no folder of it']),
  ].join('\n'),
);
const record: Record<string, Record<string, unknown>> = {};
const reports: { readonly task: Task; readonly contenders: readonly Contender[] }[] = [];
let optunaVersion: string | undefined;
for (const task of tasks) {
  const contenders = options.controllers.split(',').map((name) => runController(name, task, budget));
  if (optimizationJs) contenders.push(...runOptimizationJs(optimizationJs, task, budget));
  if (!options['no-optuna']) {
    const stored = options['stored-optuna'];
    const optuna = stored ? storedOptuna(stored, task) : await runOptunaSamplers(options.python, task, budget);
    optunaVersion = optuna.version;
    contenders.push(...optuna.contenders);
  }
  report(task, contenders);
  reports.push({ task, contenders });
}
summarise();
if (options.json)
  writeFileSync(
    options.json,
    `${JSON.stringify({ schema: 1, optuna: optunaVersion, trials, longTrials, seeds: budget.seeds.length, tasks: record }, null, 1)}\n`,
  );

function report(task: Task, contenders: readonly Contender[]): void {
  const [error, logLatency] = task.reference;
  console.log(
    `\n${task.table} on ${task.device}: ${task.networks} networks; reference ${error.toFixed(2)} and ${logLatency.toFixed(3)}; ` +
      `100 % = ${task.best.toFixed(4)}; ${budget.seeds.length} seeds${optunaVersion === undefined ? '' : `; Optuna ${optunaVersion}`}`,
  );
  for (const contender of contenders)
    for (const count of lengths(contender)) console.log(line(contenders[0], contender, count));
  record[task.device] = Object.fromEntries(
    contenders.map((contender) => [
      contender.name,
      Object.fromEntries(
        lengths(contender).map((count) => [
          count,
          (contender.volumes.get(count) ?? []).map((value) => Number(value.toFixed(4))),
        ]),
      ),
    ]),
  );
}

/** The numbers of trials that a method is compared at. */
function lengths({ volumes }: Contender): readonly number[] {
  return [trials, longTrials].filter((count) => volumes.has(count));
}

function line(first: Contender | undefined, contender: Contender, count: number): string {
  const values = contender.volumes.get(count) ?? [];
  const sorted = Float64Array.from(values).sort();
  const earlier = [...contender.volumes]
    .filter(([mark]) => mark < trials)
    .map(([mark, volumes]) => `${(100 * median(volumes)).toFixed(1)} at ${mark}`);
  const p = first && first !== contender ? rankSumTest(first.volumes.get(trials) ?? [], values) : undefined;
  const { suggestMs } = contender;
  return [
    contender.name.padEnd(32),
    `at ${count}: ${(100 * median(values)).toFixed(1)} %`,
    `(${(100 * quantile(sorted, 0.1)).toFixed(1)} … ${(100 * quantile(sorted, 0.9)).toFixed(1)})`.padEnd(16),
    count === trials ? `  ${earlier.join(', ')}` : '',
    p === undefined ? '' : `  p(${first?.name} at ${trials} is not better) = ${p.toExponential(0)}`,
    count === trials && suggestMs !== undefined ? `  ${suggestMs.toFixed(1)} ms` : '',
  ].join(' ');
}

/** The first against every other on all devices: its medians, and the largest p. */
function summarise(): void {
  const name = reports[0]?.contenders[0]?.name;
  const medians = reports.map(({ contenders }) => median(contenders[0]?.volumes.get(trials) ?? []));
  if (name === undefined || medians.length < 2) return;
  console.log(
    `\n${name} at ${trials}: ${(100 * median(medians)).toFixed(1)} % on the median device, ${(100 * Math.min(...medians)).toFixed(1)} % on the worst`,
  );
  for (const other of reports[0]?.contenders.slice(1) ?? [])
    for (const count of lengths(other)) {
      const ps = reports.map(({ contenders }) =>
        rankSumTest(
          contenders[0]?.volumes.get(trials) ?? [],
          contenders.find((contender) => contender.name === other.name)?.volumes.get(count) ?? [],
        ),
      );
      console.log(
        `  better than ${other.name} at ${count}: p < .01 on ${ps.filter((p) => p < 0.01).length} of ${ps.length} devices, at most ${Math.max(...ps).toExponential(0)}`,
      );
    }
}
