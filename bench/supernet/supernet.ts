import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import type { Session, TensorValue } from '../../accelerators/accelerator.ts';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import type { Weights } from '../../models/graph.ts';
import { initialWeights } from '../../models/initialise.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { differentiate } from '../../training/differentiate.ts';
import { type FlatParameters, unpackParameters } from '../../training/flat-parameters.ts';
import type { Lowering } from '../../training/lowering.ts';
import { updateFactors } from '../../training/optimizer.ts';
import { estimateRunningStatistics } from '../../training/running-statistics.ts';
import { learningRateAt } from '../../training/schedule.ts';
import { feedsOf, type Score, scoreGraph } from '../../training/scoring.ts';
import { lowerGradients, lowerMeanUpdate } from '../../training/step.ts';
import { stepNames } from '../../training/step-names.ts';
import type { Batch, Recipe, TrainingTask } from '../../training/trainer.ts';
import { factorFeeds, initialVectors, type StateVectors } from '../../training/updater.ts';
import { inherited, sharesIn } from './shared-weights.ts';

/** Batches of training examples over which a subnetwork's statistics are estimated: 1,024 examples of 32. */
const statisticsBatches = 32;

export interface SharedTraining {
  readonly largest: NetworkSpec;
  readonly task: TrainingTask;
  readonly recipe: Recipe;
  /** Examples run through the large network, however many subnetworks an update takes. */
  readonly examples: number;
  readonly seed: number;
  readonly lowering: Lowering;
  /** The subnetworks of one update; all see its batch, and their gradients are averaged. */
  readonly subnetworks: (random: Random) => readonly NetworkSpec[];
}

/** Weights that many networks share. */
export interface SharedWeights {
  readonly weights: Weights;
  /** Median of one subnetwork's pass. */
  readonly passMs: number;
  readonly trainS: number;
}

const cpu = onnxRuntimeAccelerator('cpu');

/**
 * Trains one set of weights for all networks of a space: an update runs the *large* network with its parameters masked to
 * one subnetwork after the other, and moves the shared parameters by the mean of the masked gradients. So neither the graph
 * nor its lowering knows of masks. Dropout is not supported.
 */
export async function trainShared(request: SharedTraining): Promise<SharedWeights> {
  const { largest, task, recipe, seed, lowering } = request;
  const startMs = performance.now();
  const random = new Random(seed);
  const graph = buildNetwork(largest, recipe.batchSize);
  const training = differentiate(graph, {
    ...task.loss,
    labelSmoothing: recipe.labelSmoothing,
    targets: task.targets[0]?.name ?? '',
  });
  const { model, flat } = lowerGradients(training, lowering);
  const perUpdate = request.subnetworks(random.child('count')).length;
  const updates = Math.ceil(request.examples / (recipe.batchSize * perUpdate));
  const options = { threads: 1, optimization: 'disabled' } as const;
  const gradientsOf = await cpu.open(encodeOnnx(model), options);
  const step = await cpu.open(encodeOnnx(lowerMeanUpdate(recipe, flat, perUpdate)), options);
  const maskedPass = subnetworkPass(flat, gradientsOf);
  const batches = task.trainingBatches(recipe.batchSize, seed);
  const passesMs: number[] = [];
  let vectors = initialVectors(recipe, flat, initialWeights(graph, random.child('weights')));
  try {
    for (let update = 0; update < updates; update++) {
      const feeds = feedsOf(batches.next().value as Batch, training.inputs);
      const gradients = new Float32Array(flat.length);
      for (const spec of request.subnetworks(random.child('subnetworks', update))) {
        const passMs = performance.now();
        await maskedPass(spec, vectors[stepNames.parameters] as Float32Array, feeds, gradients);
        passesMs.push(performance.now() - passMs);
      }
      const learningRate = learningRateAt(recipe, update, updates);
      vectors = await moved(
        step,
        { ...vectors, [stepNames.gradients]: gradients },
        factorFeeds(updateFactors(recipe, flat, { learningRate, update: update + 1 })),
      );
    }
  } finally {
    await gradientsOf.close();
    await step.close();
  }
  const passMs = passesMs.toSorted((a, b) => a - b)[Math.floor(passesMs.length / 2)] ?? 0;
  const weights = unpackParameters(flat, vectors[stepNames.parameters] as Float32Array);
  return { weights, passMs, trainS: (performance.now() - startMs) / 1000 };
}

/** Adds a subnetwork's gradients to a vector of them. */
function subnetworkPass(flat: FlatParameters, session: Session) {
  const shareOf = sharesIn(flat);
  return async (
    spec: NetworkSpec,
    parameters: Float32Array,
    feeds: Readonly<Record<string, TensorValue>>,
    gradients: Float32Array,
  ): Promise<void> => {
    const { mask, offset } = shareOf(buildNetwork(spec, 1));
    const data = parameters.map((value, index) => value * (mask[index] as number) + (offset[index] as number));
    const outputs = await session.run({ ...feeds, [stepNames.parameters]: vectorOf(data) });
    const found = outputs[stepNames.gradients]?.data as Float32Array;
    for (let index = 0; index < found.length; index++)
      gradients[index] = (gradients[index] as number) + (mask[index] as number) * (found[index] as number);
  };
}

/** State after an update. @param given the state and the summed gradients. */
async function moved(
  step: Session,
  given: StateVectors,
  factors: Readonly<Record<string, TensorValue>>,
): Promise<StateVectors> {
  const vectors = Object.entries(given).map(([name, data]): [string, TensorValue] => [name, vectorOf(data)]);
  const outputs = await step.run({ ...Object.fromEntries(vectors), ...factors });
  const names = Object.keys(given).filter((name) => name !== stepNames.gradients);
  return Object.fromEntries(names.map((name) => [name, outputs[stepNames.updated(name)]?.data as Float32Array]));
}

function vectorOf(data: Float32Array): TensorValue {
  return { dtype: 'float32', dims: [data.length], data };
}

/** How good a subnetwork is with what it inherits, its batch statistics estimated anew. */
export async function scoreInherited(
  spec: NetworkSpec,
  { largest, task, recipe, seed, lowering }: SharedTraining,
  weights: Weights,
): Promise<Score> {
  const { batchSize } = recipe;
  const graph = buildNetwork(spec, batchSize);
  const own = inherited(buildNetwork(largest, batchSize), graph, weights);
  const seen = firstOf(task.trainingBatches(batchSize, seed), statisticsBatches);
  const statistics = await estimateRunningStatistics(cpu, graph, own, seen, { threads: 1, lowering });
  return scoreGraph(cpu, graph, new Map([...own, ...statistics]), task, { batchSize, threads: 1 });
}

function* firstOf(batches: Iterator<Batch>, count: number): Generator<Batch> {
  for (let index = 0; index < count; index++) {
    const next = batches.next();
    if (next.done) return;
    yield next.value;
  }
}
