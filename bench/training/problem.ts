import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Random } from '../../core/random.ts';
import { buildNetwork, imageInput } from '../../models/build.ts';
import { elements, type Graph, type Weights } from '../../models/graph.ts';
import { initialWeights } from '../../models/initialise.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { targetInput } from '../../training/image-task.ts';
import { trains } from '../../training/training-graph.ts';
import type { Recipe } from '../../training/trainer.ts';
import type { Workload } from './networks.ts';

/** SGD with momentum as every contender runs it: a constant rate, decay on weights only, smoothed labels. */
function recipeOf(batchSize: number): Recipe {
  const optimizer = 'sgd-momentum';
  return { optimizer, batchSize, learningRate: 0.05, momentum: 0.9, weightDecay: 5e-4, labelSmoothing: 0.1, warmup: 0 };
}

/** A float32 tensor of `values.bin`, row-major, little-endian; `offset` counts values. */
export interface StoredTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
}

/**
 * One training problem as two files in a folder, so that every contender, in whatever language, builds
 * the same network and starts from the same numbers: `problem.json` (this) and `values.bin`.
 */
export interface Problem {
  readonly name: string;
  readonly spec: NetworkSpec;
  readonly recipe: Recipe;
  /** The graph of `models/graph.ts`; `shapes` has every tensor. */
  readonly graph: Pick<Graph, 'inputs' | 'outputs' | 'parameters' | 'nodes'> & {
    readonly shapes: Readonly<Record<string, readonly number[]>>;
  };
  /** Trainable values. */
  readonly parameterCount: number;
  /** Every parameter, and the one batch all steps use: `image` and `target`. */
  readonly tensors: readonly StoredTensor[];
}

/** Draws weights and a batch for a workload and writes both files. */
export async function writeProblem(folder: string, { name, spec, batchSize }: Workload): Promise<Problem> {
  const graph = buildNetwork(spec, batchSize);
  const random = new Random(name);
  const values = new Map([...initialWeights(graph, random.child('weights')), ...drawBatch(spec, batchSize, random)]);
  const shapes = Object.fromEntries([...graph.tensors].map(([key, { shape }]) => [key, shape as readonly number[]]));
  const tensors: StoredTensor[] = [];
  let offset = 0;
  for (const [key, data] of values) {
    const shape = key === targetInput ? [batchSize, spec.classes] : (shapes[key] as readonly number[]);
    tensors.push({ name: key, shape, offset });
    offset += data.length;
  }
  const { inputs, outputs, parameters, nodes } = graph;
  const problem: Problem = {
    name,
    spec,
    recipe: recipeOf(batchSize),
    graph: { inputs, outputs, parameters, nodes, shapes },
    parameterCount: parameters.filter(trains).reduce((sum, { shape }) => sum + elements(shape), 0),
    tensors,
  };
  await writeFile(join(folder, 'problem.json'), JSON.stringify(problem));
  await writeFile(join(folder, 'values.bin'), concat([...values.values()]));
  return problem;
}

/** Reads both files back. @returns the problem and the values of its tensors by name. */
export async function readProblem(folder: string): Promise<{ problem: Problem; values: Map<string, Float32Array> }> {
  const problem = JSON.parse(await readFile(join(folder, 'problem.json'), 'utf8')) as Problem;
  const bytes = await readFile(join(folder, 'values.bin'));
  const floats = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / Float32Array.BYTES_PER_ELEMENT);
  const slices = problem.tensors.map(({ name, shape, offset }): [string, Float32Array] => {
    return [name, floats.slice(offset, offset + elements(shape))];
  });
  return { problem, values: new Map(slices) };
}

/** Normal pixels and one class an image. */
function drawBatch({ input, classes }: NetworkSpec, batchSize: number, random: Random): Weights {
  const [pixels, labels] = [random.child('pixels'), random.child('labels')];
  const image = Float32Array.from({ length: batchSize * input.channels * input.resolution ** 2 }, () =>
    pixels.normal(),
  );
  const target = new Float32Array(batchSize * classes);
  for (let row = 0; row < batchSize; row++) target[row * classes + labels.integer(classes)] = 1;
  return new Map([
    [imageInput, image],
    [targetInput, target],
  ]);
}

function concat(arrays: readonly Float32Array[]): Buffer {
  return Buffer.concat(arrays.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)));
}
