import { setImmediate } from 'node:timers/promises';
import type * as tfc from '@tensorflow/tfjs-core';
import { elements, type Graph } from '../../models/graph.ts';
import { type FlatParameters, flatParameters } from '../flat-parameters.ts';
import { type OptimizerSettings, updateFactors } from '../optimizer.ts';
import { stepNames } from '../step-names.ts';
import type { Recipe } from '../trainer.ts';
import type { TrainingGraph } from '../training-graph.ts';
import type { StateVectors, Updated, UpdateFeeds, Updater } from '../updater.ts';
import type { Known } from './forward.ts';
import { lossAndGradients } from './gradients.ts';
import type { TensorFlow } from './load.ts';
import { moveState, type StateTensors } from './optimizer.ts';
import { fedTensors, scoped, valuesOf } from './tensors.ts';

/** A training step by TensorFlow.js's own differentiation. Nothing stays on its side between two updates. */
export function openTfjsUpdater(
  tf: TensorFlow,
  graph: Graph,
  training: TrainingGraph,
  recipe: Step['recipe'],
): Updater {
  const flat = flatParameters(training.parameters);
  return {
    flat,
    async update(vectors, feeds) {
      await setImmediate(); // A step holds the event loop; signals are heard between two.
      return scoped(tf, () => update(tf, { graph, training, recipe, flat }, vectors, feeds));
    },
    close: async () => {},
  };
}

interface Step {
  readonly graph: Graph;
  readonly training: TrainingGraph;
  readonly recipe: Recipe & OptimizerSettings;
  readonly flat: FlatParameters;
}

function update(tf: TensorFlow, step: Step, vectors: StateVectors, { next, ...place }: UpdateFeeds): Updated {
  const { recipe, flat } = step;
  const state = Object.fromEntries(Object.entries(vectors).map(([name, vector]) => [name, tf.tensor1d(vector)]));
  const parameters = split(tf, flat, state[stepNames.parameters] as tfc.Tensor1D);
  const { gradients, loss, correct } = meanGradients(tf, step, parameters, next);
  const factors = updateFactors(recipe, flat, place);
  const { moved, gradientNorm } = moveState(tf, recipe, flat, { state, gradients, factors });
  return {
    vectors: valuesByName(moved),
    loss,
    correct,
    ...(gradientNorm && { gradientNorm: valuesOf(gradientNorm)[0] as number }),
  };
}

interface BatchGradients {
  readonly gradients: tfc.Tensor1D;
  readonly loss: number;
  readonly correct: number;
}

/** Means over the micro-batches of one update. */
function meanGradients(tf: TensorFlow, step: Step, parameters: Known, next: UpdateFeeds['next']): BatchGradients {
  const { microBatches = 1 } = step.recipe;
  let sum: tfc.Tensor1D | undefined;
  let [loss, correct] = [0, 0];
  for (let index = 0; index < microBatches; index++) {
    const earlier = sum;
    sum = tf.tidy(() => {
      const part = batchGradients(tf, step, parameters, next());
      loss += part.loss / microBatches;
      correct += part.correct;
      return earlier ? tf.add(earlier, part.gradients) : part.gradients;
    });
    earlier?.dispose();
  }
  if (!sum) throw new RangeError(`microBatches: expected at least 1, got ${microBatches}`);
  return { gradients: microBatches === 1 ? sum : tf.mul(sum, 1 / microBatches), loss, correct };
}

function batchGradients(
  tf: TensorFlow,
  { graph, training, recipe }: Step,
  parameters: Known,
  feeds: ReturnType<UpdateFeeds['next']>,
): BatchGradients {
  const fed = fedTensors(tf, feeds);
  const targets = fed.get(training.inputs.at(-1)?.name as string) as tfc.Tensor;
  const { labelSmoothing } = recipe;
  const { loss, correct, gradients } = lossAndGradients(tf, graph, fed, parameters, { targets, labelSmoothing });
  return { gradients: join(tf, gradients), loss: valuesOf(loss)[0] as number, correct };
}

/** The flat vector as parameters of their own shapes. */
function split(tf: TensorFlow, { parameters }: FlatParameters, vector: tfc.Tensor1D): Known {
  let offset = 0;
  return new Map(
    parameters.map(({ parameter: { name, shape } }) => {
      const size = elements(shape);
      const values = tf.slice(vector, [offset], [size]);
      offset += size;
      return [name, tf.reshape(values, [...shape])];
    }),
  );
}

function join(tf: TensorFlow, gradients: readonly tfc.Tensor[]): tfc.Tensor1D {
  return tf.concat(gradients.map((gradient) => tf.reshape<tfc.Rank.R1>(gradient, [-1])));
}

function valuesByName(tensors: StateTensors): StateVectors {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, valuesOf(tensor)]));
}
