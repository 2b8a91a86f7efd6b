import { describe, expect, it } from 'vitest';
import { InterruptedError } from '../../core/errors.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { onnxTrainer } from '../../training/onnx-trainer.ts';
import { defaultRecipe } from '../../training/recipe.ts';
import type { CurvePoint, Recipe, TrainingRequest, TrainingResult } from '../../training/trainer.ts';
import { stripesTask, syntheticClasses } from './synthetic-task.ts';

const spec = parseNetworkSpec(
  {
    input: { channels: 1, resolution: 8 },
    classes: syntheticClasses,
    stem: { kernel: 3, stride: 1, width: 8 },
    stages: [{ operator: 'mbconv', kernel: 3, stride: 2, expansion: 2, width: 8, repeats: 2, squeezeExcite: 0.25 }],
    head: { width: 16, dropout: 0.1 },
    survival: 0.9,
  },
  'test network',
);

function request(overrides: Partial<TrainingRequest> = {}, recipe: Partial<Recipe> = {}): TrainingRequest {
  const full = defaultRecipe({ batchSize: 16, ...recipe });
  const graph = buildNetwork(spec, full.batchSize);
  return { graph, task: stripesTask(), recipe: full, examples: 1600, seed: 1, threads: 1, ...overrides };
}

type Trained = Extract<TrainingResult, { status: 'trained' }>;
function trained(result: TrainingResult): Trained {
  expect(result.status).toBe('trained');
  return result as Trained;
}

const weightsOf = async (seed: number) => trained(await onnxTrainer.train(request({ seed, examples: 320 }))).weights;

describe('the ONNX trainer', () => {
  it.each(['sgd-momentum', 'adamw'] as const)('learns a separable task with %s', async (optimizer) => {
    const rate = optimizer === 'adamw' ? { learningRate: 0.01 } : {};
    const { metrics, curve } = trained(await onnxTrainer.train(request({}, { optimizer, ...rate })));
    expect(metrics['accuracy']).toBeGreaterThan(0.9);
    expect(metrics['crossEntropy']).toBeLessThan(0.5);
    expect(curve.at(-1)?.loss).toBeLessThan((curve[0]?.loss as number) / 1.5);
  });

  it('gives bit-equal weights for equal requests, and others for another seed', async () => {
    const [first, again, other] = [await weightsOf(1), await weightsOf(1), await weightsOf(2)];
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
  });

  it('returns every parameter, running statistics re-estimated', async () => {
    const { graph } = request();
    const { weights } = trained(await onnxTrainer.train(request({ examples: 160 })));
    expect([...weights.keys()].toSorted()).toEqual(graph.parameters.map(({ name }) => name).toSorted());
    for (const { name, role } of graph.parameters)
      if (role === 'running-variance') expect(weights.get(name)?.every((value) => value === 1)).toBe(false);
  });

  it('starts from given weights', async () => {
    const long = trained(await onnxTrainer.train(request()));
    const gentle = { learningRate: 1e-4 };
    const continued = trained(await onnxTrainer.train(request({ examples: 160, weights: long.weights }, gentle)));
    const fresh = trained(await onnxTrainer.train(request({ examples: 160 }, gentle)));
    expect(continued.metrics['crossEntropy']).toBeLessThan((fresh.metrics['crossEntropy'] as number) / 2);
  });

  it('reports examples in whole batches, step times, FLOPs, and a curve as it grows', async () => {
    const points: CurvePoint[] = [];
    const full = request({ examples: 1590, onProgress: (point) => points.push(point) });
    const { cost, curve } = trained(await onnxTrainer.train(full));
    expect(cost.examples).toBe(1600);
    expect(cost.flops).toBe(6 * countGraph(full.graph).macs * 1600);
    expect(cost.imagesPerS).toBeCloseTo((16 / (cost.stepMs as number)) * 1000);
    expect(cost.trainS).toBeGreaterThan(((cost.stepMs as number) * 100) / 2000);
    expect(cost.peakRssBytes).toBeGreaterThan(1e6);
    expect(points).toEqual(curve);
    expect(curve.length).toBeGreaterThanOrEqual(20);
    expect(curve.length).toBeLessThanOrEqual(40);
    expect(curve.at(-1)?.examples).toBe(1600);
  });

  it('ends as diverged when the learning rate is absurd', async () => {
    const result = await onnxTrainer.train(request({ examples: 8000 }, { learningRate: 1e6, warmup: 0 }));
    expect(result.status).toBe('diverged');
    if (result.status === 'diverged') expect(result.atExamples).toBeLessThan(8000);
  });

  it('stops between two steps when aborted', async () => {
    const controller = new AbortController();
    let seen = 0;
    const onProgress = ({ examples }: CurvePoint) => {
      seen = examples;
      if (examples >= 320) controller.abort();
    };
    const running = onnxTrainer.train(request({ examples: 160_000, signal: controller.signal, onProgress }));
    await expect(running).rejects.toThrow(InterruptedError);
    expect(seen).toBeLessThan(160_000);
  });
});
