// What does a training schedule save? `npx tsx bench/progressive/main.ts --cifar DIR --out FILE`
// See bench/README.md.
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { digestJson, shortDigest } from '../../core/digest.ts';
import { writeDatasetFile } from '../../data/cache.ts';
import { loadDataset } from '../../data/load.ts';
import { dataSourceSchema } from '../../data/source.ts';
import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';
import { resolveRecipe } from '../../study/evaluation/recipe.ts';
import { loadSchedule } from '../../study/evaluation/training-schedule.ts';
import { trainInChild } from '../../training/isolate.ts';
import { plannedMacs, planStages } from '../../training/stage-plan.ts';
import { kept } from '../headline/delivered.ts';
import { studyNames } from '../headline/studies.ts';
import { childrenCpuS } from './cpu-time.ts';
import { type Arm, report, type Run } from './report.ts';

const { values: options } = parseArgs({
  options: {
    cifar: { type: 'string' },
    signs: { type: 'string' },
    rendered: { type: 'boolean', default: false },
    /** Networks of the headline (`searched/1x`), on its split of `--cifar`. */
    headline: { type: 'string' },
    schedules: { type: 'string', default: 'efficientnetv2,progressive-resize,multigrid' },
    examples: { type: 'string', default: '16000' },
    work: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '3' },
    out: { type: 'string', default: 'progressive.jsonl' },
  },
});

const stage = { operator: 'mbconv', kernel: 3, expansion: 4 };

/** One trunk for all tasks, about 7 M multiply-adds at 32 pixels. */
function networkOf(resolution: number): NetworkSpec {
  return parseNetworkSpec(
    {
      input: { channels: 3, resolution },
      classes: 10,
      stem: { kernel: 3, stride: 1, width: 16 },
      stages: [
        { ...stage, stride: 2, width: 24, repeats: 2 },
        { ...stage, stride: 2, width: 40, repeats: 2 },
        { ...stage, stride: 2, width: 64, repeats: 1 },
      ],
      head: { width: 128 },
    },
    'trunk',
  );
}

/** What is trained, on what. */
interface Task {
  readonly task: string;
  readonly source: object;
  readonly trainer: Parameters<typeof resolveRecipe>[0];
  readonly spec: NetworkSpec;
}

function cifarTask(path: string): Task {
  const source = { format: 'cifar10', path, holdout: 0.15 };
  return { task: 'cifar10-20k', source, trainer: {}, spec: networkOf(32) };
}

/** Networks that the headline delivered, trained as its studies train. */
function headlineTasks(path: string, names: readonly string[]): Task[] {
  return names.map((name) => {
    const [study, size] = name.split('/');
    const known = studyNames.find((each) => each === study);
    const member = known && kept(known)?.lines.family.find((each) => each.size === size);
    if (!member) throw new Error(`--headline: expected a study and size such as searched/1x, got ${name}`);
    const source = { format: 'cifar10', path, holdout: 2000, testShare: 2000 };
    return { task: `headline-${study}-${size}`, source, trainer: {}, spec: member.spec };
  });
}

function signsTask(folder: string): Task {
  return {
    task: 'sign-digits',
    source: {
      format: 'records',
      channels: 3,
      height: 100,
      width: 100,
      holdout: 0.15,
      path: join(folder, 'sign-digits-100-train.bin.gz'),
      test: join(folder, 'sign-digits-100-test.bin.gz'),
    },
    // A mirrored hand is another hand.
    trainer: { augmentation: { flip: false, shift: 0.125, cutout: 0 } },
    spec: networkOf(48),
  };
}

const renderedTask: Task = {
  task: 'rendered',
  source: { format: 'rendered', classes: 10, train: 1200, test: 1200, resolution: 24 },
  trainer: {},
  spec: networkOf(24),
};

const { cifar, signs, rendered, headline } = options;
if (headline !== undefined && cifar === undefined) throw new Error('--headline: expected --cifar beside it, got none');
const tasks = [
  ...(cifar !== undefined && headline === undefined ? [cifarTask(cifar)] : []),
  ...(cifar !== undefined && headline !== undefined ? headlineTasks(cifar, headline.split(',')) : []),
  ...(signs === undefined ? [] : [signsTask(signs)]),
  ...(rendered ? [renderedTask] : []),
];
if (tasks.length === 0) {
  console.log('SKIPPED bench/progressive: expected --cifar, --signs or --rendered, got none');
  process.exit(0);
}

/** The schedules at as many examples as without, and again at as many as make up each share of its multiply-adds. */
function armsOf(spec: NetworkSpec, trainer: Parameters<typeof resolveRecipe>[0]): readonly Arm[] {
  const examples = Number(options.examples);
  const settings = { spec, ...resolveRecipe(trainer), examples, threads: 1 };
  const fixed: Arm = { schedule: 'fixed', examples, equal: 'examples' };
  return [
    fixed,
    ...options.schedules.split(',').flatMap((schedule): Arm[] => {
      const choice = loadSchedule(schedule, process.cwd());
      const saved = plannedMacs(planStages('fixed', settings)) / plannedMacs(planStages(choice, settings));
      return [
        { schedule, examples, equal: 'examples' },
        ...options.work.split(',').map((share) => ({
          schedule,
          examples: Math.round(Number(share) * examples * saved),
          equal: Number(share) === 1 ? 'multiply-adds' : `${share} of the multiply-adds`,
        })),
      ];
    }),
  ];
}

function runsIn(file: string): Run[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Run);
}

const folder = mkdtempSync(join(tmpdir(), 'progressive-'));
try {
  for (const { task, source, trainer, spec } of tasks) {
    const dataFile = join(folder, `${task}.bin`);
    await writeDatasetFile(
      await loadDataset(dataSourceSchema.parse(source), { baseDirectory: process.cwd() }),
      dataFile,
    );
    const { recipe, augmentation } = resolveRecipe(trainer);
    const arms = armsOf(spec, trainer);
    // Seed by seed, the schedules side by side: what the machine does besides falls on all of them.
    for (let seed = 0; seed < Number(options.seeds); seed++)
      for (const arm of arms) {
        const schedule = loadSchedule(arm.schedule, process.cwd());
        const id = shortDigest(
          digestJson({ task, seed, spec, recipe, augmentation, schedule, examples: arm.examples }),
        );
        if (runsIn(options.out).some((run) => run.id === id)) continue;
        const checkpoint = `${options.out}.${id}.checkpoint`;
        const isResumed = existsSync(checkpoint);
        const before = childrenCpuS();
        const result = await trainInChild({
          spec,
          data: { file: dataFile, augmentation, scoredSplit: 'test' },
          recipe,
          fidelity: { examples: arm.examples, seed },
          schedule,
          threads: 1,
          weightsFile: join(folder, 'weights.safetensors'),
          checkpoint: { file: checkpoint, dataDigest: task, onMisfit: 'start-over' },
        });
        rmSync(checkpoint, { force: true });
        const { cost } = result;
        const accuracy = result.status === 'trained' ? (result.metrics['accuracy'] ?? 0) : 0;
        const run: Run = {
          id,
          task,
          seed,
          ...arm,
          accuracy,
          trainS: cost.trainS,
          // What an earlier process spent is not known.
          cpuS: isResumed ? null : childrenCpuS() - before,
          flops: cost.flops,
        };
        appendFileSync(options.out, `${JSON.stringify(run)}\n`);
        console.log(JSON.stringify(run));
      }
  }
  console.log(report(runsIn(options.out)));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
