// Searches that begin with what a search for another device found: `npx tsx bench/search/warm-start.ts <folder>`. See bench/README.md.
import { parseArgs } from 'node:util';
import { median, quantile } from '../../core/quantile.ts';
import { Random } from '../../core/random.ts';
import { controllerNames, openController } from '../../search/controllers.ts';
import type { EarlierStudy, EarlierTrial } from '../../search/earlier-study.ts';
import { rankSumTest } from './rank-sum.ts';
import { absoluteReward, runSearch, volumeAfter } from './run.ts';
import { type Losses, nasBench201Tasks, objectives, type Task } from './tables.ts';

const { positionals, values: options } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '24' },
    trials: { type: 'string', default: '50' },
    /** Trials of the earlier search. */
    earlier: { type: 'string', default: '200' },
    /** `from:to`, comma-separated. */
    devices: {
      type: 'string',
      default: 'help_raspi4:help_fpga,help_1080ti_1:help_raspi4,help_fpga:help_titan_rtx_256',
    },
    controllers: { type: 'string', default: 'bayesian' },
  },
});
const [folder] = positionals;
if (!folder) {
  console.error(
    'usage: npx tsx bench/search/warm-start.ts <folder of the tables> [--devices from:to,…] [--seeds 24] [--trials 50] [--earlier 200] [--controllers …]',
  );
  process.exit(2);
}
const trials = Number(options.trials);
const seeds = Array.from({ length: Number(options.seeds) }, (_, seed) => seed);
const tasks = new Map(nasBench201Tasks(folder).map((task) => [task.device, task]));

/** An earlier search for a device, told truly or not. */
const tellings: Readonly<Record<string, (trials: readonly EarlierTrial[], seed: number) => readonly EarlierTrial[]>> = {
  'another device': (found) => found,
  /** Every network has some other network's results. */
  'results shuffled': (found, seed) => {
    const order = new Random(seed).child('shuffled').permutation(found.length);
    return found.map(({ choices }, index) => ({ choices, metrics: found[order[index] ?? 0]?.metrics ?? {} }));
  },
  /** The worst is said to be the best. */
  'results reversed': (found) =>
    found.map(({ choices, metrics }) => ({
      choices,
      metrics: { error: 100 - (metrics['error'] ?? 0), latencyMs: 1 / (metrics['latencyMs'] ?? 1) },
    })),
};

function trialsOf(name: string, task: Task, seed: number, count: number, earlier: readonly EarlierStudy[]) {
  const known = controllerNames.find((candidate) => candidate === name);
  if (!known) throw new Error(`expected controllers among ${controllerNames.join(', ')}, got ${name}`);
  const { space, identity } = task;
  const found: EarlierTrial[] = [];
  const opened = openController(known, { space, identity, seed, objectives, trials: count, earlier });
  const run = runSearch(
    {
      suggest: (asked) => opened.suggest(asked),
      state: () => opened.state(),
      observe: (observed) => {
        found.push(...observed.map(({ choices, metrics = {} }) => ({ choices, metrics })));
        opened.observe(observed);
      },
    },
    task,
    count,
    absoluteReward(task),
  );
  return { found, run };
}

function taskOf(device: string | undefined): Task {
  const task = tasks.get(device ?? '');
  if (!task) throw new Error(`expected pairs of ${[...tasks.keys()].join(', ')}, got ${device}`);
  return task;
}

const volumes = (task: Task, runs: readonly (readonly Losses[])[]) => runs.map((run) => volumeAfter(run, trials, task));

console.log(
  `volume after ${trials} trials, medians of ${seeds.length} seeds, 10th and 90th percentile; the earlier search: the same controller, ${options.earlier} trials, another seed; ` +
    'p: one-sided rank-sum tests against starting cold',
);
for (const pair of options.devices.split(',')) {
  const [from, to] = pair.split(':').map((device) => taskOf(device));
  if (!from || !to) throw new Error(`expected from:to, got ${pair}`);
  for (const name of options.controllers.split(',')) {
    const cold = volumes(
      to,
      seeds.map((seed) => trialsOf(name, to, seed, trials, []).run),
    );
    console.log(`\n${name}, from ${from.device} to ${to.device}`);
    print('cold', cold);
    const earlier = seeds.map((seed) => trialsOf(name, from, 1000 + seed, Number(options.earlier), []).found);
    for (const [telling, tell] of Object.entries(tellings)) {
      const runs = seeds.map((seed) => {
        const study = { name: telling, trials: tell(earlier[seed] ?? [], seed) };
        return trialsOf(name, to, seed, trials, [study]).run;
      });
      const warm = volumes(to, runs);
      print(
        telling,
        warm,
        `p(not better) ${rankSumTest(warm, cold).toExponential(0)}, p(not worse) ${rankSumTest(cold, warm).toExponential(0)}`,
      );
    }
  }
}

function print(name: string, values: readonly number[], tests = ''): void {
  const sorted = Float64Array.from(values).sort();
  const [low, high] = [0.1, 0.9].map((share) => (100 * quantile(sorted, share)).toFixed(1));
  console.log(`  ${name.padEnd(18)} ${(100 * median(values)).toFixed(1)} % (${low} … ${high})  ${tests}`);
}
