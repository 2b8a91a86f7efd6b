import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { minimise } from '../../core/minimise.ts';
import { quantile } from '../../core/quantile.ts';
import { Random } from '../../core/random.ts';
import { cornersOf, huber } from '../../scaling/fit-penalty.ts';
import type { Run } from '../../scaling/fit-runs.ts';
import { logLosses } from '../../scaling/fit-selection.ts';
import { fitLaw, penaltyOf } from '../../scaling/fit.ts';
import { chinchilla, referenceStarts } from '../../scaling/laws/chinchilla.ts';
import { type Columns, columnsOf, naturalValues } from '../../scaling/laws/law.ts';
import { otherSets, referencePoints } from './points.ts';

const usage = `usage: npx tsx bench/laws/main.ts [folder] [--python path] [--rounds 3] [--resamples 10] [--optimization-js folder]
  folder             holds the public tables (default ../shared/data)
  --python           a Python with SciPy; RIDGEPOINT_BENCH_PYTHON otherwise
  --optimization-js  folder of that package, unpacked`;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    python: { type: 'string', default: process.env['RIDGEPOINT_BENCH_PYTHON'] },
    rounds: { type: 'string', default: '3' },
    resamples: { type: 'string', default: '10' },
    'optimization-js': { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

/** What a fit may take from its own starts. Processor time decides: other work stretches wall time, and tells nothing of the fit. */
const goalSeconds = 0.2;
const folder = positionals[0] ?? fileURLToPath(new URL('../../../shared/data', import.meta.url));
if (options.help) console.log(usage);
else if (!existsSync(folder)) console.log(`skipped: the public tables are not in ${folder}\n${usage}`);
else await bench();

interface Turn {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly objective: number;
  readonly theta: readonly number[];
  readonly reached: number;
  readonly evaluations: number;
}

async function bench(): Promise<void> {
  const runs = referencePoints(folder);
  const points = columnsOf(runs);
  const logLoss = logLosses(runs);
  const starts = referenceStarts();
  console.log(`${cpus()[0]?.model.trim()}, ${cpus().length} logical cores, Node ${process.version}`);
  console.log(`\n## ${starts.length} starts, ${runs.length} points, Huber 1e-3, one thread\n`);
  const rounds = Number(options.rounds);
  const ours = () => timed(() => fitLaw(chinchilla, points, logLoss, { starts }));
  const scipy = options.python ? await openScipy(options.python, points, logLoss, starts) : undefined;
  if (!scipy) console.log('No Python with SciPy was named, so ours runs alone.');
  const turns: { ours: Turn; scipy?: Turn; tight?: Turn }[] = [];
  for (let round = 0; round < rounds; round++) {
    // Who begins moves on.
    const first = round % 2 === 0 ? ours() : undefined;
    const peer = await scipy?.turn(false);
    turns.push({ ours: first ?? ours(), scipy: peer, tight: round === 0 ? await scipy?.turn(true) : undefined });
  }
  scipy?.close();
  describeTurn(
    'ours',
    turns.map((turn) => turn.ours),
  );
  if (scipy) {
    describeTurn(
      `SciPy ${scipy.version}, default stopping`,
      turns.flatMap((turn) => turn.scipy ?? []),
    );
    describeTurn(
      'SciPy, stopping as tight as doubles allow',
      turns.flatMap((turn) => turn.tight ?? []),
    );
    const ratios = (of: (turn: Turn) => number) =>
      turns.map((turn) => of(turn.scipy as Turn) / of(turn.ours)).toSorted((a, b) => a - b);
    for (const [what, values] of [
      ['wall', ratios(({ seconds }) => seconds)],
      ['CPU', ratios(({ cpuSeconds }) => cpuSeconds)],
    ] as const)
      console.log(
        `ours is ${quantile(values, 0.5).toFixed(1)} times faster in ${what} time (rounds ${values.map((value) => value.toFixed(1)).join(', ')})`,
      );
  }

  console.log('\n## The law’s own starts\n');
  ownStarts(points, logLoss);
  equivalence(runs, Number(options.resamples));

  if (options['optimization-js'])
    judge(createRequire(import.meta.url)(resolve(options['optimization-js'])) as OptimizationJs, points, logLoss);
  else console.log('\noptimization-js is not judged: --optimization-js names no folder of it.');
}

function ownStarts(points: Columns, logLoss: Float64Array): void {
  const fit = () => timed(() => fitLaw(chinchilla, points, logLoss));
  const cold = fit();
  const warm = Array.from({ length: 15 }, fit);
  const spread = (of: (turn: Turn) => number): string => {
    const sorted = warm.map(of).toSorted((a, b) => a - b);
    return `${ms(quantile(sorted, 0.5))} (${ms(sorted[0] ?? 0)} to ${ms(sorted.at(-1) ?? 0)})`;
  };
  const most = Math.max(...[cold, ...warm].map(({ cpuSeconds }) => cpuSeconds));
  console.log(
    `${chinchilla.starts(points, logLoss).length} starts, ${cold.evaluations} evaluations, objective ${cold.objective}
first fit: ${ms(cold.cpuSeconds)} CPU, ${ms(cold.seconds)} wall; ${warm.length} more: ${spread(({ cpuSeconds }) => cpuSeconds)} CPU, ${spread(({ seconds }) => seconds)} wall
the goal of ${ms(goalSeconds)} of processor time is ${most <= goalSeconds ? 'met by every fit' : `missed: ${ms(most)} at most`}`,
  );
}

function timed(fit: () => ReturnType<typeof fitLaw>): Turn {
  const [wall, cpu] = [performance.now(), process.cpuUsage()];
  const { objective, theta, evaluations, starts } = fit();
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - wall) / 1e3;
  return { seconds, cpuSeconds: (user + system) / 1e6, objective, theta, reached: starts.reached, evaluations };
}

