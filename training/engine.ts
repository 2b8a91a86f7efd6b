import type { Graph, Weights } from '../models/graph.ts';
import type { Score, ScoringOptions } from './scoring.ts';
import type { OptimizerSettings } from './optimizer.ts';
import type { Batch, GraphOptimization, Recipe, TrainingTask } from './trainer.ts';
import type { TrainingGraph } from './training-graph.ts';
import type { Updater } from './updater.ts';

/**
 * What computes a training: one runtime, ready to run. Batches, masks, rates, curve, averaging, checkpoints and the
 * account of a run are the same whatever the engine.
 */
export interface Engine {
  /** Id of how steps are computed: of the lowering, or of the runtime's backend. */
  readonly lowering: string;
  /** What equal bits depend on beside the work and its threads, as text by key. */
  readonly means: Readonly<Record<string, string>>;
  /** What a person should know about how it was chosen. */
  readonly notice?: string | undefined;
  /** @param training the graph's step: its masks, and its parameters in the network's order. */
  openUpdater(graph: Graph, training: TrainingGraph, options: EngineOptions & StepOptions): Promise<Updater>;
  /** Running means and variances of every batch norm for these weights; see `averagedStatistics`. */
  estimateStatistics(
    graph: Graph,
    weights: Weights,
    batches: Iterable<Batch>,
    options: EngineOptions,
  ): Promise<Map<string, Float32Array>>;
  /** Scores a network with its final weights in inference form; see `scoreBatches`. */
  score(graph: Graph, weights: Weights, task: TrainingTask, options: EngineOptions & ScoringOptions): Promise<Score>;
}

interface StepOptions {
  readonly recipe: Recipe & OptimizerSettings;
  /** Whether the runtime rewrites the step before it runs it, where it can. */
  readonly optimization?: GraphOptimization | undefined;
}

interface EngineOptions {
  /** Threads it may use; more a wish than a limit where a runtime has its own mind (docs/methods.md). */
  readonly threads: number;
}
