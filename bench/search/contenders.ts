import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { Controller } from '../../search/controller.ts';
import { controllerNames, openController } from '../../search/controllers.ts';
import { type OptimizationJs, optimizationJsMethods, OptimizationJsSearch } from './optimization-js.ts';
import { type OptunaSampler, optunaSamplers, runOptuna } from './optuna.ts';
import { absoluteReward, type Run, runSearch, volumeAfter } from './run.ts';
import { objectives, type Task } from './tables.ts';

/** One method's searches of a task. */
export interface Contender {
  readonly name: string;
  /** Shares of the table's own front after so many trials, one a seed; by the number of trials. */
  readonly volumes: ReadonlyMap<number, readonly number[]>;
  /** Processor time of asking for a trial and telling its result, mean over the last twenty of `trials`, in milliseconds. */
  readonly suggestMs?: number | undefined;
}

/** How long everybody searches, and how often. */
export interface Budget {
  readonly trials: number;
  /** Optuna's NSGA-II goes on so far. */
  readonly longTrials: number;
  readonly seeds: readonly number[];
  /** Numbers of trials after which volumes are looked at, `trials` and `longTrials` among them. */
  readonly marks: readonly number[];
}

/** How many trials at the end of a search are timed. */
const timed = 20;

function contender(
  name: string,
  task: Task,
  { marks, trials }: Budget,
  runs: readonly Run[],
  timesMs: readonly (readonly number[])[],
): Contender {
  const length = Math.min(...runs.map((run) => run.length));
  const last = timesMs.flatMap((times) => times.slice(Math.max(0, trials - timed), trials));
  return {
    name,
    volumes: new Map(
      marks
        .filter((count) => count <= length)
        .map((count) => [count, runs.map((run) => volumeAfter(run, count, task))] as const),
    ),
    suggestMs: last.reduce((sum, ms) => sum + ms, 0) / last.length,
  };
}

/** A controller of ours, one seed after the other. @throws {Error} on a name that is none. */
export function runController(name: string, task: Task, budget: Budget): Contender {
  const known = controllerNames.find((candidate) => candidate === name);
  if (!known) throw new Error(`expected controllers among ${controllerNames.join(', ')}, got ${name}`);
  return runAll(name, task, budget, (seed) =>
    openController(known, { ...pointsOf(task), seed, objectives, trials: budget.trials }),
  );
}

function pointsOf({ space, identity, members }: Task) {
  return { space, identity, ...(members ? { members } : {}) };
}

/** The optimizers of optimization-js, likewise. */
export function runOptimizationJs(source: OptimizationJs, task: Task, budget: Budget): readonly Contender[] {
  return optimizationJsMethods.map((method) =>
    runAll(
      `optimization-js ${method}`,
      task,
      budget,
      (seed) => new OptimizationJsSearch(source, { ...pointsOf(task), seed, method }),
    ),
  );
}

function runAll(name: string, task: Task, budget: Budget, open: (seed: number) => Controller): Contender {
  const timesMs: number[][] = [];
  const runs = budget.seeds.map((seed) => {
    const times: number[] = [];
    timesMs.push(times);
    return runSearch(watched(open(seed), times), task, budget.trials, absoluteReward(task));
  });
  return contender(name, task, budget, runs, timesMs);
}

/** What work gives, and the processor time it took in milliseconds. */
export function spent<T>(work: () => T): readonly [T, number] {
  const before = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(before);
  return [result, (user + system) / 1e3];
}

function watched(controller: Controller, timesMs: number[]): Controller {
  return {
    state: () => controller.state(),
    suggest: (count) => {
      const [suggestions, ms] = spent(() => controller.suggest(count));
      timesMs.push(ms);
      return suggestions;
    },
    observe: (observed) => {
      const [, ms] = spent(() => controller.observe(observed));
      timesMs.push((timesMs.pop() ?? 0) + ms);
    },
  };
}

const nameOf = (sampler: OptunaSampler): string => `Optuna ${sampler}`;

/** Optuna's samplers, run now. */
export async function runOptunaSamplers(
  python: string,
  task: Task,
  budget: Budget,
): Promise<{ readonly version: string; readonly contenders: readonly Contender[] }> {
  const contenders: Contender[] = [];
  let version = '';
  for (const sampler of optunaSamplers) {
    const trials = sampler === 'nsga2' ? budget.longTrials : budget.trials;
    const answer = await runOptuna(python, task, sampler, { trials, seeds: budget.seeds });
    version = answer.version;
    contenders.push(contender(nameOf(sampler), task, budget, answer.runs, answer.timesMs));
  }
  return { version, contenders };
}

const storedSchema = z.looseObject({
  optuna: z.string(),
  tasks: z.record(z.string(), z.record(z.string(), z.record(z.string(), z.array(z.number())))),
});

/** Optuna's samplers as an earlier run of the bench stored them, for they do not depend on ours. */
export function storedOptuna(
  path: string,
  { device }: Task,
): { readonly version: string; readonly contenders: readonly Contender[] } {
  const { optuna, tasks } = storedSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  const contenders = optunaSamplers.flatMap((sampler) => {
    const volumes = tasks[device]?.[nameOf(sampler)];
    if (!volumes) throw new Error(`expected Optuna's ${sampler} on ${device} in ${path}, got none`);
    return {
      name: nameOf(sampler),
      volumes: new Map(Object.entries(volumes).map(([count, values]) => [Number(count), values])),
    };
  });
  return { version: `${optuna}, stored`, contenders };
}
