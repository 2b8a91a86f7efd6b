import { readFile } from 'node:fs/promises';
import { serveChild } from '../../core/child.ts';
import { ConfigError } from '../../core/errors.ts';
import { noAugmentation } from '../../data/augment.ts';
import { count, emptyHistogram, leastErrorRange, widened } from '../../models/activation-range.ts';
import type { ValueRange } from '../../models/affine-quantization.ts';
import { decodeOnnx, encodeOnnx, type OnnxModel } from '../../models/onnx.ts';
import { quantizedActivations } from '../../models/quantize.ts';
import { imageTask } from '../../training/image-task.ts';
import type { ActivationRanges, ActivationRangesProgress, ActivationRangesRequest } from './activation-ranges.ts';
import { openClassifier } from '../evaluation/classifier.ts';

/** Every activation of a batch is held at once. */
const calibrationBatch = 8;

await serveChild<ActivationRangesRequest, ActivationRanges, ActivationRangesProgress>(
  async ({ modelFile, examples, method, ...fed }, { signal, emit }) => {
    const model = decodeOnnx(await readFile(modelFile), modelFile);
    const activations = quantizedActivations(model, modelFile);
    const classifier = await openClassifier(encodeOnnx(giving(model, activations)), { from: modelFile, ...fed });
    const { session, dataset, input, resolution, fixedBatch } = classifier;
    const batchSize = fixedBatch ?? calibrationBatch;
    const { count: available } = dataset.splits.train;
    const batches = Math.max(1, Math.ceil(Math.min(examples, available) / batchSize));
    const seenOnce = Math.min(batches * batchSize, available);
    const task = imageTask(dataset, { resolution, scoredSplit: 'holdout', augmentation: noAugmentation });
    const passes = method === 'min-max' ? 1 : 2;
    let seen = 0;

    /** Feeds the examples once, the same ones in every pass. */
    const watch = async (see: (activation: string, values: Float32Array) => void): Promise<void> => {
      const source = task.trainingBatches(batchSize, 0);
      for (let batch = 0; batch < batches; batch++) {
        signal.throwIfAborted();
        const image = source.next().value['image'];
        if (!image) throw new Error('the task gave no images');
        const data = image.data as Float32Array;
        const outputs = await session.run({ [input]: { dtype: 'float32', dims: image.shape, data } });
        for (const activation of activations)
          see(activation, activation === input ? data : (outputs[activation]?.data as Float32Array));
        emit({ seen: ++seen * batchSize, of: passes * batches * batchSize });
      }
    };

    const ranges = new Map<string, ValueRange>(activations.map((activation) => [activation, { lo: 0, hi: 0 }]));
    await watch((activation, values) => {
      ranges.set(activation, widened(ranges.get(activation) as ValueRange, values));
    });
    const unbounded = [...ranges].find(([, { lo, hi }]) => !Number.isFinite(hi - lo));
    if (unbounded) throw new ConfigError(`${modelFile}: expected finite activations, got others in '${unbounded[0]}'`);
    if (method === 'min-max') return { ranges, examples: seenOnce };

    const histograms = new Map([...ranges].map(([activation, range]) => [activation, emptyHistogram(range)]));
    await watch((activation, values) => {
      const histogram = histograms.get(activation);
      if (histogram) count(histogram, values);
    });
    await session.close();
    return {
      ranges: new Map([...histograms].map(([activation, histogram]) => [activation, leastErrorRange(histogram)])),
      examples: seenOnce,
    };
  },
);

/** The same network that gives activations beside its results. */
function giving(model: OnnxModel, activations: readonly string[]): OnnxModel {
  const inputs = new Set(model.inputs.map(({ name }) => name));
  const added = activations.filter((name) => !inputs.has(name)).map((name) => ({ name, dtype: 'float32' as const }));
  return { ...model, outputs: [...model.outputs, ...added] };
}
