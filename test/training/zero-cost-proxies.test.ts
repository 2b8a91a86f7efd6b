import { join } from 'node:path';
import { expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { Random } from '../../core/random.ts';
import { writeDatasetFile } from '../../data/cache.ts';
import type { Dataset, Split } from '../../data/dataset.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { openZeroCostChild, scoreUntrained, zeroCostProxies } from '../../training/zero-cost-proxies.ts';
import { fileFolder } from '../cases/file-folder.ts';

const cpu = onnxRuntimeAccelerator('cpu');
const side = 8;
const spec = parseNetworkSpec(
  {
    input: { channels: 1, resolution: side },
    classes: 3,
    stem: { kernel: 3, stride: 2, width: 8 },
    stages: [
      {
        operator: 'mbconv',
        kernel: 3,
        stride: 1,
        expansion: 2,
        width: 8,
        repeats: 2,
        squeezeExcite: 0.25,
        activation: 'silu',
      },
    ],
    head: { width: 16 },
    survival: 0.5,
  },
  'test network',
);

/** Noise, of classes in turn. */
function noise(name: string, count: number): Split {
  const random = new Random(name);
  return {
    count,
    pixels: Uint8Array.from({ length: count * side * side }, () => random.integer(256)),
    labels: Uint16Array.from({ length: count }, (_, index) => index % 3),
  };
}

const dataset: Dataset = {
  name: 'noise',
  channels: 1,
  height: side,
  width: side,
  classNames: ['a', 'b', 'c'],
  mean: [0.5],
  std: [0.3],
  splits: { train: noise('train', 40), holdout: noise('holdout', 4), test: noise('test', 4) },
};
const score = (options: { seed: number; starts?: number; batch?: number }, on = dataset) =>
  scoreUntrained(cpu, spec, on, { threads: 1, ...options }).then(({ scores }) => scores);

it('equal seeds give equal scores, others do not, and every start counts for itself', async () => {
  const scores = await score({ seed: 1, starts: 2, batch: 16 });
  expect(await score({ seed: 1, starts: 2, batch: 16 })).toEqual(scores);
  const other = await score({ seed: 2, starts: 1, batch: 16 });
  for (const proxy of zeroCostProxies) {
    expect(scores[proxy]).toHaveLength(2);
    for (const value of scores[proxy]) expect(Number.isFinite(value)).toBe(true);
    expect(other[proxy][0]).not.toBe(scores[proxy][0]);
  }
  // The second start of seed 1 has the first weights of seed 2; synflow sees nothing but weights.
  expect(other.logSynflow[0]).toBe(scores.logSynflow[1]);
});

it('labels count for the gradient norm alone, images for NASWOT too, and the hold-out for nothing', async () => {
  const { train } = dataset.splits;
  const scores = await score({ seed: 1, starts: 1, batch: 16 });
  const relabelled = { ...train, labels: train.labels.map((label) => (label + 1) % 3) };
  const labels = await score(
    { seed: 1, starts: 1, batch: 16 },
    { ...dataset, splits: { ...dataset.splits, train: relabelled } },
  );
  expect(labels.naswot).toEqual(scores.naswot);
  expect(labels.logSynflow).toEqual(scores.logSynflow);
  expect(labels.gradientNorm).not.toEqual(scores.gradientNorm);
  const splits = { train: noise('other', 40), holdout: dataset.splits.holdout, test: dataset.splits.test };
  const images = await score({ seed: 1, starts: 1, batch: 16 }, { ...dataset, splits });
  expect(images.naswot).not.toEqual(scores.naswot);
  expect(images.logSynflow).toEqual(scores.logSynflow);
  const heldOut = { ...dataset, splits: { ...dataset.splits, holdout: noise('new', 4), test: noise('new', 4) } };
  expect(await score({ seed: 1, starts: 1, batch: 16 }, heldOut)).toEqual(scores);
});

it('a batch is no larger than the training split, so that no example is in it twice', async () => {
  const few = { ...dataset, splits: { ...dataset.splits, train: noise('few', 6) } };
  const { naswot } = await score({ seed: 1, starts: 2, batch: 64 }, few);
  expect(naswot.every(Number.isFinite)).toBe(true);
});

it('a child process gives the same scores', async () => {
  const dataFile = join(fileFolder(), 'data.bin');
  await writeDatasetFile(dataset, dataFile);
  const child = openZeroCostChild();
  try {
    const { output } = await child.call({ spec, dataFile, seed: 1, starts: 2, batch: 16, threads: 1 });
    expect(output.scores).toEqual(await score({ seed: 1, starts: 2, batch: 16 }));
    expect(output.seconds).toBeGreaterThan(0);
  } finally {
    await child.close();
  }
});
