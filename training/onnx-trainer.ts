import type { Accelerator, Session, TensorValue } from '../accelerators/accelerator.ts';
import { onnxRuntimeAccelerator } from '../accelerators/onnxruntime.ts';
import { InterruptedError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import type { Cost } from '../core/trial.ts';
import { countGraph } from '../models/counts.ts';
import type { Graph, Weights } from '../models/graph.ts';
import { initialWeights } from '../models/initialise.ts';
import { encodeOnnx } from '../models/onnx.ts';
import { TrainingCurve } from './curve.ts';
import { differentiate } from './differentiate.ts';
import { type FlatParameters, packParameters, unpackParameters } from './flat-parameters.ts';
import { lowerTrainingStep, stepNames } from './lower-plain.ts';
import { slotCount } from './optimizer.ts';
import { estimateRunningStatistics } from './running-statistics.ts';
import { learningRateAt } from './schedule.ts';
import { feedsOf, scoreGraph } from './scoring.ts';
import type { Batch, Trainer, TrainingRequest, TrainingResult } from './trainer.ts';
import type { MaskInput, TrainingGraph } from './training-graph.ts';

/** Training examples over which running statistics are re-estimated after training. */
const statisticsExamples = 1024;

/** The default trainer: forward, backward and update as one ONNX graph, run on the CPU. */
export const onnxTrainer: Trainer = onnxTrainerOn(onnxRuntimeAccelerator('cpu'));

/**
 * A trainer whose steps run on the given accelerator. Deterministic: randomness (weights, data order,
 * masks) comes from the request's seed alone, and masks are fed, never drawn inside the graph.
 * @throws {InterruptedError} from `train` when the signal aborts, between two steps.
 */
function onnxTrainerOn(accelerator: Accelerator): Trainer {
  return { id: `onnx-${accelerator.id}`, train: (request) => train(accelerator, request) };
}

async function train(accelerator: Accelerator, request: TrainingRequest): Promise<TrainingResult> {
  const { graph, task, recipe, seed, threads } = request;
  const startMs = performance.now();
  const start = request.weights ?? initialWeights(graph, new Random(seed).child('weights'));
  const batches = task.trainingBatches(recipe.batchSize, seed);

  const run = await runSteps(accelerator, request, start, batches);
  const cost = (): Cost => costOf(request, run, (performance.now() - startMs) / 1000);
  const diverged = (): TrainingResult => {
    return { status: 'diverged', atExamples: run.examples, curve: run.curve, cost: cost() };
  };
  if (run.diverged) return diverged();

  const batchCount = Math.min(run.stepsMs.length, Math.ceil(statisticsExamples / recipe.batchSize));
  const statistics = await estimateRunningStatistics(
    accelerator,
    graph,
    run.vector,
    takeBatches(batches, batchCount, request.signal),
    threads,
  );
  const weights: Weights = new Map([...unpackParameters(run.flat, run.vector), ...statistics]);
  const { accuracy, crossEntropy } = await scoreGraph(accelerator, graph, weights, task, {
    batchSize: recipe.batchSize,
    threads,
  });
  // Weights may overflow in the last steps, after the last loss that was looked at.
  if (!Number.isFinite(crossEntropy)) return diverged();
  return { status: 'trained', weights, metrics: { accuracy, crossEntropy }, curve: run.curve, cost: cost() };
}

interface Run {
  readonly flat: FlatParameters;
  readonly vector: Float32Array;
  readonly examples: number;
  readonly stepsMs: readonly number[];
  readonly curve: TrainingResult['curve'];
  readonly diverged: boolean;
}

async function runSteps(
  accelerator: Accelerator,
  { graph, task, recipe, examples, seed, threads, signal, onProgress }: TrainingRequest,
  start: Weights,
  batches: Iterator<Batch>,
): Promise<Run> {
  const training = differentiate(graph, {
    ...task.loss,
    labelSmoothing: recipe.labelSmoothing,
    labels: labelName(task),
  });
  const { model, flat } = lowerTrainingStep(training, recipe);
  const session = await accelerator.open(encodeOnnx(model), { threads, optimization: 'disabled' });
  const steps = Math.ceil(examples / recipe.batchSize);
  const schedule = { kind: 'warmup-cosine', peak: recipe.learningRate, warmup: recipe.warmup } as const;
  const curve = new TrainingCurve(steps, recipe.batchSize, onProgress);
  const state = new StepState(packParameters(flat, start), slotCount(recipe.optimizer));
  const stepsMs: number[] = [];
  try {
    while (stepsMs.length < steps && !curve.diverged) {
      interruptIfAborted(signal, stepsMs.length * recipe.batchSize);
      const startMs = performance.now();
      const step = stepsMs.length;
      const { loss, correct } = await state.advance(session, {
        ...feedsOf(nextBatch(batches), training.inputs),
        ...drawMasks(training, new Random(seed).child('masks', step)),
        [stepNames.learningRate]: scalar(learningRateAt(schedule, step, steps)),
        ...(recipe.optimizer === 'adamw' ? { [stepNames.step]: scalar(step + 1) } : {}),
      });
      curve.observe(loss, correct);
      stepsMs.push(performance.now() - startMs);
    }
  } finally {
    await session.close();
  }
  const seen = stepsMs.length * recipe.batchSize;
  return { flat, vector: state.parameters, examples: seen, stepsMs, curve: curve.points, diverged: curve.diverged };
}

/** Parameters and optimizer slots; what one step gives is fed to the next without a copy. */
class StepState {
  #vectors: Record<string, TensorValue>;

  constructor(parameters: Float32Array, slots: number) {
    const names = Array.from({ length: slots }, (_, index) => stepNames.slot(index));
    const zeros = names.map((name) => [name, vector(new Float32Array(parameters.length))]);
    this.#vectors = { [stepNames.parameters]: vector(parameters), ...Object.fromEntries(zeros) };
  }

  get parameters(): Float32Array {
    return this.#vectors[stepNames.parameters]?.data as Float32Array;
  }

  async advance(session: Session, feeds: Record<string, TensorValue>): Promise<{ loss: number; correct: number }> {
    const outputs = await session.run({ ...feeds, ...this.#vectors });
    const updated = Object.keys(this.#vectors).map((name) => [name, outputs[stepNames.updated(name)] as TensorValue]);
    this.#vectors = Object.fromEntries(updated);
    const first = (name: string): number => outputs[name]?.data[0] as number;
    return { loss: first(stepNames.loss), correct: first(stepNames.correct) };
  }
}

function labelName(task: TrainingRequest['task']): string {
  const [target] = task.targets;
  if (!target) throw new RangeError('expected a task with class labels as its target, got none');
  return target.name;
}

function nextBatch(batches: Iterator<Batch>): Batch {
  const next = batches.next();
  if (next.done) throw new RangeError('expected an endless stream of training batches, got one that ended');
  return next.value;
}

/** @throws {InterruptedError} between two batches, once the signal has aborted. */
function* takeBatches(batches: Iterator<Batch>, count: number, signal: AbortSignal | undefined): Generator<Batch> {
  for (let index = 0; index < count; index++) {
    interruptIfAborted(signal);
    yield nextBatch(batches);
  }
}

function interruptIfAborted(signal: AbortSignal | undefined, examples?: number): void {
  if (!signal?.aborted) return;
  const when = examples === undefined ? 'while statistics were estimated' : `after ${examples} examples`;
  throw new InterruptedError(`training: interrupted ${when}`);
}

/** Values 0 with probability `rate`, else 1 ÷ (1 − rate). */
function drawMasks({ masks }: TrainingGraph, random: Random): Record<string, TensorValue> {
  return Object.fromEntries(masks.map((mask): [string, TensorValue] => [mask.name, drawMask(mask, random)]));
}

function drawMask({ name, shape, rate }: MaskInput, random: Random): TensorValue {
  const stream = random.child(name);
  const kept = 1 / (1 - rate);
  const length = shape.reduce((product, extent) => product * extent, 1);
  const data = Float32Array.from({ length }, () => (stream.uniform() < rate ? 0 : kept));
  return { dtype: 'float32', dims: shape, data };
}

function vector(data: Float32Array): TensorValue {
  return { dtype: 'float32', dims: [data.length], data };
}

function scalar(value: number): TensorValue {
  return { dtype: 'float32', dims: [], data: new Float32Array([value]) };
}

function costOf({ graph, recipe }: { graph: Graph; recipe: { batchSize: number } }, run: Run, trainS: number): Cost {
  const stepMs = run.stepsMs.toSorted((a, b) => a - b)[Math.floor(run.stepsMs.length / 2)] as number;
  return {
    trainS,
    measureS: 0,
    examples: run.examples,
    stepMs,
    imagesPerS: (recipe.batchSize / stepMs) * 1000,
    flops: 3 * 2 * countGraph(graph).macs * run.examples,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
  };
}
