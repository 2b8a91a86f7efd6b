import type * as tfc from '@tensorflow/tfjs-core';
import type { Graph } from '../../models/graph.ts';
import { type Known, runForward } from './forward.ts';
import type { TensorFlow } from './load.ts';

/** What a batch's loss is of. */
export interface LossInput {
  /** Distributions over the classes, of the logits' shape. */
  readonly targets: tfc.Tensor;
  readonly labelSmoothing: number;
}

/** The loss of one batch, in training mode. */
export interface LossAndGradients {
  /** Mean cross-entropy of the graph's first output, a scalar. */
  readonly loss: tfc.Tensor;
  /** Rows whose largest logit is where their largest target is. */
  readonly correct: number;
  /** By parameter, in the order asked for. */
  readonly gradients: readonly tfc.Tensor[];
}

/**
 * Loss and its gradients by TensorFlow.js's own automatic differentiation. The caller frees them.
 * @param fed inputs and masks. @param parameters those that train, by name; the order of the gradients.
 */
export function lossAndGradients(
  tf: TensorFlow,
  graph: Graph,
  fed: Known,
  parameters: Known,
  { targets, labelSmoothing }: LossInput,
): LossAndGradients {
  const names = [...parameters.keys()];
  let correct = 0;
  const lossOf = (...values: tfc.Tensor[]): tfc.Scalar => {
    const known = new Map([...fed, ...names.map((name, index) => [name, values[index] as tfc.Tensor] as const)]);
    const logits = runForward(tf, graph, known, { drops: true }).get(graph.outputs[0] as string) as tfc.Tensor;
    const right = tf.equal(tf.argMax(logits, -1), tf.argMax(targets, -1));
    [correct] = tf.sum(tf.cast(right, 'int32')).dataSync<'int32'>() as unknown as [number];
    const classes = logits.shape.at(-1) as number;
    const smoothed = tf.add(tf.mul(targets, 1 - labelSmoothing), labelSmoothing / classes);
    return tf.div(tf.sum(tf.mul(smoothed, tf.logSoftmax(logits))), -logits.size / classes);
  };
  const { value, grads } = tf.valueAndGrads(lossOf)([...parameters.values()]);
  return { loss: value, correct, gradients: grads };
}
