import { createRequire, register } from 'node:module';
import { buildNetwork, imageInput } from '../../models/build.ts';
import { elements } from '../../models/graph.ts';
import { targetInput } from '../../training/image-task.ts';
import { trains } from '../../training/training-graph.ts';
import { readProblem } from './problem.ts';
import { serveSteps } from './protocol.ts';

// Its modules import './gradients', a file and a folder: bundlers take the file, Node the folder.
const resolve = `export const resolve = (specifier, context, next) =>
  next(context.parentURL?.includes('/@tensorflow/') ? specifier.replace(/\\/gradients$/, '/gradients.js') : specifier, context);`;
register(`data:text/javascript,${encodeURIComponent(resolve)}`);
const { tfjsGradients } = await import('../../test/training/tfjs-oracle.ts');

// TensorFlow.js's `cpu` backend: `tensorflow-child.ts <folder> <images>`. It takes about a second an image, so
// its batch is the first images of the problem's.
const [folder, images] = process.argv.slice(2) as [string, string];
const { problem, values } = await readProblem(folder);
const { spec, recipe } = problem;
const graph = buildNetwork(spec, Number(images));
const first = (name: string): Float32Array => {
  const all = values.get(name) as Float32Array;
  return all.subarray(0, (all.length / recipe.batchSize) * Number(images));
};
const fed = new Map(values).set(imageInput, first(imageInput));
const loss = { targets: first(targetInput), labelSmoothing: recipe.labelSmoothing };
const trained = graph.parameters.filter(trains);
const velocities = new Map(trained.map(({ name, shape }) => [name, new Float32Array(elements(shape))]));

async function step(): Promise<number> {
  const result = await tfjsGradients(graph, fed, loss);
  for (const { name, role } of trained) {
    const [weights, velocity] = [fed.get(name) as Float32Array, velocities.get(name) as Float32Array];
    const decay = role === 'weight' ? recipe.weightDecay : 0;
    result.gradients.get(name)?.forEach((gradient, index) => {
      const weight = weights[index] as number;
      velocity[index] = recipe.momentum * (velocity[index] as number) + gradient + decay * weight;
      weights[index] = weight - recipe.learningRate * velocity[index];
    });
  }
  return result.loss;
}

const { version } = createRequire(import.meta.url)('@tensorflow/tfjs-core/package.json') as { version: string };
await serveSteps({ runtime: `TensorFlow.js ${version}, cpu`, parameterCount: problem.parameterCount }, async () =>
  step(),
);
