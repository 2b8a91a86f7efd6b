import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { Random } from '../../core/random.ts';
import { defaultAugmentation } from '../../data/augment.ts';
import { loadDataset } from '../../data/load.ts';
import { dataSourceSchema } from '../../data/source.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { type NetworkSpec, specDigest } from '../../models/spec.ts';
import { chooseLowering } from '../../training/choose-lowering.ts';
import { imageTask } from '../../training/image-task.ts';
import { onnxTrainerOn } from '../../training/onnx-trainer.ts';
import { defaultRecipe } from '../../training/recipe.ts';
import { describeAgreement } from './report.ts';
import { Rows, rowSchema } from './runs.ts';
import { largest, sampleNetwork, smallest } from './space.ts';
import { scoreInherited, type SharedTraining, trainShared } from './supernet.ts';

const usage = `usage: npx tsx bench/supernet/main.ts [folder] [--rows file] [--networks 24] [--minutes 15] [--only alone/5000]
  folder      holds cifar10-20k-{a,b}.bin.gz (default ../shared/data/images)
  --rows      what was trained so far; the same command goes on from it (default supernet-rows.jsonl)
  --only      runs whose name begins so
  --minutes   ends after the network under way, to be gone on with`;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string', default: 'supernet-rows.jsonl' },
    networks: { type: 'string', default: '24' },
    minutes: { type: 'string', default: '15' },
    only: { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
});

/** Examples of a short training, which is what a supernet's budget is counted in. */
const shortExamples = 5000;
/** Of a training whose accuracy is taken for the truth. */
const longExamples = 40_000;
/** The runs, the most telling first; a supernet's `budget` is in multiples of what the short trainings cost together. */
const runs = [
  { kind: 'alone', examples: shortExamples, seed: 0 },
  { kind: 'uniform', budget: 1, seed: 0 },
  { kind: 'sandwich', budget: 1, seed: 0 },
  { kind: 'alone', examples: longExamples, seed: 100 },
  { kind: 'alone', examples: 2 * shortExamples, seed: 0 },
  { kind: 'alone', examples: shortExamples, seed: 1 },
  { kind: 'uniform', budget: 1, seed: 1 },
  { kind: 'alone', examples: longExamples, seed: 101 },
  { kind: 'uniform', budget: 4, seed: 0 },
  { kind: 'sandwich', budget: 4, seed: 0 },
  { kind: 'sandwich', budget: 1, seed: 1 },
  { kind: 'alone', examples: 2 * shortExamples, seed: 1 },
] as const;
type Run = (typeof runs)[number];

const folder = positionals[0] ?? fileURLToPath(new URL('../../../shared/data/images', import.meta.url));
const files = ['cifar10-20k-a.bin.gz', 'cifar10-20k-b.bin.gz'];
if (options.help) console.log(usage);
else if (!files.every((file) => existsSync(join(folder, file))))
  console.log(`skipped: ${files[0]} is not in ${folder}\n${usage}`);
else await bench();

async function bench(): Promise<void> {
  const networks = distinctNetworks(Number(options.networks));
  const rows = new Rows(options.rows);
  const trainer = await openTrainer(networks);
  const endMs = performance.now() + 60_000 * Number(options.minutes);
  for (const run of runs.filter((one) => nameOf(one).startsWith(options.only))) {
    const known = new Set(rows.of(nameOf(run)).map(({ network }) => network));
    const missing = networks.flatMap((spec, network) => (known.has(network) ? [] : [{ spec, network }]));
    if (missing.length === 0) continue;
    if (performance.now() > endMs) break;
    const score = await trainer(run);
    for (const { spec, network } of missing) {
      // What was trained for all of them is scored for all of them.
      if (run.kind === 'alone' && performance.now() > endMs) break;
      const row = rowSchema.parse({ run: nameOf(run), network, ...(await score(spec)) });
      rows.add(row);
      console.error(JSON.stringify(row));
    }
  }
  if (performance.now() > endMs) console.error('the time is up; the same command goes on');
  describeAgreement(networks, rows);
}

function nameOf(run: Run): string {
  return run.kind === 'alone' ? `alone/${run.examples}/${run.seed}` : `${run.kind}/${run.budget}x/${run.seed}`;
}

/** The first networks of one seed that differ from each other. */
function distinctNetworks(count: number): readonly NetworkSpec[] {
  const found = new Map<string, NetworkSpec>();
  for (let ordinal = 0; found.size < count; ordinal++) {
    const spec = sampleNetwork(new Random('supernet').child('network', ordinal));
    found.set(specDigest(spec), spec);
  }
  return [...found.values()];
}

function macsOf(spec: NetworkSpec): number {
  return countGraph(buildNetwork(spec, 1)).macs;
}

/** How a run scores a network. */
async function openTrainer(networks: readonly NetworkSpec[]) {
  const source = dataSourceSchema.parse({ format: 'cifar10', path: files, testShare: 0.0005, holdout: 0.25 });
  const dataset = await loadDataset(source, { baseDirectory: folder });
  const task = imageTask(dataset, {
    resolution: largest.input.resolution,
    scoredSplit: 'holdout',
    augmentation: defaultAugmentation,
  });
  const cpu = onnxRuntimeAccelerator('cpu');
  const chosen = await chooseLowering(cpu);
  const recipe = defaultRecipe();
  const shortMacs = shortExamples * networks.reduce((sum, spec) => sum + macsOf(spec), 0);

  const alone = (examples: number, seed: number) => async (spec: NetworkSpec) => {
    const graph = buildNetwork(spec, recipe.batchSize);
    const result = await onnxTrainerOn(cpu, chosen).train({ graph, task, recipe, examples, seed, threads: 1 });
    if (result.status !== 'trained') throw new Error(`diverged after ${result.atExamples} examples`);
    return { ...result.metrics, stepMs: result.cost.stepMs, seconds: result.cost.trainS };
  };
  const inherited = async (subnetworks: SharedTraining['subnetworks'], budget: number, seed: number) => {
    const examples = Math.round((budget * shortMacs) / macsOf(largest));
    const request = { largest, task, recipe, examples, seed, lowering: chosen.lowering, subnetworks };
    const { weights, passMs, trainS } = await trainShared(request);
    console.error(`trained on ${examples} examples in ${trainS.toFixed(0)} s, ${passMs.toFixed(1)} ms a pass`);
    return async (spec: NetworkSpec) => {
      const startMs = performance.now();
      const score = await scoreInherited(spec, request, weights);
      return { ...score, stepMs: passMs, seconds: trainS / networks.length + (performance.now() - startMs) / 1000 };
    };
  };
  return async (run: Run) => {
    switch (run.kind) {
      case 'alone':
        return alone(run.examples, run.seed);
      case 'uniform':
        return inherited((random) => [sampleNetwork(random)], run.budget, run.seed);
      case 'sandwich':
        return inherited(sandwich, run.budget, run.seed);
      default:
        return run satisfies never;
    }
  };
}

/** The largest, the smallest and two at random (Yu & Huang 2019, "Universally Slimmable Networks", section 3.2). */
function sandwich(random: Random): readonly NetworkSpec[] {
  return [largest, smallest, sampleNetwork(random.child(0)), sampleNetwork(random.child(1))];
}
