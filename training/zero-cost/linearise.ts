import {
  elements,
  type Graph,
  type GraphNode,
  type Parameter,
  type TensorType,
  type Weights,
} from '../../models/graph.ts';

/** A network without what makes it non-linear in its weights, and where its branches meet. */
export interface LinearNetwork {
  /** Convolutions, the classifier, pooling, sums and concatenations. */
  readonly graph: Graph;
  /** By the added parameter, `[channels, 1, 1, 1]`, that scales one input of a junction: all inputs of that junction, unscaled. */
  readonly junctions: ReadonlyMap<string, readonly string[]>;
}

const passedThrough = new Set(['batch-norm', 'relu', 'relu6', 'silu', 'hard-swish', 'gate', 'drop']);

/**
 * The network that synflow looks at: batch norms and activations let values through, as batch norms at initialisation and a ReLU on
 * positive values do; so do the gates of squeeze-and-excite, whose own layers are left out with them.
 */
export function linearise(graph: Graph): LinearNetwork {
  const aliases = new Map<string, string>();
  const nodes: GraphNode[] = [];
  const added: Parameter[] = [];
  const junctions = new Map<string, readonly string[]>();
  const tensors = new Map(graph.tensors);
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => aliases.get(name) ?? name);
    const [output] = node.outputs as [string];
    if (passedThrough.has(node.op)) aliases.set(output, inputs[0] as string);
    else if (node.op !== 'add' && node.op !== 'concat') nodes.push({ ...node, inputs } as GraphNode);
    else {
      const branches = inputs.map((input, index) => branchScale(`${node.name}.branch${index}`, input, tensors));
      for (const { parameter, conv } of branches) {
        added.push(parameter);
        nodes.push(conv);
        junctions.set(parameter.name, inputs);
      }
      nodes.push({ ...node, inputs: branches.map(({ conv }) => conv.name) } as GraphNode);
    }
  }
  const outputs = graph.outputs.map((name) => aliases.get(name) ?? name);
  const needed = neededNodes(nodes, outputs);
  const read = new Set(needed.flatMap(({ inputs }) => inputs));
  const parameters = [...graph.parameters, ...added].filter(({ name }) => read.has(name));
  return { graph: { inputs: graph.inputs, outputs, parameters, nodes: needed, tensors }, junctions };
}

/** A depthwise 1×1 convolution of `from`, declared among the tensors. */
function branchScale(
  name: string,
  from: string,
  tensors: Map<string, TensorType>,
): { parameter: Parameter; conv: GraphNode } {
  const { shape } = tensors.get(from) as TensorType;
  const channels = shape[1] as number;
  const parameter: Parameter = {
    name: `${name}.scale`,
    dtype: 'float32',
    shape: [channels, 1, 1, 1],
    role: 'weight',
    group: name,
  };
  tensors.set(parameter.name, parameter).set(name, { name, dtype: 'float32', shape });
  const attributes = { stride: 1, pads: [0, 0, 0, 0], groups: channels, dilation: 1 } as const;
  return { parameter, conv: { op: 'conv', name, inputs: [from, parameter.name], outputs: [name], attributes } };
}

function neededNodes(nodes: readonly GraphNode[], outputs: readonly string[]): GraphNode[] {
  const needed = new Set(outputs);
  const isNeeded = (node: GraphNode): boolean => {
    if (!node.outputs.some((output) => needed.has(output))) return false;
    for (const input of node.inputs) needed.add(input);
    return true;
  };
  return nodes.toReversed().filter(isNeeded).toReversed();
}

/** Weights of a linear network that keep its values near 1, and what they make its output too small by. */
export interface ScaledWeights {
  readonly weights: Weights;
  /** ln of (true output ÷ the output with these weights). */
  readonly logScale: number;
}

/**
 * Absolute values of the weights, each layer's divided by the mean of what one of its outputs sums up; branches that meet are
 * brought to the scale of the largest. Float32 would overflow after some dozens of layers otherwise.
 * @param weights of the network, all of them; biases are taken to be 0, as they start.
 */
export function scaledWeights({ graph, junctions }: LinearNetwork, weights: Weights): ScaledWeights {
  const logScales = new Map(graph.inputs.map(({ name }) => [name, 0]));
  const largest = (tensors: readonly string[]): number =>
    Math.max(...tensors.flatMap((name) => logScales.get(name) ?? []));
  const shapes = new Map(graph.parameters.map(({ name, shape }) => [name, shape]));
  const values = new Map<string, Float32Array>();
  const constant = (name: string, value: number) =>
    values.set(name, new Float32Array(elements(shapes.get(name) ?? [])).fill(value));
  for (const { op, inputs, outputs } of graph.nodes) {
    const [x, parameter = '', bias] = inputs as [string, string?, string?];
    const meeting = junctions.get(parameter);
    let logScale = largest(meeting ?? inputs);
    if (meeting) constant(parameter, Math.exp(largest([x]) - logScale));
    else if (op === 'conv' || op === 'dense') {
      const sizes = (weights.get(parameter) as Float32Array).map(Math.abs);
      const width = shapes.get(parameter)?.[op === 'conv' ? 0 : 1] as number;
      const perOutput = sizes.reduce((sum, value) => sum + value, 0) / width || 1;
      values.set(
        parameter,
        sizes.map((value) => value / perOutput),
      );
      if (bias !== undefined) constant(bias, 0);
      logScale += Math.log(perOutput);
    }
    logScales.set(outputs[0] as string, logScale);
  }
  return { weights: values, logScale: largest(graph.outputs) };
}
