import { type ContendedTurn, Contender, type ContenderCommand } from './contender.ts';
import { ours, pytorch, tensorflow } from './contenders.ts';
import { interleave, medianMs, type RoundsMs, speedup, type Speedup, type Turns } from './interleave.ts';
import { loweringIds } from './lowerings.ts';
import type { Load } from './load.ts';
import type { Problem } from './problem.ts';

/** What one contender did. */
export interface Side {
  readonly name: string;
  readonly runtime: string;
  /** Whether it is the very same network; see `pytorch-child.py` for what is not. */
  readonly exact: boolean;
  readonly roundsMs: RoundsMs;
  /** Median time of a step. */
  readonly stepMs: number;
  /** Mean CPU time of a step, all threads together: on a busy machine steadier than its time. */
  readonly cpuMs: number;
  readonly peakRssBytes?: number;
  /** Of the process when it was ready, before its first step. */
  readonly startRssBytes?: number;
  /** Before the first update and before the second. */
  readonly losses: readonly [number, number];
}

/** One network on one number of threads. */
export interface Comparison {
  readonly network: string;
  readonly batchSize: number;
  readonly threads: number;
  readonly parameterCount: number;
  /** One a lowering. */
  readonly ours: readonly Side[];
  /** PyTorch's variants; none without a Python. */
  readonly theirs: readonly Side[];
  /** The chosen lowering against PyTorch's fastest variant. */
  readonly speedup?: Speedup & {
    readonly over: string;
    /** Against the faster memory format on the very same network, symmetric pads left out. */
    readonly exactRatio: number;
    /** Of CPU times, against whichever variant used least. */
    readonly cpuRatio: number;
  };
  readonly load?: Load;
  /** Rounds repeated because the machine was busy with something else. */
  readonly leftOut: number;
  /** TensorFlow.js, where it was sampled: a step of few images, scaled to the batch. Not in turns with the others. */
  readonly tensorflow?: { readonly runtime: string; readonly images: number; readonly stepMs: number };
}

/** A problem and where its files are. */
export interface StoredProblem {
  readonly folder: string;
  readonly problem: Problem;
}

export interface ComparisonOptions {
  readonly threads: number;
  /** Has PyTorch; without one, ours runs alone. */
  readonly python?: string;
  readonly turns: Turns;
}

/** Compares both lowerings with PyTorch's variants. @throws {Error} when parameter counts or losses disagree. */
export async function compare(
  stored: StoredProblem,
  { threads, python, turns }: ComparisonOptions,
): Promise<Comparison> {
  const { folder, problem } = stored;
  const own = loweringIds.map((id) => ours(folder, threads, id));
  const peers = python === undefined ? [] : pytorch(python, folder, threads, problem);
  const { sides, load, leftOut } = await contend(stored, [...own, ...peers], { threads, turns });
  const { name: network, recipe, parameterCount } = problem;
  const [ourSides, theirs] = [sides.slice(0, own.length), sides.slice(own.length)];
  const what = { network, batchSize: recipe.batchSize, threads, parameterCount };
  return { ...what, ours: ourSides, theirs, speedup: against(ourSides, theirs), load, leftOut };
}

/** The trainer by ONNX Runtime beside the trainer by TensorFlow.js, on one network and its whole batch. */
export interface TrainerComparison {
  readonly network: string;
  readonly batchSize: number;
  readonly threads: number;
  readonly onnx: Side;
  readonly tensorflow: Side;
  readonly speedup: Speedup;
  readonly load?: Load;
}

/** Compares both trainers, the chosen lowering for ours. @throws {Error} when parameter counts or losses disagree. */
export async function compareTrainers(
  stored: StoredProblem,
  { threads, turns }: Omit<ComparisonOptions, 'python'>,
): Promise<TrainerComparison> {
  const { folder, problem } = stored;
  const commands = [ours(folder, threads, 'chosen'), tensorflow(folder, threads, problem)];
  const { sides, load } = await contend(stored, commands, { threads, turns });
  const [onnx, other] = sides as [Side, Side];
  const { name: network, recipe } = problem;
  const what = { network, batchSize: recipe.batchSize, threads, onnx, tensorflow: other, load };
  return { ...what, speedup: speedup(onnx.roundsMs, other.roundsMs) };
}

