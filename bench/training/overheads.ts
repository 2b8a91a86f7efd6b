import { type Augmentation, augmentationSchema, defaultAugmentation } from '../../data/augment.ts';
import type { Dataset, Split } from '../../data/dataset.ts';
import { Random } from '../../core/random.ts';
import { median } from '../../core/quantile.ts';
import { imageTask } from '../../training/image-task.ts';
import type { StoredProblem } from './compare.ts';
import { Contender, type ContenderCommand } from './contender.ts';
import { limit, ours } from './contenders.ts';
import type { Turns } from './interleave.ts';
import { type LimitId, limits } from './limits.ts';
import type { LoweringId } from './lowerings.ts';
import type { NetworkSpec } from '../../models/spec.ts';

// What surrounds the steps: several trainers at once, opening a session, making batches.

/** Two programs of one thread each beside one of two, in units of work a second. */
export interface CoreSplit {
  readonly name: string;
  /** One of one thread, with nobody beside it. */
  readonly oneOfOne: number;
  readonly twoOfOne: number;
  readonly oneOfTwo: number;
}

/** Images a second of both ways to use two cores. */
export function compareTrainerSplit({ folder, problem }: StoredProblem, turns: Turns): Promise<CoreSplit> {
  return compareSplit(problem.name, (threads) => ours(folder, threads, 'chosen'), problem.recipe.batchSize, turns);
}

/** The same of work that is bound by the machine: what two programs can gain over one that shares its work perfectly. */
export function compareLimitSplit(id: LimitId, turns: Turns): Promise<CoreSplit> {
  return compareSplit(id, (threads) => limit(id, threads), limits[id].amount / 1e9, turns);
}

/** In turns; medians over rounds. */
async function compareSplit(
  name: string,
  command: (threads: number) => ContenderCommand,
  unitsPerStep: number,
  { rounds, steps }: Turns,
): Promise<CoreSplit> {
  const open = (threads: number) => Contender.open(command(threads));
  const pair = [await open(1), await open(1)];
  const single = [await open(2)];
  /** Until the last of them is done: one left alone would be faster than it is beside the other. */
  const perS = async (programs: readonly Contender[]): Promise<number> => {
    const startMs = performance.now();
    await Promise.all(programs.map((program) => program.run(steps)));
    return (programs.length * steps * unitsPerStep * 1000) / (performance.now() - startMs);
  };
  try {
    const rates = { alone: new Array<number>(), pair: new Array<number>(), single: new Array<number>() };
    for (const programs of [pair, single]) await perS(programs);
    for (let round = 0; round < rounds; round++) {
      rates.alone.push(await perS(pair.slice(0, 1)));
      rates.pair.push(await perS(pair));
      rates.single.push(await perS(single));
    }
    const { alone, pair: beside, single: oneOfTwo } = rates;
    return { name, oneOfOne: median(alone), twoOfOne: median(beside), oneOfTwo: median(oneOfTwo) };
  } finally {
    for (const program of [...pair, ...single]) await program.close();
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
