import type { z } from 'zod';
import type { Cost, curvePointSchema, Metrics } from '../core/trial.ts';
import type { SessionOptions } from '../accelerators/accelerator.ts';
import type { ProviderId } from '../accelerators/onnxruntime.ts';
import type { DataType, Graph, Weights } from '../models/graph.ts';
import type { Schedule } from './schedule.ts';

/** Values of one named tensor of a batch; `data.length` is the product of `shape`. */
export interface BatchTensor {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}
/** One batch: the task's inputs and targets by name. */
export type Batch = Readonly<Record<string, BatchTensor>>;

/**
 * What is learned, apart from the network: where batches come from, what the loss is and how a
 * model is scored. Not images only; a tensor is whatever its name, shape and dtype say.
 */
export interface TrainingTask {
  /** Tensors a batch holds, without the batch axis; `inputs` feed the graph, `targets` the loss. */
  readonly inputs: readonly { readonly name: string; readonly dtype: DataType; readonly shape: readonly number[] }[];
  readonly targets: readonly { readonly name: string; readonly dtype: DataType; readonly shape: readonly number[] }[];
  readonly loss: { readonly kind: 'softmax-cross-entropy' };
  /**
   * Endless, seeded stream of training batches of exactly `batchSize`, each example once an epoch.
   * @param skip examples to leave out, so that a resumed run, or one that goes on with batches of another size, sees
   * what comes next. Ending the stream early (`return`) frees what was made for it.
   */
  trainingBatches(batchSize: number, seed: number, skip?: number): Iterator<Batch>;
  /**
   * As {@link trainingBatches}, but of whole examples where those are blends (mixup, CutMix): running statistics
   * are estimated from what resembles the examples that will be scored. Absent where nothing is blended.
   */
  statisticsBatches?(batchSize: number, seed: number, skip?: number): Iterator<Batch>;
  /** Every scored example once, unaugmented, in order; the last batch may be short. */
  scoringBatches(batchSize: number): Iterable<Batch>;
}

/** How to train: the optimizer and its schedule, in the field's usual terms. What is optional is off, or the default. */
export interface Recipe {
  readonly optimizer: 'sgd-momentum' | 'rmsprop' | 'adamw';
  /** Examples an update. */
  readonly batchSize: number;
  /** Peak learning rate. */
  readonly learningRate: number;
  /** Of SGD and RMSprop; β₁ of AdamW. */
  readonly momentum: number;
  /** Nesterov's look-ahead, of SGD. */
  readonly nesterov?: boolean;
  /** L2 penalty (SGD, RMSprop) or decoupled decay (AdamW); never on norms and biases. */
  readonly weightDecay: number;
  /** Share of a target that is spread evenly over all classes, in training alone. */
  readonly labelSmoothing: number;
  /** Share of steps warming up linearly, whatever the schedule. */
  readonly warmup: number;
  /** What follows the warm-up; a cosine to zero unless given. */
  readonly schedule?: Schedule;
  /** Largest L2 norm of all gradients together; larger ones are scaled down to it. */
  readonly clipNorm?: number;
  /**
   * Parts a batch is run in, one after the other, where it is too large for memory; their gradients are averaged.
   * Equal to the whole batch for networks without batch norm; statistics of a batch norm are each part's own.
   */
  readonly microBatches?: number;
  /**
   * Whether a step keeps less of its forward pass and computes the rest again on the way back, where it is too large for
   * memory: the same gradients in every bit, for up to a quarter more time.
   */
  readonly rematerialise?: boolean;
  /** Execution provider that steps run on, and at the run's end statistics and scores; that of the trainer when absent. */
  readonly provider?: ProviderId;
  /**
   * Decay, over as many examples as `batchSize`, of an exponential moving average of the weights, which is then what is scored
   * and kept. It is as long in examples where stages have other batches.
   */
  readonly emaDecay?: number;
}

/**
 * A stretch of a run at settings of its own: what is trained on what, how, and for how many updates. Parameters and the
 * optimizer's state go on from one stage to the next, so all have the same optimizer. Where a network has other parameters
 * than the one before it grew out of that (`models/growth.ts`).
 */
