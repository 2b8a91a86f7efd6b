import type { Accelerator, TensorValue } from '../accelerators/accelerator.ts';
import { InterruptedError } from '../core/errors.ts';
import { foldForInference } from '../models/fold.ts';
import type { Graph, Shape, Weights } from '../models/graph.ts';
import { lowerInference } from '../models/lower.ts';
import { encodeOnnx } from '../models/onnx.ts';
import type { Batch, BatchTensor, TrainingTask } from './trainer.ts';

/** How good a model is on held-out examples. */
export interface Score {
  /** Share of rows, examples or their tokens, whose largest logit is where their largest target is. */
  readonly accuracy: number;
  /** Mean −Σ t · log p in nats, targets not smoothed. */
  readonly crossEntropy: number;
}

/** How examples are run through while they are scored. */
export interface ScoringOptions {
  readonly batchSize: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Scores a network with its final weights by an optimised inference session, batch norm folded.
 * @throws {InterruptedError} after the batch under way, once the signal has aborted.
 */
export async function scoreGraph(
  accelerator: Accelerator,
  graph: Graph,
  weights: Weights,
  task: TrainingTask,
  { threads, ...options }: ScoringOptions & { threads: number },
): Promise<Score> {
  const session = await accelerator.open(inferenceModel(graph, weights), { threads });
  const logitsOf = async (batch: Batch) => {
    const outputs = await session.run(feedsOf(batch, graph.inputs));
    return outputs[graph.outputs[0] as string]?.data as Float32Array;
  };
  try {
    return await scoreBatches(task, logitsOf, options);
  } finally {
    await session.close();
  }
}

/**
 * The score of whatever gives logits, over all scoring batches of a task.
 * @param logitsOf `[…, classes]` of one batch, row-major.
 * @throws {InterruptedError} after the batch under way, once the signal has aborted.
 */
export async function scoreBatches(
  task: TrainingTask,
  logitsOf: (batch: Batch) => Promise<Float32Array>,
  { batchSize, signal }: ScoringOptions,
): Promise<Score> {
  const targetName = task.targets[0]?.name as string;
  let [count, correct, sum] = [0, 0, 0];
  for (const batch of task.scoringBatches(batchSize)) {
    const logits = await logitsOf(batch);
    if (signal?.aborted) throw new InterruptedError('training: interrupted while the network was scored');
    const tally = tallyScores(logits, batch[targetName] as BatchTensor);
    sum += tally.nats;
    correct += tally.right;
    count += tally.rows;
  }
  if (count === 0) throw new RangeError('expected at least one example to score, got none');
  return { accuracy: correct / count, crossEntropy: sum / count };
}

/**
 * Rows right and summed cross-entropy of one batch.
 * @param logits `[…, classes]`, row-major. @param targets float32 of the same extents.
 */
export function tallyScores(
  logits: Float32Array,
  targets: BatchTensor,
): { readonly rows: number; readonly right: number; readonly nats: number } {
  const classes = targets.shape.at(-1) as number;
  const rows = targets.data.length / classes;
  let [right, nats] = [0, 0];
  for (let row = 0; row < rows; row++) {
    const scores = logits.subarray(row * classes, (row + 1) * classes);
    const target = (targets.data as Float32Array).subarray(row * classes, (row + 1) * classes);
    nats += crossEntropy(scores, target);
    if (argMax(scores) === argMax(target)) right++;
  }
  return { rows, right, nats };
}

/** The tensors of a batch that a graph takes, as session feeds. */
export function feedsOf(batch: Batch, inputs: readonly { readonly name: string }[]): Record<string, TensorValue> {
  return Object.fromEntries(
    inputs.map(({ name }) => {
      const tensor = batch[name];
      if (!tensor) throw new RangeError(`expected a batch with ${name}, got ${Object.keys(batch).join(', ')}`);
      const { dtype, shape: dims, data } = tensor;
      return [name, { dtype, dims, data }];
    }),
  );
}

/** −Σ target · log softmax(logits), in double precision. */
function crossEntropy(logits: Float32Array, target: Float32Array): number {
  const peak = logits[argMax(logits)] as number;
  const logTotal = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - peak), 0)) + peak;
  return target.reduce((sum, share, index) => sum + share * (logTotal - (logits[index] as number)), 0);
}

function argMax(values: Float32Array): number {
  return values.reduce((best, value, index) => (value > (values[best] as number) ? index : best), 0);
}

const anyBatch = (shape: Shape): Shape => ['batch', ...shape.slice(1)];

function inferenceModel(fixed: Graph, values: Weights): Uint8Array {
  const { graph, weights } = foldForInference({ graph: fixed, weights: values });
  return encodeOnnx({
    name: 'ridgepoint-scoring',
    inputs: graph.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape: anyBatch(shape) })),
    outputs: graph.outputs.map((name) => {
      const shape = graph.tensors.get(name)?.shape ?? [];
      return { name, dtype: 'float32', shape: anyBatch(shape) };
    }),
    nodes: lowerInference(graph),
    initializers: graph.parameters.map(({ name, shape }) => {
      return { name, dims: shape, data: weights.get(name) as Float32Array };
    }),
  });
}
