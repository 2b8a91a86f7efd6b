import { Random } from '../core/random.ts';
import type { Graph, Weights } from '../models/graph.ts';
import { growthBetween, haveSameParameters } from '../models/growth.ts';
import { initialWeights } from '../models/initialise.ts';
import { averageInto, averagingShare } from './averaging.ts';
import type { TrainingState } from './checkpoint.ts';
import { TrainingCurve } from './curve.ts';
import { averageName, grownState } from './grown-state.ts';
import { type FlatParameters, flatParameters, packParameters, unpackParameters } from './flat-parameters.ts';
import { stepNames } from './step-names.ts';
import type { TimedStage, Timeline } from './timeline.ts';
import type { CurvePoint, Recipe, TrainingRequest } from './trainer.ts';
import { trains } from './training-graph.ts';
import { initialVectors, type StateVectors, type Updated } from './updater.ts';

/** A run between two updates: what the next one starts from and what was seen so far. */
export class TrainingRun {
  readonly curve: TrainingCurve;
  /** Wall time of every update. */
  readonly updatesMs: number[];
  readonly #recipe: Recipe;
  readonly #seed: number;
  readonly #timeline: Timeline;
  /** When the run began, had it never been interrupted; by `performance.now`. */
  readonly #startMs: number;
  /** Whose network the vectors are of. */
  #stage: TimedStage;
  #flat: FlatParameters;
  #vectors: StateVectors;
  #average: Float32Array | undefined;

  /** @param startMs when this part of the run began. @param saved where the part before it ended. */
  constructor(request: TrainingRequest, timeline: Timeline, startMs: number, saved?: TrainingState) {
    const { recipe, seed } = request;
    this.#recipe = recipe;
    this.#seed = seed;
    this.#timeline = timeline;
    this.#stage = timeline.stages[saved?.stage ?? 0] as TimedStage;
    const { graph } = this.#stage;
    // In the network's own order, until a stage says how its step keeps them.
    this.#flat = flatParameters(graph.parameters.filter(trains));
    const start = saved ? packedVectors(this.#flat, saved.vectors) : freshVectors(request, graph, this.#flat);
    const { [averageName]: average, ...vectors } = start;
    this.#vectors = vectors;
    if (recipe.emaDecay !== undefined)
      this.#average = average ?? (vectors[stepNames.parameters] as Float32Array).slice();
    this.#startMs = startMs - 1000 * (saved?.trainS ?? 0);
    this.updatesMs = [...(saved?.updatesMs ?? [])];
    this.curve = new TrainingCurve(
      timeline.updates,
      {
        examplesAfter: (updates) => timeline.examplesAfter(updates),
        ...rowsOf(request.graph),
      },
      this.#progressReport(request, timeline),
      saved?.curve,
    );
  }

  /** Updates made. */
  get updates(): number {
    return this.updatesMs.length;
  }

  /** Wall time of all parts of the run. */
  get trainS(): number {
    return (performance.now() - this.#startMs) / 1000;
  }

  /**
   * Makes the state that of a stage's network, grown where that has other parameters, and lays it out as the stage's step
   * keeps it.
   * @throws {ConfigError} when the network cannot grow so.
   */
  enter(stage: TimedStage, flat: FlatParameters): void {
    const { [averageName]: average, ...vectors } = packedVectors(flat, this.#stateIn(stage));
    this.#stage = stage;
    this.#flat = flat;
    this.#vectors = vectors;
    this.#average = average;
  }

  /** One update from the vectors given, timed and taken in. */
  async advance(update: (vectors: StateVectors) => Promise<Updated>): Promise<void> {
    const startMs = performance.now();
    const { vectors, loss, correct, gradientNorm } = await update(this.#vectors);
    this.#vectors = vectors;
    const { emaDecay } = this.#recipe;
    if (this.#average && emaDecay !== undefined) {
      const { batchSize } = this.#recipe;
      const seen = this.#timeline.examplesAfter(this.updates + 1) / batchSize;
      const share = averagingShare(emaDecay, { seen, own: this.#stage.recipe.batchSize / batchSize });
      averageInto(this.#average, vectors[stepNames.parameters] as Float32Array, share);
    }
    this.updatesMs.push(performance.now() - startMs);
    this.curve.observe(loss, correct, gradientNorm);
  }

  /** Trainable parameters as they would be kept now: averaged, where the recipe averages. */
  get weights(): Weights {
    return unpackParameters(this.#flat, this.#average ?? (this.#vectors[stepNames.parameters] as Float32Array));
  }

  /** All of it, to be continued from. */
  get state(): TrainingState {
    const flat = { ...this.#vectors, ...(this.#average && { [averageName]: this.#average }) };
    const vectors = Object.entries(flat).map(([name, vector]) => [name, unpackParameters(this.#flat, vector)]);
    const { updatesMs, trainS, curve } = this;
    const { index: stage } = this.#stage;
    return { vectors: Object.fromEntries(vectors), updatesMs, trainS, curve: curve.state, stage };
  }

  #stateIn({ graph, index }: TimedStage): TrainingState['vectors'] {
    const { vectors } = this.state;
    if (haveSameParameters(this.#stage.graph, graph)) return vectors;
    const growth = growthBetween(this.#stage.graph, graph);
    return grownState(vectors, growth, {
      parameters: graph.parameters.filter(trains),
      optimizer: this.#recipe.optimizer,
      seed: this.#seed,
      stage: index,
    });
  }

  /** Adds the pace of this part of the run to what the curve reports. */
  #progressReport({ onProgress }: TrainingRequest, timeline: Timeline) {
    const before = this.updates;
    return (point: CurvePoint): void => {
      const seconds = this.updatesMs.slice(before).reduce((sum, ms) => sum + ms, 0) / 1000;
      onProgress?.(point, {
        imagesPerS: (point.examples - timeline.examplesAfter(before)) / seconds,
        remainingS: timeline.remainingMs(this.updatesMs, before) / 1000,
      });
    };
  }
}

/** Rows of logits that one example has, one or one a token, and the classes that a row tells apart. */
function rowsOf({ outputs, tensors }: TrainingRequest['graph']): { rowsPerExample: number; classes: number } {
  const [, ...extents] = tensors.get(outputs[0] as string)?.shape ?? [];
  const rowsPerExample = extents.slice(0, -1).reduce<number>((product, extent) => product * Number(extent), 1);
  return { rowsPerExample, classes: Number(extents.at(-1)) };
}

function freshVectors({ recipe, seed, weights }: TrainingRequest, graph: Graph, flat: FlatParameters): StateVectors {
  return initialVectors(recipe, flat, weights ?? initialWeights(graph, new Random(seed).child('weights')));
}

function packedVectors(flat: FlatParameters, vectors: TrainingState['vectors']): StateVectors {
  return Object.fromEntries(Object.entries(vectors).map(([name, values]) => [name, packParameters(flat, values)]));
}
