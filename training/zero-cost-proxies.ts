import type { Accelerator } from '../accelerators/accelerator.ts';
import { Random } from '../core/random.ts';
import { childEntry, openChild, type Child } from '../core/child.ts';
import { noAugmentation } from '../data/augment.ts';
import type { Dataset } from '../data/dataset.ts';
import { buildNetwork } from '../models/build.ts';
import { initialWeights } from '../models/initialise.ts';
import type { NetworkSpec } from '../models/spec.ts';
import { imageTask, targetInput } from './image-task.ts';
import { activationCodes } from './zero-cost/activation-codes.ts';
import { gradientNorms, type Start } from './zero-cost/gradient-norm.ts';
import { logSynflow } from './zero-cost/synflow.ts';

/** Scores of networks that nobody trained; of each a larger one promises more. */
export const zeroCostProxies = ['gradientNorm', 'logSynflow', 'naswot'] as const;
export type ZeroCostProxy = (typeof zeroCostProxies)[number];

/** Where a network starts from and what it is shown. */
export interface ZeroCostOptions {
  /** Of the first start; start i has the initial weights of a training of seed `seed + i`. */
  readonly seed: number;
  /** Initial weights, each with a batch of its own, that scores are averaged over. Default 3. */
  readonly starts?: number;
  /** Examples in a batch; fewer where the training split is smaller. Default 64. */
  readonly batch?: number;
  readonly threads: number;
}

/** Scores of one network over its starts. */
export interface ZeroCostScores {
  /** Of every start, in order: see zero-cost/. A NASWOT or synflow that is not finite is −∞. */
  readonly scores: Readonly<Record<ZeroCostProxy, readonly number[]>>;
  /** Wall time of all of it, data at hand. */
  readonly seconds: number;
}

/**
 * Zero-cost proxies of a network on a data set's training split, whole images as they are stored, resized to the network. Equal
 * options give equal scores on one machine. Labels enter the gradient norm only; synflow looks at no data.
 */
export async function scoreUntrained(
  accelerator: Accelerator,
  spec: NetworkSpec,
  dataset: Dataset,
  options: ZeroCostOptions,
): Promise<ZeroCostScores> {
  const startMs = performance.now();
  const { seed, starts: count = 3, threads } = options;
  const size = Math.min(options.batch ?? 64, dataset.splits.train.count);
  const graph = buildNetwork(spec, size);
  const shown = sample(dataset, count * size, new Random(seed).child('zero-cost'));
  const task = imageTask(shown, {
    resolution: spec.input.resolution,
    augmentation: noAugmentation,
    scoredSplit: 'holdout',
  });
  const starts = [...task.scoringBatches(size)].map((batch, index): Start => {
    return { weights: initialWeights(graph, new Random(seed + index).child('weights')), batch };
  });
  const loss = { ...task.loss, labelSmoothing: 0, targets: targetInput };
  const initialisations = starts.map(({ weights }) => weights);
  const scores = {
    gradientNorm: await gradientNorms(accelerator, graph, loss, starts, { threads }),
    logSynflow: await logSynflow(accelerator, buildNetwork(spec, 1), initialisations, { threads }),
    naswot: await activationCodes(accelerator, graph, starts, { threads }),
  };
  return { scores, seconds: (performance.now() - startMs) / 1e3 };
}

/** The data set with `count` training examples in random order, repeated where there are fewer, as its hold-out. */
function sample(dataset: Dataset, count: number, random: Random): Dataset {
  const { train } = dataset.splits;
  const order = random.permutation(train.count);
  const values = train.pixels.length / train.count;
  const pixels = new Uint8Array(count * values);
  const labels = Uint16Array.from(
    { length: count },
    (_, place) => train.labels[order[place % train.count] as number] as number,
  );
  for (let place = 0; place < count; place++) {
    const example = order[place % train.count] as number;
    pixels.set(train.pixels.subarray(example * values, (example + 1) * values), place * values);
  }
  return { ...dataset, splits: { ...dataset.splits, holdout: { count, pixels, labels } } };
}

/** What the child is asked. */
export interface ZeroCostAssignment extends ZeroCostOptions {
  readonly spec: NetworkSpec;
  /** Prepared data-set file (`data/cache.ts`). */
  readonly dataFile: string;
}

/**
 * A process of its own that answers with {@link scoreUntrained}, one network after the other; it reads a data file once. Takes no
 * lock: holding the host's lock in shared mode is the caller's part.
 */
export function openZeroCostChild(): Child<ZeroCostAssignment, ZeroCostScores> {
  return openChild({ entry: childEntry(import.meta.url, './zero-cost-child') });
}
