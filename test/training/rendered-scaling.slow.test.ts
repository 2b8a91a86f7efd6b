import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeDatasetFile } from '../../data/cache.ts';
import { loadDataset } from '../../data/load.ts';
import { dataSourceSchema } from '../../data/source.ts';
import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';
import { applyMultipliers } from '../../scaling/apply.ts';
import type { Multipliers } from '../../scaling/multipliers.ts';
import { trainInChild } from '../../training/isolate.ts';
import { defaultRecipe } from '../../training/recipe.ts';
import { fileFolder } from '../cases/file-folder.ts';

const base: NetworkSpec = parseNetworkSpec(
  {
    input: { resolution: 32 },
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

const seeds = Array.from({ length: 10 }, (_, seed) => seed);
const examples = 12_000;

/** Hold-out accuracy of the base under multipliers, one training a seed. */
async function accuracies(multipliers: Multipliers, folder: string): Promise<number[]> {
  const { spec } = applyMultipliers(base, multipliers, { maxResolution: 64 });
  const results: number[] = [];
  for (const seed of seeds) {
    const result = await trainInChild({
      spec,
      data: {
        file: join(folder, 'data.bin'),
        augmentation: { flip: true, shift: 0, cutout: 0 },
        scoredSplit: 'holdout',
      },
      recipe: defaultRecipe(),
      fidelity: { examples, seed },
      threads: 1,
      weightsFile: join(folder, 'weights'),
    });
    results.push(result.status === 'trained' ? (result.metrics['accuracy'] ?? 0) : 0);
  }
  return results;
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const variance = (values: readonly number[]) =>
  values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / (values.length - 1);

/** Welch's t of the difference of means. */
function welch(a: readonly number[], b: readonly number[]): number {
  return (mean(b) - mean(a)) / Math.sqrt(variance(a) / a.length + variance(b) / b.length);
}

describe('the rendered task', () => {
  const folder = fileFolder();
  let ofBase: number[] = [];

  beforeAll(async () => {
    await writeDatasetFile(
      await loadDataset(dataSourceSchema.parse('rendered'), { baseDirectory: folder }),
      join(folder, 'data.bin'),
    );
    ofBase = await accuracies({ depth: 1, width: 1, resolution: 1 }, folder);
  }, 600_000);

  // One-sided, at least 9 degrees of freedom: t > 2.83 by chance less than once in a hundred. Depth alone is not rewarded
  // within so short a training (docs/log.md).
  it.each([
    ['width', { depth: 1, width: 2, resolution: 1 }],
    ['resolution', { depth: 1, width: 1, resolution: 2 }],
  ])('rewards %s alone', async (name, multipliers) => {
    const scaled = await accuracies(multipliers, folder);
    console.log(
      `${name}: base ${(100 * mean(ofBase)).toFixed(1)} %, scaled ${(100 * mean(scaled)).toFixed(1)} %, t ${welch(ofBase, scaled).toFixed(1)}`,
    );
    expect(welch(ofBase, scaled)).toBeGreaterThan(2.83);
  });
});
