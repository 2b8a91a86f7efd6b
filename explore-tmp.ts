import { trainInChild } from './training/isolate.ts';
import { defaultRecipe } from './training/recipe.ts';
import { parseNetworkSpec } from './models/spec.ts';
import { applyMultipliers } from './scaling/apply.ts';
import { loadDataset } from './data/load.ts';
import { writeDatasetFile } from './data/cache.ts';
import { dataSourceSchema } from './data/source.ts';
await writeDatasetFile(
  await loadDataset(dataSourceSchema.parse('rendered'), { baseDirectory: '.' }),
  '/tmp/rendered2.bin',
);
const base = parseNetworkSpec(
  {
    input: { resolution: 24 },
    classes: 10,
    stem: { kernel: 3, stride: 2, width: 8, activation: 'silu' },
    stages: [
      {
        operator: 'mbconv',
        kernel: 5,
        stride: 1,
        expansion: 2,
        width: 8,
        repeats: 1,
        squeezeExcite: 0.25,
        activation: 'silu',
      },
      {
        operator: 'fused-mbconv',
        kernel: 3,
        stride: 2,
        expansion: 2,
        width: 16,
        repeats: 1,
        squeezeExcite: 0.25,
        activation: 'silu',
      },
      { operator: 'mbconv', kernel: 3, stride: 2, expansion: 2, width: 24, repeats: 1, activation: 'silu' },
    ],
    head: { width: 48 },
  },
  'base',
);
const examples = Number(process.argv[2]);
for (const [name, m] of Object.entries({
  base: [1, 1, 1],
  width: [1, 2, 1],
  depth: [3, 1, 1],
  resolution: [1, 1, 2],
})) {
  const [depth, width, resolution] = m as [number, number, number];
  const { spec } = applyMultipliers(base, { depth, width, resolution }, { maxResolution: 64 });
  const acc: number[] = [];
  for (const seed of [0, 1, 2]) {
    const r = await trainInChild({
      spec,
      data: { file: '/tmp/rendered2.bin', augmentation: { flip: true, shift: 0, cutout: 0 }, scoredSplit: 'holdout' },
      recipe: defaultRecipe(),
      fidelity: { examples, seed },
      threads: 1,
      weightsFile: '/tmp/w-explore',
    });
    acc.push(r.status === 'trained' ? (r.metrics['accuracy'] ?? 0) : 0);
  }
  console.log(name, acc.map((a) => (100 * a).toFixed(1)).join(' '));
}
