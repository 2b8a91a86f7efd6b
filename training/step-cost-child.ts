import { onnxRuntimeAccelerator } from '../accelerators/onnxruntime.ts';
import { serveChild } from '../core/child.ts';
import { Random } from '../core/random.ts';
import { buildNetwork } from '../models/build.ts';
import { elements, type Graph } from '../models/graph.ts';
import { initialWeights } from '../models/initialise.ts';
import { chooseLowering } from './choose-lowering.ts';
import { differentiate } from './differentiate.ts';
import { targetInput } from './image-task.ts';
import { drawMasks } from './masks.ts';
import { microBatchSize } from './recipe.ts';
import type { StepCostAssignment } from './step-cost.ts';
import { initialVectors, openUpdater } from './updater.ts';

/** The runtime lays its memory out in the first, and the second is the first to use it so. */
const untimedSteps = 2;
const leastSteps = 3;

serveChild<StepCostAssignment, number>(async ({ setting, seconds }) => {
  const { spec, recipe, threads, optimization } = setting;
  const { provider = 'cpu' } = recipe;
  const accelerator = onnxRuntimeAccelerator(provider);
  const batch = microBatchSize(recipe);
  const graph = buildNetwork(spec, batch);
  const training = differentiate(graph, {
    kind: 'softmax-cross-entropy',
    labelSmoothing: recipe.labelSmoothing,
    targets: targetInput,
  });
  const { lowering } = await chooseLowering(accelerator);
  const updater = await openUpdater(accelerator, training, { recipe, lowering, threads, optimization });
  const random = new Random('step cost');
  let vectors = initialVectors(recipe, updater.flat, initialWeights(graph, random.child('weights')));
  const feeds = {
    ...imagesOf(graph, random),
    [targetInput]: { dtype: 'float32' as const, dims: [batch, spec.classes], data: firstClass(batch, spec.classes) },
    ...drawMasks(training.masks, random),
  };
  let fastestMs = Infinity;
  const endMs = performance.now() + 1000 * seconds;
  for (let step = 0; step < untimedSteps + leastSteps || performance.now() < endMs; step++) {
    const elapsedMs = startTimer(provider === 'cpu' && threads === 1);
    // At a rate of zero nothing diverges, and nothing is computed less.
    const place = { learningRate: 0, update: step + 1 };
    vectors = (await updater.update(vectors, { next: () => feeds, ...place })).vectors;
    if (step >= untimedSteps) fastestMs = Math.min(fastestMs, elapsedMs());
  }
  await updater.close();
  return fastestMs;
});

/**
 * Milliseconds since it was started: of one thread on the CPU the processor's, which the load of a machine hardly
 * changes; of several, which wait for each other, and of other devices the clock's.
 */
function startTimer(isAlone: boolean): () => number {
  const startMs = performance.now();
  const start = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(start);
    return isAlone ? (user + system) / 1000 : performance.now() - startMs;
  };
}

function imagesOf({ inputs }: Graph, random: Random) {
  return Object.fromEntries(
    inputs.map(({ name, shape }) => {
      const stream = random.child(name);
      const data = Float32Array.from({ length: elements(shape) }, () => stream.normal());
      return [name, { dtype: 'float32' as const, dims: shape as readonly number[], data }];
    }),
  );
}

function firstClass(batch: number, classes: number): Float32Array {
  const targets = new Float32Array(batch * classes);
  for (let row = 0; row < batch; row++) targets[row * classes] = 1;
  return targets;
}