function ms(seconds: number): string {
  return `${(1e3 * seconds).toFixed(0)} ms`;
}

function describeTurn(name: string, turns: readonly Turn[]): void {
  const [turn] = turns;
  if (!turn) return;
  const median = (of: (turn: Turn) => number): string =>
    quantile(
      turns.map(of).toSorted((a, b) => a - b),
      0.5,
    ).toFixed(2);
  const values = Object.entries(naturalValues(chinchilla, turn.theta)).map(
    ([key, value]) => `${key} ${value.toPrecision(6)}`,
  );
  console.log(
    `${name}: ${median(({ seconds }) => seconds)} s wall, ${median(({ cpuSeconds }) => cpuSeconds)} s CPU, ${turn.evaluations} evaluations, ${turn.reached} starts at the optimum, objective ${turn.objective}\n  ${values.join(', ')}`,
  );
}

/** Whether the law's own dozen starts find what the 4,500 find: on resamples of the points and on other sets of runs. */
function equivalence(runs: readonly Run[], resamples: number): void {
  const random = new Random('equivalence');
  const resampled = Array.from({ length: resamples }, (_, k) => {
    const stream = random.child(k);
    return { name: `resample ${k + 1}`, runs: runs.map(() => stream.pick(runs)) };
  });
  let [equal, lower, higher] = [0, 0, 0];
  for (const { name, runs } of [...otherSets(folder), ...resampled]) {
    const points = columnsOf(runs);
    const logLoss = logLosses(runs);
    const many = fitLaw(chinchilla, points, logLoss, { starts: referenceStarts() }).objective;
    const few = fitLaw(chinchilla, points, logLoss).objective;
    const difference = few / many - 1;
    if (Math.abs(difference) < 1e-6) equal++;
    else if (difference < 0) lower++;
    else higher++;
    if (Math.abs(difference) >= 1e-6 || !name.startsWith('resample'))
      console.log(
        `${name} (${runs.length} runs): ${many} from 4,500 starts, ${few} from its own (${(100 * difference).toFixed(5)} %)`,
      );
  }
  console.log(
    `of ${equal + lower + higher} sets the dozen found the same optimum (to 1e-6) ${equal} times, a lower one ${lower}, a higher one ${higher}`,
  );
}

