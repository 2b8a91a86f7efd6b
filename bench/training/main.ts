import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  type Comparison,
  compare,
  compareTrainers,
  sampleTensorFlow,
  type StoredProblem,
  type TrainerComparison,
} from './compare.ts';
import { loweringIds } from './lowerings.ts';
import { tiny, twentyBlocks, workloads, type Workload } from './networks.ts';
import type { LimitId } from './limits.ts';
import {
  compareLimitSplit,
  compareTrainerSplit,
  type Feeding,
  type Opening,
  type CoreSplit,
  timeBatches,
  timeOpening,
} from './overheads.ts';
import { writeProblem } from './problem.ts';
import { profileStep } from './profile.ts';
import { profileTables, report, type Results } from './report.ts';

/** `steps` brings the one of making batches; `tfjs` has a network of its own unless `--only` names some. */
const tableIds = ['steps', 'trainers', 'opening', 'tfjs'] as const;

const usage = `usage: npx tsx bench/training/main.ts [--rounds 5] [--threads 1,2] [--only name,name] [--json file]
       [--tables ${tableIds.join()}]   some of them
       [--batch 16]            images a step, for all networks
       [--python path]   a Python with PyTorch; RIDGEPOINT_BENCH_PYTHON otherwise
       [--profile name]  only the runtime's own profile of that network
networks: ${workloads.map(({ name }) => name).join(', ')}`;

const stepsPerTurn = 5;
const freshProcesses = 5;
const timedBatches = 20;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '1,2' },
    only: { type: 'string' },
    profile: { type: 'string' },
    batch: { type: 'string' },
    tables: { type: 'string', default: tableIds.join() },
    python: { type: 'string', default: process.env['RIDGEPOINT_BENCH_PYTHON'] },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const threadCounts = options.threads.split(',').map((text) => wholeNumber('--threads', text));
const tables: ReadonlySet<(typeof tableIds)[number]> = new Set(options.tables.split(',').map(tableId));
const turns = { rounds: wholeNumber('--rounds', options.rounds), steps: stepsPerTurn };

const folder = await mkdtemp(join(tmpdir(), 'ridgepoint-bench-'));
try {
  if (options.help) console.log(usage);
  else if (options.profile === undefined) await bench(batched(chosen(options.only)));
  else await profile(batched(chosen(options.profile)));
} finally {
  await rm(folder, { recursive: true });
}

async function bench(selected: readonly Workload[]): Promise<void> {
  const { python } = options;
  if (python === undefined)
    console.log(
      'No Python with PyTorch was named, so ours runs alone. To compare: python3 -m venv venv && ' +
        'venv/bin/pip install torch, then --python venv/bin/python.\n',
    );
  const stored = await store(selected);
  const comparisons: Comparison[] = [];
  for (const threads of tables.has('steps') ? threadCounts : [])
    for (const problem of stored) {
      const compared = await compare(problem, { threads, python, turns });
      // Thousands of times slower: once is enough.
      const tensorflow = comparisons.length === 0 ? await sampleTensorFlow(problem) : undefined;
      comparisons.push({ ...compared, tensorflow });
      progress(compared);
    }
  const splits: CoreSplit[] = [];
  const limitSplits: CoreSplit[] = [];
  if (tables.has('trainers')) {
    for (const problem of stored) splits.push(await compareTrainerSplit(problem, turns));
    for (const id of ['arithmetic', 'memory'] satisfies LimitId[]) limitSplits.push(await compareLimitSplit(id, turns));
  }
  const openings: Opening[] = [];
  if (tables.has('opening')) {
    const [blocks] = (await store([twentyBlocks])) as [StoredProblem];
    for (const lowering of loweringIds) openings.push(await timeOpening(blocks, lowering, freshProcesses));
  }
  const besideTensorFlow: TrainerComparison[] = [];
  if (tables.has('tfjs'))
    for (const problem of options.only === undefined ? await store([tiny]) : stored)
      for (const threads of threadCounts) besideTensorFlow.push(await compareTrainers(problem, { threads, turns }));
  const fed = tables.has('steps') ? selected : [];
  const feedings = fed.map(({ name, spec, batchSize }): Feeding => {
    const batchMs = timeBatches(spec, batchSize, timedBatches);
    return { network: name, batchMs, stepMs: shortestStepMs(comparisons, name) };
  });

  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length };
  const date = new Date().toISOString();
  const tableRows = { comparisons, splits, limitSplits, openings, feedings, besideTensorFlow };
  const results: Results = { schema: 1, date, machine, turns, ...tableRows };
  console.log(report(results));
  if (options.json !== undefined) await writeFile(options.json, JSON.stringify(results, undefined, 1));
}

async function profile(selected: readonly Workload[]): Promise<void> {
  for (const problem of await store(selected))
    for (const threads of threadCounts) {
      console.log(`# ${problem.problem.name}, ${threads} threads\n`);
      console.log(`${profileTables(await profileStep(problem, threads, 'chosen'))}\n`);
    }
}

/** Workloads as files, each in a folder of its own. */
async function store(selected: readonly Workload[]): Promise<StoredProblem[]> {
  return Promise.all(
    selected.map(async (workload) => {
      const own = join(folder, workload.name);
      await mkdir(own);
      return { folder: own, problem: await writeProblem(own, workload) };
    }),
  );
}

function chosen(names: string | undefined): readonly Workload[] {
  if (names === undefined) return workloads;
  return names.split(',').map((name) => {
    const found = workloads.find((workload) => workload.name === name);
    if (!found)
      throw new RangeError(`expected one of ${workloads.map((workload) => workload.name).join(', ')}, got ${name}`);
    return found;
  });
}

/** With the number of images that was asked for. */
function batched(selected: readonly Workload[]): readonly Workload[] {
  if (options.batch === undefined) return selected;
  const batchSize = wholeNumber('--batch', options.batch);
  return selected.map((workload) => ({ ...workload, batchSize }));
}

/** Ours on any number of threads: the step that needs its next batch soonest. */
function shortestStepMs(comparisons: readonly Comparison[], network: string): number {
  const sides = comparisons.filter((comparison) => comparison.network === network).flatMap(({ ours }) => ours);
  return Math.min(...sides.map(({ stepMs }) => stepMs));
}

/** What is known so far, apart from the report on standard output. */
function progress({ network, threads, ours, theirs, load }: Comparison): void {
  const sides = [...ours, ...theirs].map(({ name, stepMs }) => `${name} ${stepMs.toFixed(1)}`).join(', ');
  console.error(
    `${network}, ${threads} threads: ${sides} ms; ${load?.others.toFixed(2) ?? '?'} cores busy with others`,
  );
}

function tableId(text: string): (typeof tableIds)[number] {
  const found = tableIds.find((id) => id === text);
  if (!found) throw new RangeError(`--tables: expected some of ${tableIds.join()}, got ${text}`);
  return found;
}

function wholeNumber(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new RangeError(`${flag}: expected a whole number of at least 1, got ${JSON.stringify(text)}`);
  return value;
}
