import type { Accelerator, Session, TensorValue } from '../accelerators/accelerator.ts';
import type { Weights } from '../models/graph.ts';
import { encodeOnnx, type OnnxModel } from '../models/onnx.ts';
import { type FlatParameters, packParameters } from './flat-parameters.ts';
import type { Lowering } from './lowering.ts';
import { type OptimizerSettings, optimizerSlots, updateFactors, type UpdatePlace } from './optimizer.ts';
import { lowerAccumulation, lowerMeanUpdate, lowerTrainingStep } from './step.ts';
import { stepNames } from './step-names.ts';
import type { GraphOptimization, Recipe } from './trainer.ts';
import type { TrainingGraph } from './training-graph.ts';

/** The state that updates move, by name: parameters and the optimizer's slots, each as one flat vector. */
export type StateVectors = Readonly<Record<string, Float32Array>>;
type Feeds = Readonly<Record<string, TensorValue>>;

/** What one update is made from. */
export interface UpdateFeeds extends UpdatePlace {
  /** Batch and masks of the next micro-batch. */
  readonly next: () => Feeds;
}

/** What one update gave. */
export interface Updated {
  readonly vectors: StateVectors;
  /** Mean over the batch. */
  readonly loss: number;
  /** Rows of the batch that were right. */
  readonly correct: number;
  readonly gradientNorm?: number;
}

/** A training step on an accelerator: moves whatever state it is given. */
export interface Updater {
  readonly flat: FlatParameters;
  /** What comes out is what the next update is fed, without a copy. */
  update(vectors: StateVectors, feeds: UpdateFeeds): Promise<Updated>;
  close(): Promise<void>;
}

export interface UpdaterOptions {
  readonly recipe: Recipe & OptimizerSettings;
  readonly lowering: Lowering;
  readonly threads: number;
  /** Whether the runtime rewrites the step's graph; `disabled` unless given. */
  readonly optimization?: GraphOptimization | undefined;
}

/** Opens one session for the whole step, or two where the recipe accumulates micro-batches. */
export async function openUpdater(
  accelerator: Accelerator,
  training: TrainingGraph,
  { recipe, lowering, threads, optimization = 'disabled' }: UpdaterOptions,
): Promise<Updater> {
  const { microBatches = 1 } = recipe;
  const open = (model: OnnxModel) => accelerator.open(encodeOnnx(model), { threads, optimization });
  if (microBatches === 1) {
    const { model, flat } = lowerTrainingStep(training, recipe, lowering);
    return wholeBatch(recipe, flat, await open(model));
  }
  const { model, flat } = lowerAccumulation(training, recipe, lowering);
  return accumulated(recipe, flat, await open(model), await open(lowerMeanUpdate(recipe, flat, microBatches)));
}

function wholeBatch(recipe: UpdaterOptions['recipe'], flat: FlatParameters, session: Session): Updater {
  return {
    flat,
    async update(vectors, { next, ...place }) {
      const factors = factorFeeds(updateFactors(recipe, flat, place));
      const outputs = await session.run({ ...next(), ...factors, ...vectorFeeds(vectors) });
      return { vectors: movedVectors(vectors, outputs), ...lossOf(outputs), ...normOf(outputs) };
    },
    close: () => session.close(),
  };
}

function accumulated(
  recipe: UpdaterOptions['recipe'],
  flat: FlatParameters,
  accumulation: Session,
  step: Session,
): Updater {
  const { microBatches = 1 } = recipe;
  const none: Float32Array = new Float32Array(flat.length);
  return {
    flat,
    async update(vectors, { next, ...place }) {
      const parameters = vectors[stepNames.parameters] as Float32Array;
      let gradients = none;
      let [loss, correct] = [0, 0];
      for (let index = 0; index < microBatches; index++) {
        const held = vectorFeeds({ [stepNames.parameters]: parameters, [stepNames.gradients]: gradients });
        const outputs = await accumulation.run({ ...next(), ...held });
        gradients = outputs[stepNames.updated(stepNames.gradients)]?.data as Float32Array;
        const part = lossOf(outputs);
        loss += part.loss / microBatches;
        correct += part.correct;
      }
      const outputs = await step.run({
        ...factorFeeds(updateFactors(recipe, flat, place)),
        ...vectorFeeds({ ...vectors, [stepNames.gradients]: gradients }),
      });
      return { vectors: movedVectors(vectors, outputs), loss, correct, ...normOf(outputs) };
    },
    async close() {
      await accumulation.close();
      await step.close();
    },
  };
}

/** Parameters as given and the optimizer's slots as they start. */
export function initialVectors({ optimizer }: Recipe, flat: FlatParameters, weights: Weights): StateVectors {
  const slots = optimizerSlots[optimizer].map(({ name, initial }) => {
    return [name, new Float32Array(flat.length).fill(initial)] as const;
  });
  return { [stepNames.parameters]: packParameters(flat, weights), ...Object.fromEntries(slots) };
}

function vectorFeeds(vectors: StateVectors): Record<string, TensorValue> {
  const feeds = Object.entries(vectors).map(([name, data]): [string, TensorValue] => {
    return [name, { dtype: 'float32', dims: [data.length], data }];
  });
  return Object.fromEntries(feeds);
}

/** See `updateFactors`. */
export function factorFeeds(factors: Readonly<Record<string, number | Float32Array>>): Record<string, TensorValue> {
  const feeds = Object.entries(factors).map(([name, value]): [string, TensorValue] => {
    if (typeof value === 'number') return [name, { dtype: 'float32', dims: [], data: Float32Array.of(value) }];
    return [name, { dtype: 'float32', dims: [value.length], data: value }];
  });
  return Object.fromEntries(feeds);
}

function movedVectors(vectors: StateVectors, outputs: Feeds): StateVectors {
  const moved = Object.keys(vectors).map((name) => [name, outputs[stepNames.updated(name)]?.data as Float32Array]);
  return Object.fromEntries(moved) as StateVectors;
}

function lossOf(outputs: Feeds): { loss: number; correct: number } {
  return { loss: scalarOf(outputs, stepNames.loss) as number, correct: scalarOf(outputs, stepNames.correct) as number };
}

function normOf(outputs: Feeds): { gradientNorm?: number } {
  const gradientNorm = scalarOf(outputs, stepNames.gradientNorm);
  return gradientNorm === undefined ? {} : { gradientNorm };
}

function scalarOf(outputs: Feeds, name: string): number | undefined {
  return outputs[name]?.data[0] as number | undefined;
}
