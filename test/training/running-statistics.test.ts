import { expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { estimateRunningStatistics } from '../../training/running-statistics.ts';
import { randomValues, TestGraph } from './graphs.ts';
import { batchStatistics, referenceForward } from './reference.ts';

const average = (numbers: readonly number[]) => numbers.reduce((sum, value) => sum + value, 0) / numbers.length;

it('averages batch means and unbiased batch variances, with nothing dropped', async () => {
  const test = new TestGraph(4, 2, 5, 4);
  const dropped = test.add('drop', [test.conv('image', { width: 3, kernel: 3 })], { rate: 0.9, unit: 'example' });
  const second = test.conv(test.add('silu', [test.batchNorm(dropped)], {}), { width: 2, kernel: 1 });
  const graph = test.classify(test.batchNorm(second), 3);
  const { values } = randomValues(graph, 1);
  const kept = [...values].map(([name, tensor]) => {
    return [name, name.endsWith('.mask') ? { ...tensor, data: tensor.data.map(() => 1) } : tensor] as const;
  });
  const images = [2, 3, 4].map((seed) => randomValues(graph, seed).values.get('image'));
  const norms = graph.nodes.filter(({ op }) => op === 'batch-norm');
  const perBatch = images.map((image) => {
    const known = referenceForward(graph, new Map([...kept, ['image', image as NonNullable<typeof image>]]));
    return norms.map(({ inputs }) => batchStatistics(known.get(inputs[0] as string) as NonNullable<typeof image>));
  });

  const weights = new Map([...values].map(([name, { data }]) => [name, Float32Array.from(data)]));
  const batches = images.map((image) => ({
    image: { dtype: 'float32', shape: image?.shape ?? [], data: Float32Array.from(image?.data ?? []) } as const,
  }));
  const cpu = onnxRuntimeAccelerator('cpu');
  const estimated = await estimateRunningStatistics(cpu, graph, weights, batches, { threads: 1 });

  norms.forEach(({ inputs }, index) => {
    const [, , , mean, variance] = inputs as [string, string, string, string, string];
    const batchesOf = perBatch.map((statistics) => statistics[index] as (typeof statistics)[number]);
    estimated.get(mean)?.forEach((value, channel) => {
      expect(value).toBeCloseTo(average(batchesOf.map(({ means }) => means[channel] as number)), 5);
    });
    estimated.get(variance)?.forEach((value, channel) => {
      const unbiased = batchesOf.map(({ variances, count }) => ((variances[channel] as number) * count) / (count - 1));
      expect(value / average(unbiased)).toBeCloseTo(1, 5);
    });
  });
  expect(estimated.size).toBe(2 * norms.length);
});