/** Opens contenders on one problem, checks that all train the same network, and lets them take turns. */
async function contend(
  { problem }: StoredProblem,
  commands: readonly ContenderCommand[],
  { threads, turns }: Omit<ComparisonOptions, 'python'>,
): Promise<{ readonly sides: readonly Side[]; readonly load?: Load; readonly leftOut: number }> {
  const contenders: Contender[] = [];
  try {
    for (const command of commands) contenders.push(await Contender.open(command));
    const losses = new Map<Contender, Side['losses']>();
    for (const contender of contenders) losses.set(contender, (await contender.run(2)).losses as [number, number]);
    expectSameNetwork(losses, problem);

    const { turns: played, load, leftOut } = await interleave(contenders, { ...turns, threads });
    const sides = contenders.map((contender): Side => {
      const { name, exact, ready, peakRssBytes, startRssBytes } = contender;
      const counted = played.get(contender) as readonly ContendedTurn[];
      const roundsMs = counted.map(({ stepsMs }) => stepsMs);
      const cpuMs = counted.reduce((sum, turn) => sum + turn.cpuMs, 0) / (turns.rounds * turns.steps);
      const memory = { peakRssBytes, startRssBytes };
      const firstLosses = losses.get(contender) as Side['losses'];
      return {
        name,
        exact,
        runtime: ready.runtime,
        losses: firstLosses,
        roundsMs,
        stepMs: medianMs(roundsMs),
        cpuMs,
        ...memory,
      };
    });
    return { sides, load, leftOut };
  } finally {
    for (const contender of contenders) await contender.close();
  }
}

/** One step of TensorFlow.js on the first images of the batch, after a step to warm up; it takes about a second an image. */
export async function sampleTensorFlow({ folder, problem }: StoredProblem): Promise<Comparison['tensorflow']> {
  const images = 2;
  const contender = await Contender.open(tensorflow(folder, 1, problem, images));
  try {
    await contender.run(1);
    const { stepsMs } = await contender.run(1);
    const scale = problem.recipe.batchSize / images;
    return { runtime: contender.ready.runtime, images, stepMs: (stepsMs[0] as number) * scale };
  } finally {
    await contender.close();
  }
}

function against(own: readonly Side[], theirs: readonly Side[]): Comparison['speedup'] {
  const chosen = own.find(({ name }) => name === 'chosen') as Side;
  const [best, bestExact] = [fastest(theirs), fastest(theirs.filter(({ exact }) => exact))];
  if (!best || !bestExact) return undefined;
  const exactRatio = bestExact.stepMs / chosen.stepMs;
  const cpuRatio = Math.min(...theirs.map(({ cpuMs }) => cpuMs)) / chosen.cpuMs;
  return { ...speedup(chosen.roundsMs, best.roundsMs), over: best.name, exactRatio, cpuRatio };
}

/** The side with the shortest step, if there is any. */
export function fastest(sides: readonly Side[]): Side | undefined {
  return sides.toSorted((a, b) => a.stepMs - b.stepMs)[0];
}

/** Relative difference of a loss from ours: of the same function, and after an update by its gradient. */
const lossTolerances = [1e-4, 1e-3] as const;

function expectSameNetwork(losses: ReadonlyMap<Contender, Side['losses']>, { parameterCount }: Problem): void {
  const [reference] = losses.values();
  for (const [{ name, ready, exact }, found] of losses) {
    if (ready.parameterCount !== parameterCount)
      throw new Error(`${name}: expected ${parameterCount} parameters, got ${ready.parameterCount}`);
    if (!exact) continue;
    lossTolerances.forEach((tolerance, step) => {
      const expected = reference?.[step] as number;
      const loss = found[step] as number;
      if (!(Math.abs(loss - expected) <= tolerance * expected))
        throw new Error(`${name}: expected a loss of ${expected} ± ${tolerance} at step ${step}, got ${loss}`);
    });
  }
}
