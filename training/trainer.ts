import type { Cost, Metrics } from '../core/trial.ts';
import type { DataType, Graph, Weights } from '../models/graph.ts';

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
  readonly loss: { readonly kind: 'softmax-cross-entropy'; readonly labelSmoothing: number };
  /**
   * Endless, seeded stream of training batches of exactly `batchSize`, each example once an epoch.
   * @param skip batches to leave out, so that a resumed run sees what the interrupted one would have.
   */
  trainingBatches(batchSize: number, seed: number, skip?: number): Iterator<Batch>;
  /** Every scored example once, unaugmented, in order; the last batch may be short. */
  scoringBatches(batchSize: number): Iterable<Batch>;
}

/** How to train: the optimizer and its schedule, in the field's usual terms. */
export interface Recipe {
  readonly optimizer: 'sgd-momentum' | 'adamw';
  readonly batchSize: number;
  /** Peak learning rate. */
  readonly learningRate: number;
  readonly momentum: number;
  /** L2 penalty (SGD) or decoupled decay (AdamW); never on norms and biases. */
  readonly weightDecay: number;
  readonly labelSmoothing: number;
  /** Share of steps warming up linearly before the cosine to zero. */
  readonly warmup: number;
}

/** A point of the training curve: running loss as trained (smoothed labels included). */
export interface CurvePoint {
  readonly examples: number;
  readonly loss: number;
  readonly accuracy?: number;
}

export interface TrainingRequest {
  /** Built with a fixed batch equal to `recipe.batchSize`. Its first output is the logits. */
  readonly graph: Graph;
  readonly task: TrainingTask;
  readonly recipe: Recipe;
  /** Examples seen; rounded up to whole batches. The schedule is complete within it. */
  readonly examples: number;
  readonly seed: number;
  /** Starting weights; drawn from `seed` when absent. */
  readonly weights?: Weights;
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (point: CurvePoint) => void;
}

/** A finished run. Divergence is a result, not an exception. */
export type TrainingResult =
  | {
      readonly status: 'trained';
      /** All parameters, running statistics re-estimated. */
      readonly weights: Weights;
      /** `accuracy` and `crossEntropy` (nats, unsmoothed) on the scoring batches. */
      readonly metrics: Metrics;
      readonly curve: readonly CurvePoint[];
      readonly cost: Cost;
    }
  | {
      readonly status: 'diverged';
      readonly atExamples: number;
      readonly curve: readonly CurvePoint[];
      readonly cost: Cost;
    };

/** Fits a graph's weights to a task. Equal requests give equal weights on one machine. */
export interface Trainer {
  readonly id: string;
  train(request: TrainingRequest): Promise<TrainingResult>;
}
