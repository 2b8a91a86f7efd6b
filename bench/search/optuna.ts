import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Choices } from '../../core/trial.ts';
import { decisions, decodeVector } from '../../search/space.ts';
import type { Run } from './run.ts';
import { type Losses, optionCounts, type Task } from './tables.ts';

/** Optuna's samplers as they are run: all their defaults, but a population of 20 where the default of 50 is worse at 200 trials. */
export const optunaSamplers = ['nsga2', 'tpe', 'random'] as const;
export type OptunaSampler = (typeof optunaSamplers)[number];

/**
 * Runs of one of Optuna's samplers on a task, by seed, the version that made them, and the processor time of each trial in
 * milliseconds, `[seed][trial]`: telling the result before and asking for the next.
 */
export async function runOptuna(
  python: string,
  task: Task,
  sampler: OptunaSampler,
  { trials, seeds }: { readonly trials: number; readonly seeds: readonly number[] },
): Promise<{
  readonly version: string;
  readonly runs: readonly Run[];
  readonly timesMs: readonly (readonly number[])[];
}> {
  const child = spawn(python, [fileURLToPath(new URL('optuna-child.py', import.meta.url))], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const width = decisions(task.space).length;
  const choicesOf = (point: string): Choices => {
    const vector = point.split(',').map(Number);
    if (vector.length !== width) throw new Error(`expected ${width} options, got ${point}`);
    const choices = decodeVector(task.space, vector);
    return task.members?.nearest(choices, (member) => taken.has(member)) ?? choices;
  };
  // The child asks for one point at a time: a table may have more points than can be sent.
  const answers = createInterface({ input: child.stdout });
  const problem = { options: optionCounts(task), sampler, population: 20, trials, seeds };
  child.stdin.write(`${JSON.stringify(problem)}\n`);
  const runs: Run[] = [];
  const timesMs: (readonly number[])[] = [];
  let version = '';
  let run: Losses[] = [];
  const taken = new Set<Choices>();
  for await (const line of answers) {
    if (line.startsWith('{')) {
      const finished = JSON.parse(line) as { readonly ms: readonly number[]; readonly version: string };
      runs.push(run);
      timesMs.push(finished.ms);
      version = finished.version;
      run = [];
      taken.clear();
      continue;
    }
    const choices = choicesOf(line);
    taken.add(choices);
    const losses = task.lossesOf(choices);
    run.push(losses);
    child.stdin.write(`${JSON.stringify(losses)}\n`);
  }
  const code = await ended;
  if (code !== 0 || runs.length !== seeds.length)
    throw new Error(`Optuna's ${sampler} ended with ${code} after ${runs.length} of ${seeds.length} runs`);
  return { version, runs, timesMs };
}
