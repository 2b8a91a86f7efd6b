import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type NodeRun, readRuntimeProfile, type RuntimeProfile } from '../../accelerators/runtime-profile.ts';
import { buildNetwork } from '../../models/build.ts';
import { elements, type TensorType } from '../../models/graph.ts';
import { differentiate } from '../../training/differentiate.ts';
import { targetInput } from '../../training/image-task.ts';
import type { TrainingGraph } from '../../training/training-graph.ts';
import type { StoredProblem } from './compare.ts';
import { Contender } from './contender.ts';
import { ours } from './contenders.ts';
import { type LimitId, limits, openLimit } from './limits.ts';
import type { LoweringId } from './lowerings.ts';
import type { Problem } from './problem.ts';

/** Where the time of a step goes: one kind of work. */
export interface ProfileRow {
  readonly kind: string;
  /** ONNX nodes a step. */
  readonly nodes: number;
  /** A step's share of this kind, in milliseconds: of every node its fastest run, which other work disturbs least. */
  readonly ms: number;
  /** Inputs read and outputs written, once each, in bytes a step; reshaping moves none. */
  readonly bytes: number;
  /** Floating-point operations a step, two a multiply-add, without padding; of convolutions only. */
  readonly flops?: number;
}

/** One step by the runtime's own profile, largest first. */
export interface Profile {
  /** By operator of the training graph, e.g. `conv-weight-gradient`; `optimizer`, `gradients` and `input` are the step's own. */
  readonly byTrainingOperator: readonly ProfileRow[];
  /** By operator of the runtime. */
  readonly byOnnxOperator: readonly ProfileRow[];
  /** Of all nodes together. */
  readonly stepMs: number;
  /** On as many threads. */
  readonly attainable: Attainable;
}

const warmUpSteps = 5;
const profiledSteps = 30;

/** Trains some steps in a process of its own and adds up what the runtime recorded of them. */
export async function profileStep(
  { folder, problem }: StoredProblem,
  threads: number,
  lowering: LoweringId,
): Promise<Profile> {
  const prefix = join(folder, `profile-${lowering}-${threads}-`);
  const contender = await Contender.open(ours(folder, threads, lowering, prefix));
  await contender.run(warmUpSteps + profiledSteps);
  await contender.close();
  const { nodeRuns, modelStartsUs } = await readProfile(prefix);
  const fromUs = Math.min(...modelStartsUs.slice(-profiledSteps));
  const nodes = fastest(nodeRuns.filter(({ startUs }) => startUs >= fromUs));
  const training = trainingGraph(problem);
  const operators = new Map<string, string>(training.nodes.map(({ name, op }) => [name, op]));
  const rows = addUp(nodes, ({ name }) => {
    const scope = name.slice(0, name.lastIndexOf('/'));
    return operators.get(scope) ?? (scope || 'parameters');
  });
  const flops = convolutionFlops(training);
  return {
    byTrainingOperator: rows.map((row) => ({ ...row, flops: flops.get(row.kind) })),
    byOnnxOperator: addUp(nodes, ({ opType }) => opType),
    stepMs: nodes.reduce((sum, { durationUs }) => sum + durationUs, 0) / 1000,
    attainable: await attainable(threads),
  };
}

/** The fastest run of every node. */
function fastest(runs: readonly NodeRun[]): readonly NodeRun[] {
  const byNode = new Map<string, NodeRun>();
  for (const run of runs)
    if (run.durationUs < (byNode.get(run.name)?.durationUs ?? Infinity)) byNode.set(run.name, run);
  return [...byNode.values()];
}

/** The runtime adds a date to the prefix. */
async function readProfile(prefix: string): Promise<RuntimeProfile> {
  const folder = dirname(prefix);
  const [file] = (await readdir(folder)).filter((name) => name.startsWith(basename(prefix))).toSorted();
  if (!file) throw new Error(`expected a profile ${prefix}*, got none`);
  return readRuntimeProfile(await readFile(join(folder, file), 'utf8'));
}

function trainingGraph({ spec, recipe }: Problem): TrainingGraph {
  const { batchSize, labelSmoothing } = recipe;
  const kind = 'softmax-cross-entropy';
  return differentiate(buildNetwork(spec, batchSize), { kind, labelSmoothing, targets: targetInput });
}

/** Operations by kind of node: every output value of the forward convolution takes one product a weight of its filter. */
function convolutionFlops({ nodes, tensors }: TrainingGraph): ReadonlyMap<string, number> {
  const flops = new Map<string, number>();
  const shape = (name: string | undefined) => (tensors.get(name as string) as TensorType).shape;
  const add = (kind: string, forwardOutput: string | undefined, weight: string | undefined): void => {
    const products = elements(shape(forwardOutput)) * elements(shape(weight).slice(1));
    flops.set(kind, (flops.get(kind) ?? 0) + 2 * products);
  };
  for (const { op, inputs, outputs } of nodes) {
    if (op === 'conv') add(op, outputs[0], inputs[1]);
    if (op === 'conv-input-gradient') add(op, inputs[0], inputs[1]);
    if (op === 'conv-weight-gradient') add(op, inputs[1], outputs[0]);
  }
  return flops;
}

/** What operators can reach at most on this machine. */
export interface Attainable {
  /** Operations a second of a product of two matrices of 1024 × 1024. */
  readonly flopsPerS: number;
  /** Bytes a second, read and written, of adding two tensors of 64 MiB and then adding up all of the result. */
  readonly bytesPerS: number;
}

async function attainable(threads: number): Promise<Attainable> {
  const perS = async (id: LimitId): Promise<number> => (limits[id].amount * 1000) / (await fastestMs(id, threads));
  return { flopsPerS: await perS('arithmetic'), bytesPerS: await perS('memory') };
}

/** Best of ten runs. */
async function fastestMs(id: LimitId, threads: number): Promise<number> {
  const { run, close } = await openLimit(id, threads);
  let bestMs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 10; round++) {
    const startMs = performance.now();
    await run();
    bestMs = Math.min(bestMs, performance.now() - startMs);
  }
  await close();
  return bestMs;
}

function addUp(runs: readonly NodeRun[], kindOf: (run: NodeRun) => string): ProfileRow[] {
  const rows = new Map<string, { nodes: number; ms: number; bytes: number }>();
  for (const run of runs) {
    const kind = kindOf(run);
    const row = rows.get(kind) ?? { nodes: 0, ms: 0, bytes: 0 };
    row.nodes += 1;
    row.ms += run.durationUs / 1000;
    if (run.opType !== 'Reshape') row.bytes += run.bytes;
    rows.set(kind, row);
  }
  return [...rows].map(([kind, row]) => ({ kind, ...row })).toSorted((a, b) => b.ms - a.ms);
}
