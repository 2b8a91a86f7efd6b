import type { Accelerator, TensorValue } from '../../accelerators/accelerator.ts';
import { elements, type Graph, type Weights } from '../../models/graph.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import { pullBack } from '../differentiate.ts';
import { packParameters, unpackParameters } from '../flat-parameters.ts';
import { lowerPullBack } from '../step.ts';
import { stepNames } from '../step-names.ts';
import { linearise, scaledWeights } from './linearise.ts';

const cotangents = 'cotangents';
const ones = (dims: readonly number[]): TensorValue => {
  return { dtype: 'float32', dims, data: new Float32Array(elements(dims)).fill(1) };
};

/**
 * ln of the synaptic flow of a network at initialisation: ln Σ_θ |θ| · ∂R ÷ ∂|θ| over all weights, where R is the sum of the
 * outputs, of the network with every weight replaced by its absolute value, for an image of ones. That is the sum, over all
 * weights, of the products of |weights| along every path through each. It looks at no data and no labels.
 * Tanaka et al. (2020), "Pruning neural networks without any data by iteratively conserving synaptic flow", eq. 1 and 2; as a
 * score of whole networks Abdelfattah et al. (2021), section 3.2. We differ where they say nothing: activations other than ReLU, and
 * the gates of squeeze-and-excite, let values through (`linearise`).
 * @param graph with a batch of 1.
 * @returns a score for each of the initialisations; −∞ where no path is left.
 */
export async function logSynflow(
  accelerator: Accelerator,
  graph: Graph,
  initialisations: readonly Weights[],
  { threads }: { readonly threads: number },
): Promise<number[]> {
  const linear = linearise(graph);
  const pulled = pullBack(linear.graph, cotangents);
  const { model, flat } = lowerPullBack(pulled);
  const session = await accelerator.open(encodeOnnx(model), { threads, optimization: 'disabled' });
  const given = Object.fromEntries(
    pulled.graph.inputs.map(({ name, shape }) => [name, ones(shape as readonly number[])] as const),
  );
  const scores: number[] = [];
  try {
    for (const weights of initialisations) {
      const scaled = scaledWeights(linear, weights);
      const data = packParameters(flat, scaled.weights);
      const parameters: TensorValue = { dtype: 'float32', dims: [data.length], data };
      const outputs = await session.run({ ...given, [stepNames.parameters]: parameters });
      const gradients = unpackParameters(flat, outputs[stepNames.gradients]?.data as Float32Array);
      let flow = 0;
      for (const [name, gradient] of gradients) {
        if (linear.junctions.has(name)) continue;
        const values = scaled.weights.get(name) as Float32Array;
        for (let index = 0; index < values.length; index++)
          flow += (values[index] as number) * (gradient[index] as number);
      }
      scores.push(Math.log(flow) + scaled.logScale);
    }
  } finally {
    await session.close();
  }
  return scores;
}
