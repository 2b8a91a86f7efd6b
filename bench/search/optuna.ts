import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { decisions, decodeVector } from '../../search/space.ts';
import type { Run } from './run.ts';
import { optionCounts, type Task } from './tables.ts';

/** Optuna's samplers as they are run: all their defaults, but a population of 20 where the default of 50 is worse at 200 trials. */
export const optunaSamplers = ['nsga2', 'tpe', 'random'] as const;
export type OptunaSampler = (typeof optunaSamplers)[number];

/** Runs of one of Optuna's samplers on a task, by seed, and the version that made them. */
export async function runOptuna(
  python: string,
  task: Task,
  sampler: OptunaSampler,
  { trials, seeds }: { readonly trials: number; readonly seeds: readonly number[] },
): Promise<{ readonly version: string; readonly runs: readonly Run[] }> {
  const child = spawn(python, [fileURLToPath(new URL('optuna-child.py', import.meta.url))], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const width = decisions(task.space).length;
  const lossesOf = (point: string) => {
    const vector = point.split(',').map(Number);
    if (vector.length !== width) throw new Error(`expected ${width} options, got ${point}`);
    return task.lossesOf(decodeVector(task.space, vector));
  };
  // The child asks for one point at a time: a table may have more points than can be sent.
  const answers = createInterface({ input: child.stdout });
  const problem = { options: optionCounts(task), sampler, population: 20, trials, seeds };
  child.stdin.write(`${JSON.stringify(problem)}\n`);
  const runs: Run[] = [];
  let version = '';
  for await (const line of answers) {
    if (line.startsWith('{')) {
      const run = JSON.parse(line) as { readonly points: readonly string[]; readonly version: string };
      runs.push(run.points.map(lossesOf));
      version = run.version;
    } else child.stdin.write(`${JSON.stringify(lossesOf(line))}\n`);
  }
  const code = await ended;
  if (code !== 0 || runs.length !== seeds.length)
    throw new Error(`Optuna's ${sampler} ended with ${code} after ${runs.length} of ${seeds.length} runs`);
  return { version, runs };
}
