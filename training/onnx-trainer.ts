import type { Accelerator } from '../accelerators/accelerator.ts';
import { onnxRuntimeAccelerator } from '../accelerators/onnxruntime.ts';
import { InterruptedError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import type { Cost } from '../core/trial.ts';
import { countGraph } from '../models/counts.ts';
import type { Graph, Weights } from '../models/graph.ts';
import { Checkpoint, type TrainingState } from './checkpoint.ts';
import type { ChosenLowering } from './choose-lowering.ts';
import { differentiate } from './differentiate.ts';
import type { Engine } from './engine.ts';
import { drawMasks } from './masks.ts';
import { onnxEngine } from './onnx-engine.ts';
import { updateScalars } from './optimizer.ts';
import { microBatchSize, updatesOf } from './recipe.ts';
import { identityOf } from './run-identity.ts';
import { learningRateAt } from './schedule.ts';
import { feedsOf } from './scoring.ts';
import type { Batch, Trainer, TrainingRequest, TrainingResult } from './trainer.ts';
import type { TrainingGraph } from './training-graph.ts';
import { TrainingRun } from './training-run.ts';
import type { Updater } from './updater.ts';

/** Training examples over which running statistics are re-estimated after training. */
const statisticsExamples = 1024;

/** The default trainer: forward, backward and update as one ONNX graph, run on the CPU. */
export const onnxTrainer: Trainer = onnxTrainerOn(onnxRuntimeAccelerator('cpu'));

/**
 * A trainer whose steps run on the given accelerator. Deterministic: randomness (weights, data order,
 * masks) comes from the request's seed alone, and masks are fed, never drawn inside the graph.
 * @param chosen the lowering, where it is known; the accelerator is asked when absent.
 */
export function onnxTrainerOn(accelerator: Accelerator, chosen?: ChosenLowering): Trainer {
  return trainerBy(`onnx-${accelerator.id}`, () => onnxEngine(accelerator, chosen));
}

/** A trainer whose steps an engine computes. @param open gives the engine for one run. */
export function trainerBy(id: string, open: (request: TrainingRequest) => Promise<Engine>): Trainer {
  return { id, train: (request) => train(open, request) };
}

async function train(
  open: (request: TrainingRequest) => Promise<Engine>,
  request: TrainingRequest,
): Promise<TrainingResult> {
  const startMs = performance.now();
  const { graph, task, recipe, seed, threads, signal } = request;
  expectBatch(graph, microBatchSize(recipe));
  const engine = await open(request);
  if (engine.notice !== undefined) request.onNotice?.(engine.notice);
  const training = differentiate(graph, {
    ...task.loss,
    labelSmoothing: recipe.labelSmoothing,
    targets: targetName(task),
  });
  const checkpoint = openCheckpoint(request, training, engine);
  const saved = await continued(checkpoint, request);
  const updater = await engine.openUpdater(graph, training, { recipe, threads });
  const run = new TrainingRun(request, updater.flat, startMs, saved);
  const batches = task.trainingBatches(microBatchSize(recipe), seed, run.microBatchesDone);
  const account = () => ({ curve: run.curve.points, cost: costOf(request, run), lowering: engine.lowering });
  const diverged = (): TrainingResult => {
    return { status: 'diverged', atExamples: run.updates * recipe.batchSize, ...account() };
  };

  try {
    await runUpdates(updater, { request, training, run, batches, checkpoint });
    if (run.curve.diverged) return diverged();
    await checkpoint?.save(run.state); // What follows may be killed, too.
    const learned = run.weights;
    const following = statisticsBatches(request, batches, run);
    const statistics = await engine.estimateStatistics(graph, learned, following, { threads });
    const weights: Weights = new Map([...learned, ...statistics]);
    const batchSize = microBatchSize(recipe);
    const score = await engine.score(graph, weights, task, { batchSize, threads, signal });
    const { accuracy, crossEntropy } = score;
    // Weights may overflow in the last steps, after the last loss that was looked at.
    if (!Number.isFinite(crossEntropy)) return diverged();
    return { status: 'trained', weights, metrics: { accuracy, crossEntropy }, ...account() };
  } catch (error) {
    if (error instanceof InterruptedError)
      await checkpoint?.write(run.state).catch((cause: Error) => {
        throw new InterruptedError(`${error.message}; it could not be saved: ${cause.message}`, { cause });
      });
    throw error;
  }
}

interface Progress {
  readonly request: TrainingRequest;
  readonly training: TrainingGraph;
  readonly run: TrainingRun;
  readonly batches: Iterator<Batch>;
  readonly checkpoint: Checkpoint | undefined;
}

/** Runs a request's updates to their end, or until the loss diverges, and closes the updater. */
async function runUpdates(updater: Updater, { request, training, run, batches, checkpoint }: Progress): Promise<void> {
  const { recipe, examples, seed, signal } = request;
  const updates = updatesOf(recipe, examples);
  try {
    while (run.updates < updates && !run.curve.diverged) {
      interruptIfAborted(signal, `after ${run.updates * recipe.batchSize} examples`);
      const learningRate = learningRateAt(recipe, run.updates, updates);
      let part = run.microBatchesDone;
      const next = () => ({
        ...feedsOf(nextBatch(batches), training.inputs),
        ...drawMasks(training.masks, new Random(seed).child('masks', part++)),
      });
      const scalars = updateScalars(recipe, { learningRate, update: run.updates + 1 });
      await run.advance((vectors) => updater.update(vectors, { next, scalars }));
      if (checkpoint?.isDue && !run.curve.diverged) await checkpoint.save(run.state);
    }
  } finally {
    await updater.close();
  }
}

function openCheckpoint(
  request: TrainingRequest,
  { parameters }: TrainingGraph,
  { means }: Engine,
): Checkpoint | undefined {
  const { checkpoint, onNotice } = request;
  return checkpoint && new Checkpoint(checkpoint, { identity: identityOf(request, means), parameters, onNotice });
}

/** Where the run stood when it was saved, telling so; undefined for one that begins. */
async function continued(
  checkpoint: Checkpoint | undefined,
  { recipe, examples, onNotice }: TrainingRequest,
): Promise<TrainingState | undefined> {
  const saved = await checkpoint?.read();
  if (!saved) return undefined;
  const { state, otherMeans } = saved;
  onNotice?.(`training goes on after ${state.updatesMs.length * recipe.batchSize} of ${examples} examples`);
  if (otherMeans.length > 0)
    onNotice?.(
      `it was begun by other means (${otherMeans.join('; ')}): its weights may differ in their last digits from those of an uninterrupted run`,
    );
  return state;
}

function expectBatch({ inputs }: Graph, batchSize: number): void {
  for (const { name, shape } of inputs)
    if (shape[0] !== batchSize)
      throw new RangeError(`input ${name}: expected a graph of the recipe's batch of ${batchSize}, got ${shape[0]}`);
}

function targetName(task: TrainingRequest['task']): string {
  const [target] = task.targets;
  if (!target) throw new RangeError('expected a task with class distributions as its target, got none');
  return target.name;
}

function nextBatch(batches: Iterator<Batch>): Batch {
  const next = batches.next();
  if (next.done) throw new RangeError('expected an endless stream of training batches, got one that ended');
  return next.value;
}

/**
 * The batches after the last trained on, unmixed, no more than were trained on.
 * @throws {InterruptedError} between two of them, once the signal has aborted.
 */
function* statisticsBatches(
  { task, recipe, seed, signal }: TrainingRequest,
  batches: Iterator<Batch>,
  run: TrainingRun,
): Generator<Batch> {
  const batchSize = microBatchSize(recipe);
  const count = Math.min(run.microBatchesDone, Math.ceil(statisticsExamples / batchSize));
  const whole = task.statisticsBatches?.(batchSize, seed, run.microBatchesDone) ?? batches;
  for (let index = 0; index < count; index++) {
    interruptIfAborted(signal, 'while statistics were estimated');
    yield nextBatch(whole);
  }
}

function interruptIfAborted(signal: AbortSignal | undefined, when: string): void {
  if (signal?.aborted) throw new InterruptedError(`training: interrupted ${when}`);
}

function costOf({ graph, recipe }: TrainingRequest, run: TrainingRun): Cost {
  const { updates, updatesMs, trainS } = run;
  const stepMs = updatesMs.toSorted((a, b) => a - b)[Math.floor(updates / 2)] as number;
  const examples = updates * recipe.batchSize;
  return {
    trainS,
    measureS: 0,
    examples,
    stepMs,
    imagesPerS: (recipe.batchSize / stepMs) * 1000,
    flops: 3 * 2 * countGraph(graph).macs * examples,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
  };
}
