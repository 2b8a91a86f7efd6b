import { cpus } from 'node:os';
import type { Accelerator } from '../accelerators/accelerator.ts';
import { runtimeVersion } from '../accelerators/onnxruntime.ts';
import { type ChosenLowering, chooseLowering } from './choose-lowering.ts';
import type { Engine } from './engine.ts';
import { estimateRunningStatistics } from './running-statistics.ts';
import { scoreGraph } from './scoring.ts';
import { openUpdater } from './updater.ts';

/** ONNX Runtime on an accelerator. @param chosen the lowering, where it is known; the accelerator is asked when absent. */
export async function onnxEngine(accelerator: Accelerator, chosen?: ChosenLowering): Promise<Engine> {
  const { lowering, notice } = chosen ?? (await chooseLowering(accelerator));
  return {
    lowering: lowering.id,
    notice,
    means: {
      lowering: lowering.id,
      runtime: runtimeVersion(),
      // Its vector registers choose the runtime's kernels.
      cpu: cpus()[0]?.model ?? 'unknown',
    },
    openUpdater: (_graph, training, options) => openUpdater(accelerator, training, { ...options, lowering }),
    estimateStatistics: (graph, weights, batches, options) =>
      estimateRunningStatistics(accelerator, graph, weights, batches, { ...options, lowering }),
    score: (graph, weights, task, options) => scoreGraph(accelerator, graph, weights, task, options),
  };
}
