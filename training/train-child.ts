import { availableParallelism } from 'node:os';
import { onnxRuntimeAccelerator } from '../accelerators/onnxruntime.ts';
import { serveChild } from '../core/child.ts';
import { canonicalJson } from '../core/digest.ts';
import { ConfigError } from '../core/errors.ts';
import { noAugmentation } from '../data/augment.ts';
import { readDatasetFile } from '../data/cache.ts';
import type { Dataset } from '../data/dataset.ts';
import { loadText, type Text } from '../data/text.ts';
import { buildNetwork } from '../models/build.ts';
import type { Graph } from '../models/graph.ts';
import { writeSafetensors } from '../models/safetensors.ts';
import { type NetworkSpec, specDigest } from '../models/spec.ts';
import { isTransformer, type TransformerSpec } from '../models/transformer.ts';
import { adoptLowering, type ChosenLowering, chooseLowering, type FoundLowering } from './choose-lowering.ts';
import type { ImageData, StoredTrainingResult, TrainingAssignment, TrainingNews } from './isolate.ts';
import { imageTask } from './image-task.ts';
import { onnxTrainerOn } from './onnx-trainer.ts';
import { microBatchSize } from './recipe.ts';
import { augmentationIdentity } from './run-identity.ts';
import { planStages, type StagePlan } from './stage-plan.ts';
import { textTask } from './text-task.ts';
import type { CheckpointOptions, Trainer, TrainingStage, TrainingTask } from './trainer.ts';

const cpu = onnxRuntimeAccelerator('cpu');

serveChild<TrainingAssignment, StoredTrainingResult, TrainingNews>(async (assignment, { emit, signal }) => {
  const { spec, recipe, fidelity } = assignment;
  const { stages, graph, task, identity } = await subjectOf(assignment);

  const trainer = await trainerFor(assignment, (found) => emit({ type: 'lowering', found }));
  const result = await trainer.train({
    graph,
    task,
    recipe,
    examples: fidelity.examples,
    ...(stages && { stages }),
    seed: fidelity.seed,
    threads: assignment.threads,
    ...(assignment.checkpoint && {
      checkpoint: {
        ...checkpointOf(assignment.checkpoint, identity),
        onSaved: (trainS: number) => emit({ type: 'saved', trainS }),
      },
    }),
    signal,
    onProgress: (point, pace) => emit({ type: 'progress', progress: { ...point, ...pace } }),
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
  readonly stages?: readonly TrainingStage[];
  /** What decides the batches beside the data. */
  readonly identity: Readonly<Record<string, string>>;
}

async function subjectOf({ spec, data, ...assignment }: TrainingAssignment): Promise<Subject> {
  if (isTransformer(spec)) {
    if (!('format' in data)) throw new ConfigError('expected text for a transformer to learn from, got pictures');
    return textSubject(spec, await loadText(data, ''), assignment);
  }
  if ('format' in data) throw new ConfigError('expected pictures for a convolution network to learn from, got text');
  const dataset = await readDatasetFile(data.file);
  expectFit(spec, dataset);
  return imageSubject(spec, { dataset, data }, assignment);
}

type Amount = Pick<TrainingAssignment, 'recipe' | 'fidelity' | 'threads' | 'schedule'>;

function textSubject(spec: TransformerSpec, text: Text, { recipe, fidelity, threads, schedule }: Amount): Subject {
  const task = textTask(text, spec);
  const { examples } = fidelity;
  const plans = schedule && planStages(schedule, { spec, recipe, augmentation: noAugmentation, examples, threads });
  return {
    graph: buildNetwork(spec, microBatchSize(recipe)),
    task,
    ...(plans && { stages: plans.map((plan) => stageOf(plan, task)) }),
    identity: {},
  };
}

function imageSubject(
  spec: NetworkSpec,
  { dataset, data }: { readonly dataset: Dataset; readonly data: ImageData },
  { recipe, fidelity, threads, schedule }: Amount,
): Subject {
  const { augmentation, scoredSplit } = data;
  const resolution = data.resolution ?? fidelity.resolution ?? spec.input.resolution;
  const sized = { ...spec, input: { ...spec.input, resolution } };
  const { examples } = fidelity;
  const plans = schedule && planStages(schedule, { spec: sized, recipe, augmentation, examples, threads });
  const task = imageTask(dataset, { resolution, augmentation, scoredSplit });
  const taskOf = ({ spec: { input }, augmentation: own }: StagePlan<NetworkSpec>): TrainingTask => {
    const isAsAtTheEnd = input.resolution === resolution && canonicalJson(own) === canonicalJson(augmentation);
    return isAsAtTheEnd ? task : imageTask(dataset, { resolution: input.resolution, augmentation: own, scoredSplit });
  };
  return {
    graph: buildNetwork(sized, microBatchSize(recipe)),
    task,
    ...(plans && { stages: plans.map((plan) => stageOf(plan, taskOf(plan))) }),
    // Sizes, recipes and lengths of stages the trainer names itself.
    identity: augmentationIdentity(augmentation, plans),
  };
}

function stageOf({ spec, recipe, updates, threads, optimization }: StagePlan, task: TrainingTask): TrainingStage {
  return {
    graph: buildNetwork(spec, microBatchSize(recipe)),
    task,
    recipe,
    updates,
    threads: Math.min(threads, availableParallelism()),
    ...(optimization && { optimization }),
  };
}

async function trainerFor(assignment: TrainingAssignment, tell: (found: FoundLowering) => void): Promise<Trainer> {
  const { trainer = 'onnx' } = assignment;
  switch (trainer) {
    case 'onnx':
      return onnxTrainerOn(cpu, isOnCpu(assignment) ? await loweringFor(assignment, tell) : undefined);
    case 'tfjs':
      return (await import('./tfjs-trainer.ts')).tfjsTrainer;
    default:
      return trainer satisfies never;
  }
}

const isOnCpu = ({ recipe: { provider = 'cpu' } }: TrainingAssignment): boolean => provider === 'cpu';

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
