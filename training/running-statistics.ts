import type { Accelerator, TensorValue } from '../accelerators/accelerator.ts';
import type { Graph, Weights } from '../models/graph.ts';
import { encodeOnnx } from '../models/onnx.ts';
import { statisticsGraph } from './differentiate.ts';
import { packParameters } from './flat-parameters.ts';
import type { Lowering } from './lowering.ts';
import { feedsOf } from './scoring.ts';
import { lowerStatistics } from './step.ts';
import { stepNames } from './step-names.ts';
import type { Batch } from './trainer.ts';
import type { BatchStatistics } from './training-graph.ts';

/**
 * Running means and variances of every batch norm, estimated afresh with the final weights: the plain
 * average of batch statistics, variances made unbiased (× m ÷ (m − 1)). Exponential averages kept
 * during a short run lag behind the weights (after 100 steps at .99, 37 % is still the start).
 * @param weights the trained parameters; statistics of other weights, averaged ones included, are other statistics.
 * @returns values by parameter name.
 * @see Wu & Johnson (2021), "Rethinking 'Batch' in BatchNorm", section 3.2 (precise statistics).
 */
export async function estimateRunningStatistics(
  accelerator: Accelerator,
  graph: Graph,
  weights: Weights,
  batches: Iterable<Batch>,
  { threads, lowering }: { readonly threads: number; readonly lowering?: Lowering },
): Promise<Map<string, Float32Array>> {
  const forward = statisticsGraph(graph);
  if (forward.statistics.length === 0) return new Map();
  const { model, flat } = lowerStatistics(forward, lowering);
  const session = await accelerator.open(encodeOnnx(model), { threads, optimization: 'disabled' });
  try {
    const data = packParameters(flat, weights);
    const parameters: TensorValue = { dtype: 'float32', dims: [data.length], data };
    return await averagedStatistics(forward.statistics, batches, async (batch) => {
      const feeds = { ...feedsOf(batch, forward.inputs), [stepNames.parameters]: parameters };
      return (await session.run(feeds))[stepNames.statistics]?.data as Float32Array;
    });
  } finally {
    await session.close();
  }
}

/**
 * Running statistics as the average over batches of what is observed in each.
 * @param observe of every batch norm in order its batch means, then its biased batch variances.
 * @returns values by parameter name, variances unbiased.
 */
export async function averagedStatistics(
  statistics: readonly BatchStatistics[],
  batches: Iterable<Batch>,
  observe: (batch: Batch) => Promise<Float32Array>,
): Promise<Map<string, Float32Array>> {
  let [sum, count] = [new Float64Array(), 0];
  for (const batch of batches) {
    const observed = await observe(batch);
    sum = Float64Array.from(observed, (value, index) => value + (sum[index] ?? 0));
    count += 1;
  }
  return split(
    statistics,
    sum.map((total) => total / count),
  );
}

function split(statistics: readonly BatchStatistics[], averages: Float64Array): Map<string, Float32Array> {
  const values = new Map<string, Float32Array>();
  let offset = 0;
  for (const { runningMean, runningVariance, channels, count } of statistics) {
    const means = averages.subarray(offset, offset + channels);
    const variances = averages.subarray(offset + channels, offset + 2 * channels);
    values.set(runningMean, Float32Array.from(means));
    const unbiased = count > 1 ? count / (count - 1) : 1;
    values.set(
      runningVariance,
      Float32Array.from(variances, (variance) => variance * unbiased),
    );
    offset += 2 * channels;
  }
  return values;
}
