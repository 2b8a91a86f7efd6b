import type { Accelerator } from '../../accelerators/accelerator.ts';
import { onnxRuntimeAccelerator, runtimeVersion } from '../../accelerators/onnxruntime.ts';
import { buildNetwork } from '../../models/build.ts';
import { elements } from '../../models/graph.ts';
import { differentiate } from '../../training/differentiate.ts';
import { targetInput } from '../../training/image-task.ts';
import { initialVectors, openUpdater } from '../../training/updater.ts';
import { type LoweringId, lowerings } from './lowerings.ts';
import { readProblem } from './problem.ts';
import { serveSteps } from './protocol.ts';

// Ours, by the trainer's own parts: `onnx-child.ts <folder> <threads> <lowering> [profile prefix]`.
const [folder, threads, loweringId, profilePrefix] = process.argv.slice(2) as [string, string, LoweringId, string?];
const { problem, values } = await readProblem(folder);
const { spec, recipe } = problem;

const cpu = onnxRuntimeAccelerator('cpu');
const choiceMs = performance.now();
const lowering = await lowerings[loweringId](cpu);
const chooseMs = performance.now() - choiceMs;
let openMs = 0;
/** Times the runtime's part and has it write a profile when asked. */
const timed: Accelerator = {
  id: cpu.id,
  async open(model, options) {
    const startMs = performance.now();
    const session = await cpu.open(model, { ...options, ...(profilePrefix === undefined ? {} : { profilePrefix }) });
    openMs += performance.now() - startMs;
    return session;
  },
};

const startMs = performance.now();
const graph = buildNetwork(spec, recipe.batchSize);
const { labelSmoothing } = recipe;
const training = differentiate(graph, { kind: 'softmax-cross-entropy', labelSmoothing, targets: targetInput });
const updater = await openUpdater(timed, training, { recipe, lowering, threads: Number(threads) });
const buildMs = performance.now() - startMs - openMs;

const batch = Object.fromEntries(
  training.inputs.map(({ name, shape }) => {
    const data = values.get(name) as Float32Array;
    return [name, { dtype: 'float32' as const, dims: shape as readonly number[], data }];
  }),
);
const parameterCount = updater.flat.parameters.reduce((sum, { parameter }) => sum + elements(parameter.shape), 0);
let vectors = initialVectors(recipe, updater.flat, values);
let update = 0;
await serveSteps(
  { runtime: `${runtimeVersion()}, ${lowering.id} lowering`, parameterCount, chooseMs, buildMs, openMs },
  async () => {
    const { learningRate } = recipe;
    const updated = await updater.update(vectors, { next: () => batch, learningRate, update: ++update });
    vectors = updated.vectors;
    return updated.loss;
  },
);
await updater.close();
