import type { Tensor } from '@tensorflow/tfjs-core';
import type { Graph, TensorType } from '../../models/graph.ts';
import { channelsLast, type Known, runForward } from '../../training/tfjs/forward.ts';
import { lossAndGradients } from '../../training/tfjs/gradients.ts';
import { loadTensorFlow } from '../../training/tfjs/load.ts';
import { scoped, valuesOf } from '../../training/tfjs/tensors.ts';
import { trains } from '../../training/training-graph.ts';

// TensorFlow.js as an oracle for the lowerings and our gradient rules: another team's kernels and automatic
// differentiation, in another layout. Where an operator is composed, that is not in the way the lowerings compose theirs.

const { tf } = await loadTensorFlow(1);

/** Inputs, masks (`<drop>.mask`) and parameters by name, in the graph's own layout. */
export type Values = ReadonlyMap<string, ArrayLike<number>>;

/** The graph's outputs in training mode: batch statistics and the masks given. */
export function tfjsForward(graph: Graph, values: Values): Map<string, Float32Array> {
  return scoped(tf, () => {
    const known = runForward(tf, graph, new Map([...inputs(graph, values), ...parameters(graph, values)]), {
      drops: true,
    });
    const outputs = graph.outputs.map((name) => [name, known.get(name) as Tensor] as const);
    return new Map(
      outputs.map(([name, value]) => [name, valuesOf(value.rank === 4 ? tf.transpose(value, [0, 3, 1, 2]) : value)]),
    );
  });
}

/** Mean cross-entropy of the first output in training mode, and its gradient by every trainable parameter. */
export function tfjsGradients(
  graph: Graph,
  values: Values,
  loss: {
    /** Distributions over the classes, one row an example, end to end. */
    readonly targets: ArrayLike<number>;
    readonly labelSmoothing: number;
  },
): { loss: number; gradients: Map<string, Float32Array> } {
  return scoped(tf, () => {
    const { shape } = graph.tensors.get(graph.outputs[0] as string) as TensorType;
    const targets = tf.tensor(Float32Array.from(loss.targets), [...(shape as number[])]);
    const trained = parameters(graph, values);
    const found = lossAndGradients(tf, graph, inputs(graph, values), trained, { ...loss, targets });
    const named = [...trained.keys()].map((name, index): [string, Float32Array] => {
      return [name, valuesOf(found.gradients[index] as Tensor)];
    });
    return { loss: valuesOf(found.loss)[0] as number, gradients: new Map(named) };
  });
}

/** Loss of every step of SGD with momentum, by TensorFlow.js's own optimizer. @param batches one a step. */
export function tfjsLossCurve(
  graph: Graph,
  weights: Values,
  batches: readonly { readonly values: Values; readonly targets: ArrayLike<number> }[],
  settings: { readonly learningRate: number; readonly momentum: number; readonly labelSmoothing: number },
): number[] {
  const optimizer = tf.train.momentum(settings.learningRate, settings.momentum);
  const trained = [...parameters(graph, weights)].map(([name, start]) => tf.variable(start, true, name));
  const losses: number[] = [];
  for (const { values, targets } of batches) {
    const current = trained.map((variable) => [variable.name, valuesOf(variable)] as const);
    const { labelSmoothing } = settings;
    const { loss, gradients } = tfjsGradients(graph, new Map([...values, ...current]), { targets, labelSmoothing });
    losses.push(loss);
    const named = trained.map(({ name, shape }) => ({ name, tensor: tf.tensor(gradients.get(name) ?? [], shape) }));
    optimizer.applyGradients(named);
  }
  tf.disposeVariables();
  return losses;
}

/** Tensors of the inputs and masks that are given, pictures channel-last. */
function inputs(graph: Graph, values: Values): Known {
  const extentsOf = (name: string): number[] => (graph.tensors.get(name)?.shape.slice(1) ?? []) as number[];
  const fed = new Map<string, Tensor>();
  const feed = (name: string, extents: readonly number[]): void => {
    const data = values.get(name);
    if (!data) return;
    const batch = data.length / extents.reduce((product, extent) => product * extent, 1);
    fed.set(name, channelsLast(tf, tf.tensor(Float32Array.from(data), [batch, ...extents])));
  };
  for (const { name } of graph.inputs) feed(name, extentsOf(name));
  for (const node of graph.nodes) {
    if (node.op !== 'drop') continue;
    const extents = extentsOf(node.inputs[0] as string);
    feed(`${node.name}.mask`, node.attributes.unit === 'example' ? extents.map(() => 1) : extents);
  }
  return fed;
}

/** Those that train and are given. */
function parameters(graph: Graph, values: Values): Known {
  const given = graph.parameters.filter((parameter) => trains(parameter) && values.has(parameter.name));
  return new Map(
    given.map(({ name, shape }) => [name, tf.tensor(Float32Array.from(values.get(name) ?? []), [...shape])]),
  );
}
