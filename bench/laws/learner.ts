import type { Accelerator } from '../../accelerators/accelerator.ts';
import type { Graph, GraphNode, Parameter, TensorType, Weights } from '../../models/graph.ts';
import { scoreGraph } from '../../training/scoring.ts';
import { onnxTrainerOn } from '../../training/onnx-trainer.ts';
import { plainLowering } from '../../training/plain/lower.ts';
import { defaultRecipe } from '../../training/recipe.ts';
import type { Batch, TrainingTask } from '../../training/trainer.ts';
import { type Examples, meanEntropy } from './teacher-network.ts';

/** Inference takes any batch, and 4 at a time would take longer than the training. */
const scoredAtOnce = 256;

/**
 * The learner: one hidden layer of ReLUs and two logits, no biases. Softmax over two logits is the sigmoid of their difference, so
 * it is the teacher's kind of network.
 */
export function learnerGraph(dimension: number, width: number, batch: number): Graph {
  const parameters: readonly Parameter[] = [
    { name: 'hidden.weight', dtype: 'float32', shape: [dimension, width], role: 'weight', group: 'hidden' },
    { name: 'logits.weight', dtype: 'float32', shape: [width, 2], role: 'weight', group: 'logits' },
  ];
  const nodes: readonly GraphNode[] = [
    { op: 'dense', name: 'hidden', inputs: ['x', 'hidden.weight'], outputs: ['hidden'], attributes: {} },
    { op: 'relu', name: 'relu', inputs: ['hidden'], outputs: ['active'], attributes: {} },
    { op: 'dense', name: 'logits', inputs: ['active', 'logits.weight'], outputs: ['logits'], attributes: {} },
  ];
  const input: TensorType = { name: 'x', dtype: 'float32', shape: [batch, dimension] };
  const made = [
    { name: 'hidden', dtype: 'float32', shape: [batch, width] },
    { name: 'active', dtype: 'float32', shape: [batch, width] },
    { name: 'logits', dtype: 'float32', shape: [batch, 2] },
  ] as const;
  const tensors = new Map([input, ...parameters, ...made].map((tensor) => [tensor.name, tensor]));
  return { inputs: [input], outputs: ['logits'], parameters, nodes, tensors };
}

/** Parameters as theory counts them, of the one logit that the difference of two is. */
export function learnerParams(dimension: number, width: number): number {
  return width * (dimension + 1);
}

/** One training of a learner. */
export interface LearnerRun {
  /** Of the input, d. */
  readonly dimension: number;
  /** The teacher's, K. */
  readonly complexity: number;
  /** Hidden units, n. */
  readonly width: number;
  /** T: each seen once. */
  readonly examples: number;
  /** Peak. */
  readonly learningRate: number;
  readonly seed: number;
}

/** What one draw of a teacher gives its learners: labels to learn from and probabilities to be judged by. */
export interface Lesson {
  readonly training: Examples;
  readonly scoring: Examples;
}

/**
 * Trains a learner in one pass by the project's own trainer: AdamW without decay, warm-up, a cosine as long as the run, and
 * of the examples 2,048 updates, fewer where that
 * would leave less than 4 to each, more beyond 128.
 * @returns its excess: cross-entropy against the teacher's probabilities less the teacher's own, in nats; infinite when it diverged.
 * @throws {InterruptedError} between two updates, once the signal has aborted.
 */
export async function trainLearner(
  { dimension, width, examples, learningRate, seed }: Omit<LearnerRun, 'complexity'>,
  lesson: Lesson,
  { accelerator, signal }: { readonly accelerator: Accelerator; readonly signal?: AbortSignal | undefined },
): Promise<number> {
  const batchSize = Math.min(128, Math.max(4, examples / 2048));
  const settings = { optimizer: 'adamw', weightDecay: 0, labelSmoothing: 0, warmup: 0.1 } as const;
  const result = await onnxTrainerOn(accelerator, { lowering: plainLowering }).train({
    graph: learnerGraph(dimension, width, batchSize),
    task: teacherTask(dimension, lesson),
    recipe: defaultRecipe({ ...settings, batchSize, learningRate }),
    examples,
    seed,
    threads: 1,
    ...(signal && { signal }),
  });
  if (result.status === 'diverged') return Infinity;
  return (result.metrics['crossEntropy'] as number) - meanEntropy(lesson.scoring);
}

/** The excess of given weights. */
export async function excessOf(
  { dimension, width, weights }: { readonly dimension: number; readonly width: number; readonly weights: Weights },
  lesson: Lesson,
  accelerator: Accelerator,
): Promise<number> {
  const graph = learnerGraph(dimension, width, scoredAtOnce);
  const task = teacherTask(dimension, lesson);
  const { crossEntropy } = await scoreGraph(accelerator, graph, weights, task, { batchSize: scoredAtOnce, threads: 1 });
  return crossEntropy - meanEntropy(lesson.scoring);
}

function teacherTask(dimension: number, { training, scoring }: Lesson): TrainingTask {
  return {
    inputs: [{ name: 'x', dtype: 'float32', shape: [dimension] }],
    targets: [{ name: 'target', dtype: 'float32', shape: [2] }],
    loss: { kind: 'softmax-cross-entropy' },
    trainingBatches: (batchSize, _, skip = 0) => batchesOf(training, batchSize, skip),
    scoringBatches: () => batchesOf(scoring, scoredAtOnce, 0),
  };
}

/** In order, and not again: whoever asks for more than there are is told. */
function* batchesOf({ count, inputs, targets }: Examples, batchSize: number, skip: number): Generator<Batch> {
  const dimension = inputs.length / count;
  for (let from = skip * batchSize; from < count; from += batchSize) {
    const to = Math.min(from + batchSize, count);
    yield {
      x: { dtype: 'float32', shape: [to - from, dimension], data: inputs.subarray(from * dimension, to * dimension) },
      target: { dtype: 'float32', shape: [to - from, 2], data: targets.subarray(2 * from, 2 * to) },
    };
  }
}
