// Controllers and Optuna's samplers on tables of networks: `npx tsx bench/search/main.ts <folder>`. See bench/README.md.
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Controller } from '../../search/controller.ts';
import { controllerNames, openController } from '../../search/controllers.ts';
import { median, quantile } from '../../core/quantile.ts';
import { type OptimizationJs, optimizationJsMethods, OptimizationJsSearch } from './optimization-js.ts';
import { optunaSamplers, runOptuna } from './optuna.ts';
import { rankSumTest } from './rank-sum.ts';
import { absoluteReward, type Run, runSearch, volumeAfter } from './run.ts';
import { accelNasBenchTasks, nasBench201Tasks, objectives, type Task } from './tables.ts';

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
      `[--seeds 24] [--trials 200] [--controllers ${controllerNames.join(',')}] [--python path | --no-optuna] [--optimization-js folder] [--json file]`,
  );
  process.exit(2);
}
const trials = Number(options.trials);
/** Optuna's NSGA-II goes on so far: what the default must have at `trials`. */
const longTrials = Math.round(trials * 2.5);
const seeds = Array.from({ length: Number(options.seeds) }, (_, seed) => seed);
const marks = [0.25, 0.5, 1].map((share) => Math.round(share * trials));
const wanted = options.devices?.split(',');
const tasks = tasksOf(folder).filter(({ device }) => wanted?.includes(device) ?? true);
const optimizationJs = options['optimization-js']
  ? (createRequire(import.meta.url)(resolve(options['optimization-js'])) as OptimizationJs)
  : undefined;
if (!optimizationJs) console.log('optimization-js is not compared: --optimization-js names no folder of it.');

interface Contender {
  readonly name: string;
  readonly runs: readonly Run[];
  /** Processor time of a suggestion among the last twenty, in milliseconds. */
  readonly suggestMs?: number | undefined;
}

/** Ours, one seed after the other. */
function runOurs(name: string, task: Task, open: (seed: number) => Controller): Contender {
  const runs: Run[] = [];
  const times: number[] = [];
  for (const seed of seeds) {
    const timed: number[] = [];
    runs.push(runSearch(watched(open(seed), timed), task, trials, absoluteReward(task)));
    times.push(...timed.slice(-20));
  }
  return { name, runs, suggestMs: times.reduce((sum, ms) => sum + ms, 0) / times.length };
}

function watched(controller: Controller, timesMs: number[]): Controller {
  return {
    observe: (observed) => controller.observe(observed),
    state: () => controller.state(),
    suggest: (count) => {
      const before = process.cpuUsage();
      const suggestions = controller.suggest(count);
      const { user, system } = process.cpuUsage(before);
      timesMs.push((user + system) / 1e3);
      return suggestions;
    },
  };
}

const record: Record<string, Record<string, unknown>> = {};
let optunaVersion: string | undefined;
for (const task of tasks) {
  const contenders: Contender[] = options.controllers.split(',').map((name) => {
    const known = controllerNames.find((candidate) => candidate === name);
    if (!known) throw new Error(`expected controllers among ${controllerNames.join(', ')}, got ${name}`);
    const { space, identity } = task;
    return runOurs(name, task, (seed) => openController(known, { space, identity, seed, objectives, trials }));
  });
  for (const method of optimizationJs ? optimizationJsMethods : [])
    if (optimizationJs)
      contenders.push(
        runOurs(`optimization-js ${method}`, task, (seed) => {
          const { space, identity } = task;
          return new OptimizationJsSearch(optimizationJs, { space, identity, seed, method });
        }),
      );
  for (const sampler of options['no-optuna'] ? [] : optunaSamplers) {
    const length = sampler === 'nsga2' ? longTrials : trials;
    const { runs, version } = await runOptuna(options.python, task, sampler, { trials: length, seeds });
    optunaVersion = version;
    contenders.push({ name: `Optuna ${sampler}`, runs });
  }
  report(task, contenders);
}
if (options.json)
  writeFileSync(
    options.json,
    `${JSON.stringify({ schema: 1, optuna: optunaVersion, trials, longTrials, seeds: seeds.length, tasks: record }, null, 1)}\n`,
  );

function report(task: Task, contenders: readonly Contender[]): void {
  const [error, logLatency] = task.reference;
  console.log(
    `\n${task.table} on ${task.device}: ${task.networks} networks; error in % and ln(latency in ms); reference ${error.toFixed(2)} ` +
      `(the median) and ${logLatency.toFixed(3)} (the 99th percentile); 100 % = ${task.best.toFixed(4)}, the table's own front; ` +
      `${seeds.length} seeds${optunaVersion === undefined ? '' : `; Optuna ${optunaVersion}`}`,
  );
  const at = (contender: Contender, count: number) => contender.runs.map((run) => volumeAfter(run, count, task));
  const ours = contenders[0];
  const rows = contenders.flatMap((contender) => {
    const isLong = contender.name === 'Optuna nsga2';
    return [...marks, ...(isLong ? [longTrials] : [])].map((count) => ({
      contender,
      count,
      values: at(contender, count),
    }));
  });
  for (const { contender, count, values } of rows.filter(({ count }) => count >= trials)) {
    const sorted = Float64Array.from(values).sort();
    const earlier = rows
      .filter((row) => row.contender === contender && row.count < trials)
      .map((row) => `${(100 * median(row.values)).toFixed(1)} at ${row.count}`);
    const beaten = ours && ours !== contender ? rankSumTest(at(ours, trials), values) : undefined;
    console.log(
      [
        contender.name.padEnd(32),
        `at ${count}: ${(100 * median(values)).toFixed(1)} %`,
        `(${(100 * quantile(sorted, 0.1)).toFixed(1)} … ${(100 * quantile(sorted, 0.9)).toFixed(1)})`.padEnd(16),
        count === trials ? `  ${earlier.join(', ')}` : '',
        beaten === undefined ? '' : `  p(${ours?.name} at ${trials} is not better) = ${beaten.toExponential(0)}`,
        count === trials && contender.suggestMs !== undefined
          ? `  ${contender.suggestMs.toFixed(1)} ms/suggestion`
          : '',
      ].join(' '),
    );
  }
  record[task.device] = Object.fromEntries(
    contenders.map((contender) => [
      contender.name,
      Object.fromEntries(
        (contender.name === 'Optuna nsga2' ? [trials, longTrials] : [trials]).map((count) => [
          count,
          at(contender, count).map((value) => Number(value.toFixed(4))),
        ]),
      ),
    ]),
  );
}
