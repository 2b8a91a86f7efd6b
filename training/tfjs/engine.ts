import { setImmediate } from 'node:timers/promises';
import type * as tfc from '@tensorflow/tfjs-core';
import { ConfigError } from '../../core/errors.ts';
import { foldForInference, type Model } from '../../models/fold.ts';
import { statisticsGraph } from '../differentiate.ts';
import type { Engine } from '../engine.ts';
import { averagedStatistics } from '../running-statistics.ts';
import { feedsOf, scoreBatches } from '../scoring.ts';
import type { Batch } from '../trainer.ts';
import { type Known, runForward } from './forward.ts';
import type { LoadedTensorFlow, TensorFlow } from './load.ts';
import { tfjsRefusal } from './refusal.ts';
import { fedTensors, parameterTensors, scoped, valuesOf } from './tensors.ts';
import { openTfjsUpdater } from './updater.ts';

/** TensorFlow.js as what computes a training. Every call leaves as many tensors as it found. */
export function tfjsEngine({ tf, version, backend, notice }: LoadedTensorFlow): Engine {
  return {
    lowering: `tfjs-${backend}`,
    notice,
    means: { lowering: `tfjs-${backend}`, runtime: version },
    async openUpdater(graph, training, { recipe, optimization }) {
      const refusal = tfjsRefusal({ ...recipe, graphOptimization: optimization });
      if (refusal !== undefined) throw new ConfigError(refusal);
      return openTfjsUpdater(tf, graph, training, recipe);
    },
    estimateStatistics: (graph, weights, batches) =>
      averagedStatistics(statisticsGraph(graph).statistics, batches, (batch) => observe(tf, { graph, weights }, batch)),
    score: (graph, weights, task, options) => {
      const folded = foldForInference({ graph, weights });
      return scoreBatches(task, (batch) => logitsOf(tf, folded, batch), options);
    },
  };
}

/** Of every batch norm in order its batch means, then its biased batch variances. */
async function observe(tf: TensorFlow, model: Model, batch: Batch): Promise<Float32Array> {
  await setImmediate();
  return scoped(tf, () => {
    const observed: tfc.Tensor[] = [];
    const fed = feedModel(tf, model, batch);
    runForward(tf, model.graph, fed, { drops: false, observe: (mean, variance) => observed.push(mean, variance) });
    return observed.length === 0 ? new Float32Array() : valuesOf(tf.concat(observed));
  });
}

/** @param model folded for inference. */
async function logitsOf(tf: TensorFlow, model: Model, batch: Batch): Promise<Float32Array> {
  await setImmediate();
  return scoped(tf, () => {
    const known = runForward(tf, model.graph, feedModel(tf, model, batch), { drops: false });
    return valuesOf(known.get(model.graph.outputs[0] as string) as tfc.Tensor);
  });
}

/** Inputs, and what weights there are: running statistics are not known while they are estimated, and not read. */
function feedModel(tf: TensorFlow, { graph, weights }: Model, batch: Batch): Known {
  const inputs = fedTensors(tf, feedsOf(batch, graph.inputs));
  const known = graph.parameters.filter(({ name }) => weights.has(name));
  return new Map([...inputs, ...parameterTensors(tf, known, weights)]);
}