/** What is used of the package optimization-js. */
interface OptimizationJs {
  minimize_L_BFGS(
    value: (x: number[]) => number,
    gradient: (x: number[]) => number[],
    start: number[],
  ): { readonly argument: number[]; readonly fncvalue: number };
}

/** Its L-BFGS and ours from the same starts, 1 of 25 of the 4,500; it has no line search and no limit of its own. */
function judge(library: OptimizationJs, points: Columns, logLoss: Float64Array): void {
  console.log('\n## optimization-js: its L-BFGS on every 25th start\n');
  const [corner] = cornersOf(huber);
  if (!corner) return;
  const objective = penaltyOf(chinchilla, points, logLoss, corner);
  const gradient = new Float64Array(5);
  const most = 20_000;
  let evaluations = 0;
  const value = (x: number[]): number => {
    if (++evaluations > most) throw new RangeError('too many evaluations');
    return objective(Float64Array.from(x), gradient);
  };
  const slope = (x: number[]): number[] => {
    objective(Float64Array.from(x), gradient);
    return [...gradient];
  };
  const counts = { optimum: 0, elsewhere: 0, 'not a number': 0, 'no end': 0 };
  const oursCounts = { optimum: 0, elsewhere: 0 };
  const best = fitLaw(chinchilla, points, logLoss);
  const starts = referenceStarts().filter((_, i) => i % 25 === 0);
  const [theirs, mine] = [{ seconds: 0 }, { seconds: 0 }];
  for (const start of starts) {
    let from = performance.now();
    evaluations = 0;
    try {
      const { fncvalue } = library.minimize_L_BFGS(value, slope, [...start]);
      if (Number.isNaN(fncvalue)) counts['not a number']++;
      else counts[fncvalue <= best.objective + 1e-6 ? 'optimum' : 'elsewhere']++;
    } catch {
      counts['no end']++;
    }
    theirs.seconds += (performance.now() - from) / 1e3;
    from = performance.now();
    const found = minimise(objective, start);
    oursCounts[found.value <= best.objective + 1e-6 ? 'optimum' : 'elsewhere']++;
    mine.seconds += (performance.now() - from) / 1e3;
  }
  let atOptimum: string;
  evaluations = 0;
  try {
    atOptimum = String(library.minimize_L_BFGS(value, slope, [...best.theta]).fncvalue);
  } catch {
    atOptimum = `no end in ${most} evaluations`;
  }
  console.log(
    `of ${starts.length} starts: ${JSON.stringify(counts)} in ${theirs.seconds.toFixed(2)} s; started on the optimum ${best.objective}: ${atOptimum}`,
  );
  console.log(`ours, SciPy's default stopping: ${JSON.stringify(oursCounts)} in ${mine.seconds.toFixed(2)} s`);
}

interface Scipy {
  readonly version: string;
  turn(tight: boolean): Promise<Turn>;
  close(): void;
}

async function openScipy(
  python: string,
  { logParams, logData }: Columns,
  logLoss: Float64Array,
  starts: readonly (readonly number[])[],
): Promise<Scipy> {
  const child: ChildProcess = spawn(python, [fileURLToPath(new URL('scipy-child.py', import.meta.url))], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' },
  });
  const { stdin, stdout } = child;
  if (!stdin || !stdout) throw new Error('no pipes to Python');
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  const ask = async (request: object): Promise<unknown> => {
    stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error(`${python} ended; does it have SciPy?`);
    return JSON.parse(value as string);
  };
  const columns = { logParams: [...logParams], logData: [...logData], logLoss: [...logLoss], delta: 1e-3, starts };
  const { scipy } = (await ask(columns)) as { scipy: string };
  return { version: scipy, turn: async (tight) => (await ask({ tight })) as Turn, close: () => stdin.end() };
}
