import { InterruptedError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import type { Cost } from '../core/trial.ts';
import { trainingFlopsPerMac } from '../models/counts.ts';
import type { Weights } from '../models/graph.ts';
import { Checkpoint, type TrainingState } from './checkpoint.ts';
import { differentiate } from './differentiate.ts';
import type { Engine } from './engine.ts';
import { drawMasks } from './masks.ts';
import { microBatchSize } from './recipe.ts';
import { identityOf } from './run-identity.ts';
import { feedsOf } from './scoring.ts';
import { type TimedStage, Timeline } from './timeline.ts';
import type { Batch, Trainer, TrainingRequest, TrainingResult } from './trainer.ts';
import { type TrainingGraph, trains } from './training-graph.ts';
import { TrainingRun } from './training-run.ts';
import type { Updater } from './updater.ts';

/** Training examples over which running statistics are re-estimated after training. */
const statisticsExamples = 1024;

/**
 * A trainer whose steps an engine computes; all else of a training is here. Deterministic: randomness (weights, data
 * order, masks) comes from the request's seed alone, and masks are fed, never drawn inside the graph.
 * @param open gives the engine for one run.
 */
export function trainerBy(id: string, open: (request: TrainingRequest) => Promise<Engine>): Trainer {
  return { id, train: (request) => train(open, request) };
}

async function train(
  open: (request: TrainingRequest) => Promise<Engine>,
  request: TrainingRequest,
): Promise<TrainingResult> {
  const startMs = performance.now();
  const { graph, task, recipe, threads, signal } = request;
  const timeline = new Timeline(request);
  const engine = await open(request);
  if (engine.notice !== undefined) request.onNotice?.(engine.notice);
  const checkpoint = openCheckpoint(request, timeline, engine);
  const saved = await continued(checkpoint, { request, timeline });
  const run = new TrainingRun(request, timeline, startMs, saved);
  const work: Work = { engine, request, timeline, run, checkpoint };
  const account = () => ({ curve: run.curve.points, cost: costOf(timeline, run), lowering: engine.lowering });
  const diverged = (): TrainingResult => {
    return { status: 'diverged', atExamples: timeline.examplesAfter(run.updates), ...account() };
  };

  try {
    for (const stage of timeline.stages) await runStage(stage, work);
    if (run.curve.diverged) return diverged();
    await checkpoint?.save(run.state); // What follows may be killed, too.
    const learned = run.weights;
    const following = statisticsBatches(request, timeline, run);
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

/** What all stages of a run share. */
interface Work {
  readonly engine: Engine;
  readonly request: TrainingRequest;
  readonly timeline: Timeline;
  readonly run: TrainingRun;
  readonly checkpoint: Checkpoint | undefined;
}

/** Runs a stage from where the run stands to its end, or until the loss diverges; nothing, where it is over. */
async function runStage(stage: TimedStage, work: Work): Promise<void> {
  const { engine, request, timeline, run } = work;
  if (run.updates >= stage.endUpdate || run.curve.diverged) return;
  const { graph, task, recipe, joinedAt, threads, optimization } = stage;
  const training = differentiate(graph, {
    ...task.loss,
    labelSmoothing: recipe.labelSmoothing,
    targets: targetName(task),
  });
  const batches = task.trainingBatches(microBatchSize(recipe), request.seed, timeline.examplesAfter(run.updates));
  const settings = { ...recipe, joinedAt };
  const updater = await engine.openUpdater(graph, training, { recipe: settings, threads, optimization });
  try {
    run.enter(stage, updater.flat);
    await runUpdates(stage, { ...work, training, batches, updater });
  } finally {
    await updater.close();
  }
  // The last one's copy of the data serves the statistics as well.
  if (stage !== timeline.stages.at(-1)) batches.return?.();
}

interface StageWork extends Work {
  readonly training: TrainingGraph;
  readonly batches: Iterator<Batch>;
  readonly updater: Updater;
}

async function runUpdates({ endUpdate }: TimedStage, work: StageWork): Promise<void> {
  const { request, timeline, run, checkpoint, training, batches, updater } = work;
  const { seed, signal } = request;
  while (run.updates < endUpdate && !run.curve.diverged) {
    interruptIfAborted(signal, `after ${timeline.examplesAfter(run.updates)} examples`);
    const learningRate = timeline.learningRateAt(run.updates);
    let part = timeline.microBatchesAfter(run.updates);
    const next = () => ({
      ...feedsOf(nextBatch(batches), training.inputs),
      ...drawMasks(training.masks, new Random(seed).child('masks', part++)),
    });
    const update = run.updates + 1;
    await run.advance((vectors) => updater.update(vectors, { next, learningRate, update }));
    if (checkpoint?.isDue && !run.curve.diverged) await checkpoint.save(run.state);
  }
}

function openCheckpoint(request: TrainingRequest, { stages }: Timeline, { means }: Engine): Checkpoint | undefined {
  const { checkpoint, onNotice } = request;
  if (!checkpoint) return undefined;
  const parametersOf = (stage: number) => (stages[stage] as TimedStage).graph.parameters.filter(trains);
  return new Checkpoint(checkpoint, { identity: identityOf(request, means), parametersOf, onNotice });
}

/** Where the run stood when it was saved, telling so; undefined for one that begins. */
async function continued(
  checkpoint: Checkpoint | undefined,
  { request, timeline }: Pick<Work, 'request' | 'timeline'>,
): Promise<TrainingState | undefined> {
  const { examples, onNotice } = request;
  const saved = await checkpoint?.read();
  if (!saved) return undefined;
  const { state, otherMeans } = saved;
  onNotice?.(`training goes on after ${timeline.examplesAfter(state.updatesMs.length)} of ${examples} examples`);
  if (otherMeans.length > 0)
    onNotice?.(
      `it was begun by other means (${otherMeans.join('; ')}): its weights may differ in their last digits from those of an uninterrupted run`,
    );
  return state;
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
 * The batches after the last trained on, unmixed and as the network will be used, no more than were trained on.
 * @throws {InterruptedError} between two of them, once the signal has aborted.
 */
function* statisticsBatches(
  { task, recipe, seed, signal }: TrainingRequest,
  timeline: Timeline,
  run: TrainingRun,
): Generator<Batch> {
  const batchSize = microBatchSize(recipe);
  const seen = timeline.examplesAfter(run.updates);
  const count = Math.ceil(Math.min(seen, statisticsExamples) / batchSize);
  const whole = task.statisticsBatches?.(batchSize, seed, seen) ?? task.trainingBatches(batchSize, seed, seen);
  for (let index = 0; index < count; index++) {
    interruptIfAborted(signal, 'while statistics were estimated');
    yield nextBatch(whole);
  }
}

function interruptIfAborted(signal: AbortSignal | undefined, when: string): void {
  if (signal?.aborted) throw new InterruptedError(`training: interrupted ${when}`);
}

function costOf(timeline: Timeline, run: TrainingRun): Cost {
  const { updates, updatesMs, trainS } = run;
  // Of the last stage that ran: steps of several sizes have no median that means anything.
  const { start, recipe } = timeline.stageAt(updates - 1);
  const own = updatesMs.slice(start.updates).toSorted((a, b) => a - b);
  const stepMs = own[Math.floor(own.length / 2)] as number;
  return {
    trainS,
    measureS: 0,
    examples: timeline.examplesAfter(updates),
    stepMs,
    imagesPerS: (recipe.batchSize / stepMs) * 1000,
    flops: trainingFlopsPerMac * timeline.macsAfter(updates),
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
  };
}
