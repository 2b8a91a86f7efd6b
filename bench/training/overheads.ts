import { type Augmentation, augmentationSchema, defaultAugmentation } from '../../data/augment.ts';
import type { Dataset, Split } from '../../data/dataset.ts';
import { Random } from '../../core/random.ts';
import { median } from '../../latency/statistics.ts';
import { imageTask } from '../../training/image-task.ts';
import type { StoredProblem } from './compare.ts';
import { Contender } from './contender.ts';
import { ours } from './contenders.ts';
import type { Turns } from './interleave.ts';
import type { LoweringId } from './lowerings.ts';
import type { NetworkSpec } from '../../models/spec.ts';

// What surrounds the steps: several trainers at once, opening a session, making batches.

/** Two trainers of one thread each beside one of two threads, in images a second. */
export interface TrainerSplit {
  readonly network: string;
  readonly twoOfOne: number;
  readonly oneOfTwo: number;
}

/** Images a second of both ways to use two cores, in turns; medians over rounds. */
export async function compareTrainerSplit({ folder, problem }: StoredProblem, turns: Turns): Promise<TrainerSplit> {
  const open = (threads: number) => Contender.open(ours(folder, threads, 'chosen'));
  const pair = [await open(1), await open(1)];
  const single = [await open(2)];
  /** Until the last of them is done: a trainer left alone would be faster than it is beside the other. */
  const imagesPerS = async (trainers: readonly Contender[]): Promise<number> => {
    const startMs = performance.now();
    await Promise.all(trainers.map((trainer) => trainer.run(turns.steps)));
    return (trainers.length * turns.steps * problem.recipe.batchSize * 1000) / (performance.now() - startMs);
  };
  try {
    const rates = { pair: new Array<number>(), single: new Array<number>() };
    for (const trainers of [pair, single]) await imagesPerS(trainers);
    for (let round = 0; round < turns.rounds; round++) {
      rates.pair.push(await imagesPerS(pair));
      rates.single.push(await imagesPerS(single));
    }
    return { network: problem.name, twoOfOne: median(rates.pair), oneOfTwo: median(rates.single) };
  } finally {
    for (const trainer of [...pair, ...single]) await trainer.close();
  }
}

/** Time from a spec to a session that can step, in a fresh process, in milliseconds; medians. */
export interface Opening {
  readonly network: string;
  readonly lowering: LoweringId;
  /** Graph, gradients, lowering and encoding. */
  readonly buildMs: number;
  /** Choosing the lowering, its self-test included. */
  readonly chooseMs: number;
  /** The runtime's own loading. */
  readonly openMs: number;
}

export async function timeOpening(
  { folder, problem }: StoredProblem,
  lowering: LoweringId,
  processes: number,
): Promise<Opening> {
  const builds: number[] = [];
  const opens: number[] = [];
  const choices: number[] = [];
  for (let index = 0; index < processes; index++) {
    const contender = await Contender.open(ours(folder, 1, lowering));
    builds.push(contender.ready.buildMs as number);
    choices.push(contender.ready.chooseMs as number);
    opens.push(contender.ready.openMs as number);
    await contender.close();
  }
  return { network: problem.name, lowering, buildMs: median(builds), openMs: median(opens), chooseMs: median(choices) };
}

/** What is done to training images: as a study does unless told otherwise, and all there is. */
const augmentations = {
  usual: defaultAugmentation,
  everything: augmentationSchema.parse({ crop: {}, randAugment: {}, cutout: 0.25, mixup: 0.2 }),
} as const;

/** Making a batch beside the step that uses it, in milliseconds. */
export interface Feeding {
  readonly network: string;
  readonly batchMs: Readonly<Record<keyof typeof augmentations, number>>;
  readonly stepMs: number;
}

/** Times to make one batch, in milliseconds; medians. */
export function timeBatches(spec: NetworkSpec, batchSize: number, batches: number): Feeding['batchMs'] {
  const time = (augmentation: Augmentation) => timeBatch(spec, batchSize, batches, augmentation);
  return { usual: time(augmentations.usual), everything: time(augmentations.everything) };
}

function timeBatch(spec: NetworkSpec, batchSize: number, batches: number, augmentation: Augmentation): number {
  const task = imageTask(noiseImages(spec, 4 * batchSize), {
    resolution: spec.input.resolution,
    scoredSplit: 'holdout',
    augmentation,
  });
  const stream = task.trainingBatches(batchSize, 1);
  stream.next();
  return median(
    Array.from({ length: batches }, () => {
      const startMs = performance.now();
      stream.next();
      return performance.now() - startMs;
    }),
  );
}

/** A data set of noise: what the pixels are does not matter to the time. */
function noiseImages({ input: { channels, resolution }, classes }: NetworkSpec, count: number): Dataset {
  const random = new Random('noise');
  const pixels = Uint8Array.from({ length: count * channels * resolution ** 2 }, () => random.integer(256));
  const split: Split = { count, pixels, labels: Uint16Array.from({ length: count }, () => random.integer(classes)) };
  return {
    name: 'noise',
    channels,
    height: resolution,
    width: resolution,
    classNames: Array.from({ length: classes }, (_, index) => `class ${index}`),
    mean: Array.from({ length: channels }, () => 0.5),
    std: Array.from({ length: channels }, () => 0.25),
    splits: { train: split, holdout: split, test: split },
  };
}
