// Does one learning rate under-rate large networks? `npx tsx bench/scaling/learning-rates.ts <CIFAR-10 records>`
// See bench/README.md.
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeDatasetFile } from '../../data/cache.ts';
import { loadDataset } from '../../data/load.ts';
import { dataSourceSchema } from '../../data/source.ts';
import { withHostLock } from '../../latency/host-lock.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { applyMultipliers } from '../../scaling/apply.ts';
import type { Multipliers } from '../../scaling/multipliers.ts';
import { countSpec } from '../../study/evaluation/evaluate.ts';
import { resolveRecipe } from '../../study/evaluation/recipe.ts';
import { trainInChild } from '../../training/isolate.ts';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    examples: { type: 'string', default: '6000' },
    seeds: { type: 'string', default: '2' },
    rates: { type: 'string', default: '0.025,0.05,0.1,0.2,0.4' },
  },
});
const [path] = positionals;
if (path === undefined) {
  console.log('SKIPPED bench/scaling/learning-rates.ts: expected CIFAR-10 records, got none');
  process.exit(0);
}
const examples = Number(options.examples);
const rates = options.rates.split(',').map(Number);
const seeds = Array.from({ length: Number(options.seeds) }, (_, seed) => seed);

const stage = { operator: 'mbconv', kernel: 3, expansion: 4 };
const base = parseNetworkSpec(
  {
    input: { channels: 3, resolution: 24 },
    classes: 10,
    stem: { kernel: 3, stride: 1, width: 16 },
    stages: [
      { ...stage, stride: 2, width: 16, repeats: 1 },
      { ...stage, stride: 2, width: 32, repeats: 2 },
      { ...stage, stride: 2, width: 48, repeats: 2 },
    ],
    head: { width: 128 },
  },
  'base',
);

/** The base and three ways to make it about four to five times as large. */
const scalings: readonly (readonly [string, Multipliers])[] = [
  ['base', { depth: 1, width: 1, resolution: 1 }],
  ['wide', { depth: 1, width: 2.25, resolution: 1 }],
  ['deep', { depth: 4, width: 1, resolution: 1 }],
  ['balanced', { depth: 1.8, width: 1.4, resolution: 32 / 24 }],
];

const folder = mkdtempSync(join(tmpdir(), 'learning-rates-'));
try {
  const dataFile = join(folder, 'data.bin');
  const source = dataSourceSchema.parse({ format: 'cifar10', path, holdout: 0.15 });
  await writeDatasetFile(await loadDataset(source, { baseDirectory: process.cwd() }), dataFile);
  const jobs = seeds.flatMap((seed) =>
    scalings.flatMap(([name, multipliers]) =>
      rates.map((rate) => ({
        seed,
        name,
        rate,
        spec: applyMultipliers(base, multipliers, { maxResolution: 32 }).spec,
      })),
    ),
  );
  const work = async () => {
    for (let job = jobs.shift(); job; job = jobs.shift()) {
      const { seed, name, rate, spec } = job;
      const { recipe, augmentation } = resolveRecipe({ learningRate: rate });
      const result = await withHostLock('shared', () =>
        trainInChild({
          spec,
          data: { file: dataFile, augmentation, scoredSplit: 'holdout' },
          recipe,
          fidelity: { examples, seed },
          threads: 1,
          weightsFile: join(folder, `${name}-${rate}-${seed}.safetensors`),
        }),
      );
      const accuracy = result.status === 'trained' ? result.metrics['accuracy'] : null;
      const trainS = result.status === 'trained' ? result.cost.trainS : null;
      console.log(JSON.stringify({ name, macs: countSpec(spec).macs, rate, seed, accuracy, trainS }));
    }
  };
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
