import type { Accelerator, TensorValue } from '../../accelerators/accelerator.ts';
import { elements, type Graph, type Weights } from '../../models/graph.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import { differentiate, type Loss } from '../differentiate.ts';
import { packParameters, unpackParameters } from '../flat-parameters.ts';
import { feedsOf } from '../scoring.ts';
import { lowerGradients } from '../step.ts';
import { stepNames } from '../step-names.ts';
import type { Batch } from '../trainer.ts';

/** A network as it starts, with the batch it is looked at with. */
export interface Start {
  readonly weights: Weights;
  readonly batch: Batch;
}

/**
 * Σ over convolutions and classifier of ‖∂L ÷ ∂W‖₂ after one batch, at initialisation, with the labels: batch norms use the statistics of
 * the batch, nothing is dropped, biases and norms' own parameters are left out. Abdelfattah et al. (2021), "Zero-Cost Proxies for Lightweight
 * NAS", section 3.1 (`grad_norm`).
 * @param graph with the batch's size.
 * @returns a score a start.
 */
export async function gradientNorms(
  accelerator: Accelerator,
  graph: Graph,
  loss: Loss,
  starts: readonly Start[],
  { threads }: { readonly threads: number },
): Promise<number[]> {
  const training = differentiate(graph, loss);
  const { model, flat } = lowerGradients(training);
  const session = await accelerator.open(encodeOnnx(model), { threads, optimization: 'disabled' });
  const isWeight = new Set(training.parameters.filter(({ role }) => role === 'weight').map(({ name }) => name));
  const kept = training.masks.map(({ name, shape }): [string, TensorValue] => [
    name,
    { dtype: 'float32', dims: shape, data: new Float32Array(elements(shape)).fill(1) },
  ]);
  const norms: number[] = [];
  try {
    for (const { weights, batch } of starts) {
      const data = packParameters(flat, weights);
      const parameters: TensorValue = { dtype: 'float32', dims: [data.length], data };
      const feeds = { ...feedsOf(batch, training.inputs), ...Object.fromEntries(kept) };
      const outputs = await session.run({ ...feeds, [stepNames.parameters]: parameters });
      const gradients = unpackParameters(flat, outputs[stepNames.gradients]?.data as Float32Array);
      let sum = 0;
      for (const [name, gradient] of gradients) if (isWeight.has(name)) sum += norm(gradient);
      norms.push(sum);
    }
  } finally {
    await session.close();
  }
  return norms;
}

function norm(values: Float32Array): number {
  let squares = 0;
  for (const value of values) squares += value * value;
  return Math.sqrt(squares);
}
