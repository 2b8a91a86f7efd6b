import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import type { Graph, Weights } from '../../models/graph.ts';
import { initialWeights } from '../../models/initialise.ts';
import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';

/** A network with every block kind, squeeze-excite, both activations, residuals, dropout and stochastic depth. */
export const everyBlock: NetworkSpec = parseNetworkSpec(
  {
    input: { channels: 3, resolution: 19 },
    classes: 5,
    stem: { kernel: 2, stride: 2, width: 8, activation: 'silu' },
    stages: [
      { operator: 'fused-mbconv', kernel: 3, stride: 1, expansion: 1, width: 8, repeats: 2 },
      { operator: 'fused-mbconv', kernel: 5, stride: 2, expansion: 2, width: 12, repeats: 2, squeezeExcite: 0.25 },
      {
        operator: 'mbconv',
        kernel: 5,
        stride: 2,
        expansion: 3,
        width: 16,
        repeats: 2,
        squeezeExcite: 0.5,
        activation: 'silu',
      },
      { operator: 'mbconv', kernel: 3, stride: 1, expansion: 1, width: 24, repeats: 1, skip: false },
    ],
    head: { width: 20, activation: 'silu', dropout: 0.2 },
    survival: 0.8,
  },
  'fixture',
);

/** Weights with norm statistics that are not the identity, as training leaves them. */
export function trainedLikeWeights(spec: NetworkSpec, seed = 0): Weights {
  const graph = buildNetwork(spec, 1);
  const weights = new Map(initialWeights(graph, new Random(seed)));
  for (const { name, role } of graph.parameters) {
    const random = new Random(seed).child('statistics', name);
    const values = weights.get(name);
    if (!values || role === 'weight') continue;
    const offset = role === 'running-variance' || role === 'scale' ? 1 : 0;
    weights.set(
      name,
      values.map(() => offset + 0.3 * (random.uniform() - 0.5)),
    );
  }
  return weights;
}

/** Extents of a tensor of a graph whose batch is fixed. */
export function shapeOf({ tensors }: Graph, name: string | undefined): readonly number[] {
  const tensor = tensors.get(name ?? '');
  if (!tensor) throw new Error(`expected a tensor of the graph, got ${name}`);
  return tensor.shape as readonly number[];
}

/** A graph's convolutions in order, called by their layer. */
export function convolutions(graph: Graph) {
  return graph.nodes.flatMap((node) => {
    if (node.op !== 'conv') return [];
    const [width, , , kernel] = shapeOf(graph, node.inputs[1]);
    const [, , , side] = shapeOf(graph, node.outputs[0]);
    return [{ layer: node.name.replace(/\.conv$/, ''), kernel, width, side, ...node.attributes }];
  });
}