export interface TrainingStage {
  /** Built with a fixed batch equal to {@link microBatchSize} of this stage's recipe. Its first output is the logits. */
  readonly graph: Graph;
  readonly task: TrainingTask;
  /** The learning rate moves along the whole run's curve, whose peak is this recipe's while the stage lasts. */
  readonly recipe: Recipe;
  readonly threads: number;
  /** Whether the runtime rewrites the step before it runs it; `disabled` unless given. */
  readonly optimization?: GraphOptimization;
  readonly updates: number;
}
/** Whether a runtime rewrites a graph before it runs it. */
export type GraphOptimization = NonNullable<SessionOptions['optimization']>;

/** A point of the training curve: running loss as trained (smoothed labels included). */
export type CurvePoint = Readonly<z.output<typeof curvePointSchema>>;

export interface TrainingRequest {
  /** Built with a fixed batch equal to {@link microBatchSize} of the recipe. Its first output is the logits. */
  readonly graph: Graph;
  readonly task: TrainingTask;
  /** Of the whole run: its learning-rate curve, the optimizer and the average that all stages share. */
  readonly recipe: Recipe;
  /** Examples seen; rounded up to whole batches. The learning-rate schedule is complete within it. */
  readonly examples: number;
  /**
   * The run in stages, in order; without them it is one, at the settings above. What these are at the end, `graph`,
   * `task` and `threads` above still say: statistics are estimated and the network is scored by them.
   */
  readonly stages?: readonly TrainingStage[];
  readonly seed: number;
  /** Starting weights, of the first stage's network; drawn from `seed` when absent. */
  readonly weights?: Weights;
  readonly threads: number;
  /** Where the run is saved as it goes, and continued from; nowhere when absent. */
  readonly checkpoint?: CheckpointOptions;
  readonly signal?: AbortSignal;
  readonly onProgress?: (point: CurvePoint, pace: Pace) => void;
  /** Hears what a person should know: how a checkpoint was used or why not, or that something faster could not be. */
  readonly onNotice?: (text: string) => void;
}

/** How fast a run goes. */
export interface Pace {
  /** Examples a second of the updates that this call has made, their batches included. */
  readonly imagesPerS: number;
  /** Seconds until the last update, predicted by those: each stage by its own, what is to come by multiply-adds. */
  readonly remainingS: number;
}

/** A file that makes a run survive its process. */
export interface CheckpointOptions {
  /** Written beside and renamed. The caller deletes it when the result is safe. */
  readonly file: string;
  /** What identifies the task, e.g. the digest of its data: a run of another task is not continued. */
  readonly task: Readonly<Record<string, string>>;
  /** Seconds of training that a kill may cost; 30 by default. An interrupt costs none. */
  readonly everyS?: number;
  /** Hears that the file holds a later state, and how many seconds of training that is. */
  readonly onSaved?: (trainS: number) => void;
  /**
   * What becomes of a file that is damaged or of another run: `refuse` (the default) throws and leaves it, for it may
   * be all that is left of that run; `start-over` removes it, telling so, where the file is no more than a cache.
   */
  readonly onMisfit?: 'refuse' | 'start-over';
}

/** A finished run. Divergence is a result, not an exception. */
export type TrainingResult =
  | (TrainingAccount & {
      readonly status: 'trained';
      /** All parameters (averaged, where the recipe averages), running statistics estimated for them. */
      readonly weights: Weights;
      /** `accuracy` and `crossEntropy` (nats, unsmoothed) on the scoring batches. */
      readonly metrics: Metrics;
    })
  | (TrainingAccount & { readonly status: 'diverged'; readonly atExamples: number });

/** How a run went; of a resumed one, all its parts together. */
interface TrainingAccount {
  readonly curve: readonly CurvePoint[];
  readonly cost: Cost;
  /** Id of the lowering that the steps ran by. */
  readonly lowering: string;
}

/** The trainers there are: `onnx-trainer.ts`, the default, and `tfjs-trainer.ts`. */
export const trainerKinds = ['onnx', 'tfjs'] as const;
export type TrainerKind = (typeof trainerKinds)[number];

/** Fits a graph's weights to a task. Equal requests give equal weights on one machine, interrupted or not. */
export interface Trainer {
  readonly id: string;
  /**
   * @throws {InterruptedError} between two batches, when the signal aborts; a checkpoint asked for is written then, or
   * the reason that it could not be is the error's cause.
   * @throws {ConfigError} when the checkpoint is of another run and such are refused, or a stage's network cannot grow out of
   * the one before. @throws {InvalidFileError} when it
   * is damaged, likewise.
   */
  train(request: TrainingRequest): Promise<TrainingResult>;
}
