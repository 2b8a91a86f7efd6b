import { describe, expect, it } from 'vitest';
import { detectAccelerators } from '../../accelerators/detect.ts';
import { UnsupportedModelError } from '../../accelerators/onnxruntime.ts';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import { parseTransformerSpec } from '../../models/transformer.ts';
import { differentiate } from '../../training/differentiate.ts';
import { defaultRecipe } from '../../training/recipe.ts';
import { onnxTrainer } from '../../training/onnx-trainer.ts';
import { plainLowering } from '../../training/plain/lower.ts';
import { stepCost } from '../../training/step-cost.ts';
import { lowerGradients } from '../../training/step.ts';
import { webGpuLowering } from '../../training/webgpu-lowering.ts';
import { smallRequest, trained } from '../cases/trainer.case.ts';
import { blockKinds, endKinds, networkOf } from '../models/block-kinds.ts';
import { draw, largestDistance, loweredGradients } from './graphs.ts';

const found = (await detectAccelerators()).find(({ id }) => id === 'webgpu');
const absent = found?.available ? undefined : `WebGPU does not run here: ${found?.reason}`;
if (absent) console.warn(`SKIPPED training on WebGPU: ${absent}`);

const loss = { kind: 'softmax-cross-entropy', labelSmoothing: 0.1, targets: 'target' } as const;

describe('a step for WebGPU', () => {
  // Its operators are standard ones, so the CPU says whether they compute the same.
  it.each([...blockKinds, ...endKinds])('has the plain step’s loss and gradients: %s', async (kind) => {
    const graph = buildNetwork(networkOf(kind, 12), 3);
    const drawn = draw(graph, new Random(1));
    const [plain, replaced] = [
      await loweredGradients(graph, drawn, plainLowering),
      await loweredGradients(graph, drawn, webGpuLowering),
    ];
    expect(Math.abs(replaced.loss / plain.loss - 1)).toBeLessThan(1e-6);
    expect(largestDistance(plain.gradients, replaced.gradients).error).toBeLessThan(1e-4);
  });

  it('holds none of the operators that have no kernels there', () => {
    const { model } = lowerGradients(differentiate(buildNetwork(networkOf('mbconv', 12), 3), loss), webGpuLowering);
    const operators = new Set(model.nodes.map(({ opType }) => opType));
    for (const missing of ['FusedMatMul', 'FusedConv', 'LogSoftmax', 'ArgMax', 'Split'])
      expect([...operators]).not.toContain(missing);
  });

  it('is refused for a network that needs an operator there is no kernel for, which is named', () => {
    const spec = parseTransformerSpec(
      { kind: 'transformer', vocabulary: 16, context: 8, width: 16, layers: 1, heads: 2 },
      'transformer',
    );
    const lower = () => lowerGradients(differentiate(buildNetwork(spec, 2), loss), webGpuLowering);
    expect(lower).toThrow(UnsupportedModelError);
    expect(lower).toThrow(/^webgpu: expected operators it trains with, got 'embedding\.dw.*' \(OneHot\), which/);
  });
});

describe.skipIf(absent)('a training on WebGPU', () => {
  it('has steps that are timed there, for a search of schedules', async () => {
    const recipe = { ...defaultRecipe({ batchSize: 4 }), provider: 'webgpu' as const };
    const setting = { spec: networkOf('basic', 12), recipe, threads: 1 };
    expect((await stepCost({ setting, seconds: 0 }, new AbortController().signal)).stepMs).toBeGreaterThan(0);
  });

  it('has the losses of the CPU, to 1e-4 over six updates, and ends with a score', async () => {
    const examples = 8 * 6;
    const cpu = trained(await onnxTrainer.train(smallRequest({}, { examples })));
    const gpu = trained(await onnxTrainer.train(smallRequest({ provider: 'webgpu' }, { examples })));
    expect(gpu.lowering).toBe('plain-webgpu');
    expect(gpu.curve).toHaveLength(cpu.curve.length);
    gpu.curve.forEach(({ loss: mine }, point) =>
      expect(Math.abs(mine / (cpu.curve[point]?.loss as number) - 1)).toBeLessThan(1e-4),
    );
    expect(gpu.metrics['crossEntropy']).toBeCloseTo(cpu.metrics['crossEntropy'] as number, 3);
  });

  it('hands its weights and slots on to a stage on the CPU', async () => {
    const request = smallRequest({}, { examples: 8 * 4 });
    const { graph, task, recipe, threads } = request;
    const stages = (['webgpu', 'cpu'] as const).map((provider) => {
      return { graph, task, recipe: { ...recipe, provider }, threads, updates: 2 };
    });
    const [cpu, both] = [
      trained(await onnxTrainer.train(request)),
      trained(await onnxTrainer.train({ ...request, stages })),
    ];
    both.curve.forEach(({ loss: mine }, point) =>
      expect(Math.abs(mine / (cpu.curve[point]?.loss as number) - 1)).toBeLessThan(1e-4),
    );
  });
});
