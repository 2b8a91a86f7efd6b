import { countGraph } from '../models/counts.ts';
import { haveSameParameters } from '../models/growth.ts';
import { microBatchSize, updatesOf } from './recipe.ts';
import { learningRateAt } from './schedule.ts';
import type { TrainingRequest, TrainingStage } from './trainer.ts';

/** A stage with its place in the run. */
export interface TimedStage extends TrainingStage {
  /** From 0. */
  readonly index: number;
  /** Updates, examples and micro-batches of the stages before it. */
  readonly start: { readonly updates: number; readonly examples: number; readonly microBatches: number };
  /** Updates made when it ends. */
  readonly endUpdate: number;
  /** Multiply-adds of one example, forward. */
  readonly macs: number;
  /** Updates made before a parameter joined the network, by its name; those of the first stage's are left out. */
  readonly joinedAt: ReadonlyMap<string, number>;
}

/**
 * Where a run stands after so many updates: everything that follows from its request alone, whatever its stages. All
 * counts are of whole batches.
 */
export class Timeline {
  readonly stages: readonly TimedStage[];
  readonly #recipe: TrainingRequest['recipe'];

  /**
   * @throws {RangeError} when stages share no optimizer, a graph is of another batch than its recipe runs at once, or the last
   * stage's network has not the parameters of the run's.
   */
  constructor(request: TrainingRequest) {
    this.#recipe = request.recipe;
    this.stages = timed(request.stages ?? [onlyStage(request)]);
    for (const { graph, recipe } of this.stages) expectSettings(request, { graph, recipe });
    const last = this.stages.at(-1);
    if (last && !haveSameParameters(last.graph, request.graph))
      throw new RangeError('expected a last stage of the parameters of the run’s network, got others');
  }

  /** Updates of the whole run. */
  get updates(): number {
    return this.stages.at(-1)?.endUpdate ?? 0;
  }

  /** Examples that so many updates see. */
  examplesAfter(updates: number): number {
    const { start, recipe } = this.stageAt(updates);
    return start.examples + (updates - start.updates) * recipe.batchSize;
  }

  /** Micro-batches that so many updates run. */
  microBatchesAfter(updates: number): number {
    const { start, recipe } = this.stageAt(updates);
    return start.microBatches + (updates - start.updates) * (recipe.microBatches ?? 1);
  }

  /** Multiply-adds, forward and per example, that so many updates need. */
  macsAfter(updates: number): number {
    return this.stages.reduce((sum, { start, endUpdate, recipe, macs }) => {
      return sum + Math.max(0, Math.min(updates, endUpdate) - start.updates) * recipe.batchSize * macs;
    }, 0);
  }

  /**
   * Milliseconds that the updates to come will take: as long as those of their stage so far, or where it has made none in
   * proportion to multiply-adds, as those of the last stage that has.
   * @param updatesMs of all updates made. @param first the first that counts: those before it may be another process's.
   */
  remainingMs(updatesMs: readonly number[], first: number): number {
    let msPerMac = 0;
    return this.stages.reduce((sum, { start, endUpdate, recipe, macs }) => {
      const own = updatesMs.slice(Math.max(first, start.updates), endUpdate);
      const updateMacs = recipe.batchSize * macs;
      if (own.length > 0) msPerMac = own.reduce((total, ms) => total + ms) / own.length / updateMacs;
      return sum + Math.max(0, endUpdate - Math.max(start.updates, updatesMs.length)) * updateMacs * msPerMac;
    }, 0);
  }

  /** The stage of the update that comes after so many; the last one at the end. */
  stageAt(updates: number): TimedStage {
    const stage = this.stages.find(({ endUpdate }) => updates < endUpdate) ?? this.stages.at(-1);
    if (!stage) throw new RangeError('expected a run of at least one stage, got none');
    return stage;
  }

  /**
   * Learning rate of the update that comes after so many: where the run's curve is by examples seen, to the peak of the
   * stage's recipe. The curve's unit is the batch of the run's own recipe.
   */
  learningRateAt(updates: number): number {
    const { batchSize } = this.#recipe;
    const { recipe } = this.stageAt(updates);
    return learningRateAt(
      recipe,
      this.examplesAfter(updates) / batchSize,
      this.examplesAfter(this.updates) / batchSize,
    );
  }
}

function onlyStage({ graph, task, recipe, threads, examples }: TrainingRequest): TrainingStage {
  return { graph, task, recipe, threads, updates: updatesOf(recipe, examples) };
}

function timed(stages: readonly TrainingStage[]): TimedStage[] {
  let start = { updates: 0, examples: 0, microBatches: 0 };
  const joined = new Map<string, number>();
  return stages.map((stage, index) => {
    const { recipe, updates, graph } = stage;
    for (const { name } of graph.parameters) if (!joined.has(name)) joined.set(name, start.updates);
    const joinedAt = new Map([...joined].filter(([, before]) => before > 0));
    const own = { index, start, endUpdate: start.updates + updates, macs: countGraph(graph).macs, joinedAt };
    start = {
      updates: own.endUpdate,
      examples: start.examples + updates * recipe.batchSize,
      microBatches: start.microBatches + updates * (recipe.microBatches ?? 1),
    };
    return { ...stage, ...own };
  });
}

function expectSettings(
  { recipe: { optimizer } }: TrainingRequest,
  { graph, recipe }: Pick<TrainingStage, 'graph' | 'recipe'>,
): void {
  if (recipe.optimizer !== optimizer)
    throw new RangeError(`expected stages of the run's optimizer ${optimizer}, got ${recipe.optimizer}`);
  const batchSize = microBatchSize(recipe);
  for (const { name, shape } of graph.inputs)
    if (shape[0] !== batchSize)
      throw new RangeError(`input ${name}: expected a graph of the recipe's batch of ${batchSize}, got ${shape[0]}`);
}
