import { onnxRuntimeAccelerator } from '../accelerators/onnxruntime.ts';
import { serveChild } from '../core/child.ts';
import { canonicalJson } from '../core/digest.ts';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import { readDatasetFile } from '../data/cache.ts';
import type { Dataset } from '../data/dataset.ts';
import { loadText } from '../data/text.ts';
import { buildNetwork } from '../models/build.ts';
import { elements, type Graph, type Weights } from '../models/graph.ts';
import { readSafetensors, writeSafetensors } from '../models/safetensors.ts';
import { type NetworkSpec, specDigest } from '../models/spec.ts';
import { isTransformer } from '../models/transformer.ts';
import { adoptLowering, type ChosenLowering, chooseLowering, type FoundLowering } from './choose-lowering.ts';
import type { StoredTrainingResult, TrainingAssignment, TrainingNews } from './isolate.ts';
import { imageTask } from './image-task.ts';
import { onnxTrainerOn } from './onnx-trainer.ts';
import { microBatchSize } from './recipe.ts';
import { textTask } from './text-task.ts';
import type { CheckpointOptions, TrainingTask } from './trainer.ts';

const cpu = onnxRuntimeAccelerator('cpu');

serveChild<TrainingAssignment, StoredTrainingResult, TrainingNews>(async (assignment, { emit, signal }) => {
  const { spec, recipe, fidelity, threads } = assignment;
  const { graph, task, identity } = await subjectOf(assignment);
  const start = assignment.initialWeightsFile;

  const chosen = await loweringFor(assignment, (found) => emit({ type: 'lowering', found }));
  const result = await onnxTrainerOn(cpu, chosen).train({
    graph,
    task,
    recipe,
    examples: fidelity.examples,
    seed: fidelity.seed,
    ...(start === undefined ? {} : { weights: await readWeights(start, graph) }),
    threads,
    ...(assignment.checkpoint && {
      checkpoint: {
        ...checkpointOf(assignment.checkpoint, identity),
        onSaved: (trainS: number) => emit({ type: 'saved', trainS }),
      },
    }),
    signal,
    onProgress: (point, imagesPerS) => emit({ type: 'progress', progress: { ...point, imagesPerS } }),
    onNotice: (text) => emit({ type: 'notice', text }),
  });
  if (result.status === 'diverged') return result;

  const { weights, ...rest } = result;
  const shapes = new Map(graph.parameters.map(({ name, shape }) => [name, shape]));
  const metadata = { spec: JSON.stringify(spec), spec_digest: specDigest(spec) };
  await writeSafetensors(assignment.weightsFile, { weights, shapes, metadata });
  return rest;
});

interface Subject {
  readonly graph: Graph;
  readonly task: TrainingTask;
  /** What decides the batches beside the data. */
  readonly identity: Readonly<Record<string, string>>;
}

async function subjectOf({ spec, data, recipe, fidelity }: TrainingAssignment): Promise<Subject> {
  const batch = microBatchSize(recipe);
  if (isTransformer(spec)) {
    if (!('format' in data)) throw new ConfigError('expected text for a transformer to learn from, got pictures');
    return { graph: buildNetwork(spec, batch), task: textTask(await loadText(data, ''), spec), identity: {} };
  }
  if ('format' in data) throw new ConfigError('expected pictures for a convolution network to learn from, got text');
  const dataset = await readDatasetFile(data.file);
  expectFit(spec, dataset);
  const resolution = data.resolution ?? fidelity.resolution ?? spec.input.resolution;
  const graph = buildNetwork({ ...spec, input: { ...spec.input, resolution } }, batch);
  const { augmentation, scoredSplit } = data;
  const task = imageTask(dataset, { resolution, augmentation, scoredSplit });
  return { graph, task, identity: { augmentation: canonicalJson(augmentation) } };
}

/** The lowering the assignment names, or else the one that is chosen here and told. */
async function loweringFor(
  { lowering }: TrainingAssignment,
  tell: (found: FoundLowering) => void,
): Promise<ChosenLowering> {
  if (lowering) return adoptLowering(lowering);
  const chosen = await chooseLowering(cpu);
  tell({ id: chosen.lowering.id, ...(chosen.notice !== undefined && { notice: chosen.notice }) });
  return chosen;
}

function checkpointOf(
  { dataDigest, ...options }: NonNullable<TrainingAssignment['checkpoint']>,
  identity: Readonly<Record<string, string>>,
): CheckpointOptions {
  return { ...options, task: { data: dataDigest, ...identity } };
}

function expectFit(spec: NetworkSpec, dataset: Dataset): void {
  const [channels, classes] = [dataset.channels, dataset.classNames.length];
  if (spec.input.channels !== channels || spec.classes !== classes)
    throw new ConfigError(
      `${dataset.name}: expected a network of ${channels} channels and ${classes} classes, ` +
        `got ${spec.input.channels} and ${spec.classes}`,
    );
}

/** @throws {InvalidFileError} when the file's tensors are not the graph's parameters. */
async function readWeights(file: string, graph: Graph): Promise<Weights> {
  const { weights } = await readSafetensors(file);
  for (const { name, shape } of graph.parameters) {
    const found = weights.get(name)?.length;
    if (found !== elements(shape))
      throw new InvalidFileError(`${file}: expected ${elements(shape)} values of ${name}, got ${found ?? 'none'}`);
  }
  return weights;
}
