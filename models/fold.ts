import type { Graph, GraphNode, Parameter, TensorType, Weights } from './graph.ts';

/** A graph with the values of all its parameters. */
export interface Model {
  readonly graph: Graph;
  readonly weights: Weights;
}

/**
 * The inference form of a trained model: `drop` is removed, every batch norm is folded into the
 * convolution before it (w' = w · scale ÷ √(variance + ε), b' = shift + (b − mean) · scale ÷ √(variance + ε)).
 * Computed in double precision, rounded once.
 * @throws {Error} when a batch norm does not directly follow a convolution that only it reads.
 */
export function foldForInference({ graph, weights }: Model): Model {
  const parameters = new Map(graph.parameters.map((parameter) => [parameter.name, parameter]));
  const values = new Map(weights);
  const nodes: GraphNode[] = [];
  const renamed = new Map<string, string>();

  for (const original of graph.nodes) {
    const node = { ...original, inputs: original.inputs.map((input) => renamed.get(input) ?? input) } as GraphNode;
    if (node.op === 'drop') {
      renamed.set(node.outputs[0] as string, node.inputs[0] as string);
    } else if (node.op === 'batch-norm') {
      const conv = nodes.at(-1);
      if (conv?.op !== 'conv' || conv.outputs[0] !== node.inputs[0])
        throw new Error(
          `${node.name}: expected a batch norm right after its convolution, got ${conv?.name ?? 'nothing'}`,
        );
      nodes[nodes.length - 1] = foldPair(conv, node, parameters, values);
      renamed.set(node.outputs[0] as string, conv.outputs[0] as string);
    } else {
      nodes.push(node);
    }
  }

  const outputs = graph.outputs.map((output) => renamed.get(output) ?? output);
  const tensors = new Map<string, TensorType>(graph.tensors);
  for (const parameter of parameters.values()) tensors.set(parameter.name, parameter);
  return {
    graph: { inputs: graph.inputs, outputs, parameters: [...parameters.values()], nodes, tensors },
    weights: values,
  };
}

function foldPair(
  conv: Extract<GraphNode, { op: 'conv' }>,
  norm: Extract<GraphNode, { op: 'batch-norm' }>,
  parameters: Map<string, Parameter>,
  values: Map<string, Float32Array>,
): GraphNode {
  const [x, weightName, biasName] = conv.inputs as [string, string, string | undefined];
  const [scale, shift, mean, variance] = norm.inputs.slice(1).map((name) => take(values, name)) as [
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const factor = Float64Array.from(
    scale,
    (value, c) => value / Math.sqrt((variance[c] as number) + norm.attributes.epsilon),
  );
  const weight = take(values, weightName);
  const perChannel = weight.length / factor.length;
  const oldBias = biasName ? take(values, biasName) : new Float32Array(factor.length);
  const bias = Float32Array.from(
    shift,
    (value, c) => value + ((oldBias[c] as number) - (mean[c] as number)) * (factor[c] as number),
  );
  const newBias = biasName ?? `${conv.name}.bias`;
  values.set(
    weightName,
    weight.map((value, index) => value * (factor[Math.floor(index / perChannel)] as number)),
  );
  values.set(newBias, bias);
  const group = parameters.get(weightName)?.group ?? conv.name;
  parameters.set(newBias, { name: newBias, dtype: 'float32', shape: [bias.length], role: 'bias', group });
  for (const name of norm.inputs.slice(1)) parameters.delete(name);
  return { ...conv, inputs: [x, weightName, newBias] };
}

function take(values: Map<string, Float32Array>, name: string): Float32Array {
  const value = values.get(name);
  if (!value) throw new Error(`no value for parameter ${name}`);
  values.delete(name);
  return value;
}
