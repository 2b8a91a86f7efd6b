import { cpus } from 'node:os';
import type { Accelerator } from '../accelerators/accelerator.ts';
import { onnxRuntimeAccelerator, type ProviderId, runtimeVersion } from '../accelerators/onnxruntime.ts';
import { type ChosenLowering, chooseLowering } from './choose-lowering.ts';
import type { Engine } from './engine.ts';
import { estimateRunningStatistics } from './running-statistics.ts';
import { scoreGraph } from './scoring.ts';
import { openUpdater } from './updater.ts';

interface OnnxEngineOptions {
  /** Of the run; steps whose recipes name another run there. That of the accelerator when absent. */
  readonly provider?: ProviderId | undefined;
  /** The accelerator's lowering, where it is known; it is asked when absent. */
  readonly chosen?: ChosenLowering | undefined;
}

/** Where steps run, and how they are lowered for it. */
interface Place extends ChosenLowering {
  readonly accelerator: Accelerator;
}

/** ONNX Runtime on an accelerator, or on the providers that recipes name. */
export async function onnxEngine(given: Accelerator, { provider, chosen }: OnnxEngineOptions = {}): Promise<Engine> {
  const places = new Map<string, Promise<Place>>();
  const placeOf = (id: ProviderId | undefined): Promise<Place> => {
    const key = id ?? given.id;
    const known = places.get(key);
    if (known) return known;
    const accelerator = id === undefined || id === given.id ? given : onnxRuntimeAccelerator(id);
    const place = openPlace(accelerator, accelerator === given ? chosen : undefined);
    places.set(key, place);
    return place;
  };
  const own = await placeOf(provider);
  const { accelerator, lowering, notice } = own;
  return {
    lowering: lowering.id,
    notice,
    means: {
      lowering: lowering.id,
      runtime: runtimeVersion(),
      // Its vector registers choose the runtime's kernels.
      cpu: cpus()[0]?.model ?? 'unknown',
    },
    openUpdater: async (_graph, training, options) => {
      const place = options.recipe.provider === undefined ? own : await placeOf(options.recipe.provider);
      return openUpdater(place.accelerator, training, { ...options, lowering: place.lowering });
    },
    estimateStatistics: (graph, weights, batches, options) =>
      estimateRunningStatistics(accelerator, graph, weights, batches, { ...options, lowering }),
    score: (graph, weights, task, options) => scoreGraph(accelerator, graph, weights, task, options),
  };
}

async function openPlace(accelerator: Accelerator, chosen: ChosenLowering | undefined): Promise<Place> {
  return { accelerator, ...(chosen ?? (await chooseLowering(accelerator))) };
}
