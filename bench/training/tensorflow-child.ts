import { buildNetwork, imageInput } from '../../models/build.ts';
import { differentiate } from '../../training/differentiate.ts';
import { targetInput } from '../../training/image-task.ts';
import { loadTensorFlow } from '../../training/tfjs/load.ts';
import { openTfjsUpdater } from '../../training/tfjs/updater.ts';
import { initialVectors } from '../../training/updater.ts';
import { readProblem } from './problem.ts';
import { serveSteps } from './protocol.ts';

// TensorFlow.js, by the trainer's own parts: `tensorflow-child.ts <folder> <threads> <images>`. In plain JavaScript it
// takes about a second an image, so its batch may be the first images of the problem's.
const [folder, threads, images] = process.argv.slice(2) as [string, string, string];
const { problem, values } = await readProblem(folder);
const { spec, recipe, parameterCount } = problem;
const { tf, version, backend } = await loadTensorFlow(Number(threads));

const graph = buildNetwork(spec, Number(images));
const { labelSmoothing } = recipe;
const training = differentiate(graph, { kind: 'softmax-cross-entropy', labelSmoothing, targets: targetInput });
const updater = openTfjsUpdater(tf, graph, training, recipe);
const first = (name: string): Float32Array => {
  const all = values.get(name) as Float32Array;
  return all.subarray(0, (all.length / recipe.batchSize) * Number(images));
};
const given = new Map([imageInput, targetInput].map((name) => [name, first(name)]));
const batch = Object.fromEntries(
  training.inputs.map(({ name, shape }) => {
    return [
      name,
      { dtype: 'float32' as const, dims: shape as readonly number[], data: given.get(name) as Float32Array },
    ];
  }),
);

let vectors = initialVectors(recipe, updater.flat, values);
let update = 0;
await serveSteps({ runtime: `${version}, ${backend}`, parameterCount }, async () => {
  const { learningRate } = recipe;
  const updated = await updater.update(vectors, { next: () => batch, learningRate, update: ++update });
  vectors = updated.vectors;
  return updated.loss;
});
