import { resolve } from 'node:path';
import { ConfigError, UnreachableLimitError } from '../core/errors.ts';
import type { Fidelity } from '../core/trial.ts';
import { readSpecFile } from '../models/spec-file.ts';
import type { NetworkSpec } from '../models/spec.ts';
import type { Controller, ObservedTrial } from '../search/controller.ts';
import { evolutionFor, RegularizedEvolution } from '../search/evolution.ts';
import { RandomSearch } from '../search/random.ts';
import { type Reward, rewardOf, rewardSchema } from '../search/reward.ts';
import { loadSpace } from '../search/space-file.ts';
import { decode, type SpaceNode } from '../search/space.ts';
import { builtInSpace } from '../search/spaces.ts';
import { phaseTimeLeft } from './budget.ts';
import type { StudyContext } from './context.ts';
import { admit, type Bounds, evaluateAll } from './evaluate.ts';
import type { Trial } from './record.ts';
import { baseLimitMs, type StudyConfig } from './study-file.ts';

/** The network that is scaled, and how it was chosen. */
export interface Base {
  readonly trial: string;
  readonly spec: NetworkSpec;
}

/** The search space of a study, with the data's channels, classes and native resolution filled in. */
export async function studySpace(
  { search, baseDirectory }: StudyConfig,
  data: StudyContext['data'],
): Promise<SpaceNode> {
  const bound = {
    channels: data.channels,
    classes: data.classNames.length,
    nativeResolution: Math.min(data.height, data.width),
  };
  if (/\.ya?ml$/.test(search.space)) return loadSpace(resolve(baseDirectory, search.space), bound);
  return builtInSpace(search.space, { ...bound, scale: search.scale });
}

/**
 * Finds the base: rounds of candidates, each checked against the hard limits first, then trained; the
 * best by reward are trained again with other seeds, and the best of those is the base.
 * @throws {UnreachableLimitError} when no candidate met the limits, naming the nearest.
 */
export async function findBase(context: StudyContext): Promise<Base> {
  const { config, record } = context;
  if (config.base !== undefined) return givenBase(context, resolve(config.baseDirectory, config.base));
  const space = await studySpace(config, context.data);
  const reward = rewardFor(config);
  const controller = controllerFor(config, space);
  const bounds = baseBounds(config);
  const fidelity = { examples: config.search.examples, seed: config.seed };

  const tried = new Map<string, Trial>();
  for (let round = 0; tried.size < config.search.trials; round++) {
    if (!(await phaseTimeLeft(context, 'search', round))) break;
    const before = tried.size;
    const proposals = controller
      .suggest(Math.min(config.search.round, config.search.trials - tried.size))
      .map((choices) => ({
        phase: 'search' as const,
        choices,
        spec: decode(space, choices),
        fidelity,
        origin: { by: config.search.controller, because: `round ${round + 1} of the search` },
      }));
    const trials = await admit(context, proposals, bounds);
    await evaluateAll(context, trials, false);
    for (const trial of trials) tried.set(trial.id, trial);
    controller.observe(trials.map((trial) => observed(context, trial, reward)));
    const best = bestOf(context, [...tried.values()], reward);
    if (best)
      context.onProgress({
        phase: 'search',
        text: `${tried.size}/${config.search.trials} tried, best ${describe(context, best)}`,
      });
    if (tried.size === before) break; // the space is exhausted
  }
  return chooseBase(context, [...tried.values()], reward, bounds);

  function observed({ record }: StudyContext, trial: Trial, rewardFunction: Reward): ObservedTrial {
    const outcome = record.outcome(trial.id);
    const { id, choices } = trial;
    if (outcome?.status === 'ok')
      return {
        id,
        status: 'ok',
        choices,
        fidelity: trial.fidelity,
        metrics: outcome.metrics,
        reward: rewardOf(rewardFunction, outcome.metrics),
      };
    return {
      id,
      status: outcome?.status === 'infeasible' ? 'infeasible' : 'issued',
      choices,
      fidelity: trial.fidelity,
    };
  }

  async function chooseBase(
    { onProgress }: StudyContext,
    all: readonly Trial[],
    by: Reward,
    limits: readonly Bounds[],
  ): Promise<Base> {
    const ranked = all
      .filter((trial) => record.outcome(trial.id)?.status === 'ok')
      .toSorted((a, b) => rewardOfTrial(context, b, by) - rewardOfTrial(context, a, by));
    if (ranked.length === 0) throw nothingFits(context, all, limits);
    const finalists = ranked.slice(0, config.search.finalists);
    const seeds = Array.from({ length: config.search.seeds - 1 }, (_, index) => config.seed + index + 1);
    onProgress({ phase: 'search', text: `training ${finalists.length} finalists with ${seeds.length} more seeds` });
    const reruns = await admit(
      context,
      finalists.flatMap(({ choices, spec }) =>
        seeds.map((seed) => ({
          phase: 'search' as const,
          choices,
          spec,
          fidelity: { ...fidelity, seed } satisfies Fidelity,
          origin: { by: 'finalists', because: 'among the best by reward: trained again with another seed' },
        })),
      ),
      limits,
    );
    await evaluateAll(context, reruns, false);
    const scored = finalists.map((finalist) => {
      const runs = [finalist, ...reruns.filter((rerun) => rerun.specDigest === finalist.specDigest)].filter(
        (trial) => record.outcome(trial.id)?.status === 'ok',
      );
      return {
        finalist,
        mean: runs.reduce((sum, run) => sum + rewardOfTrial(context, run, by), 0) / runs.length,
        runs: runs.length,
      };
    });
    const best = scored.reduce((a, b) => (b.mean > a.mean ? b : a));
    const because = `highest mean reward (${best.mean.toFixed(4)} over ${best.runs} seeds) of ${finalists.length} finalists from ${all.length} candidates`;
    record.decideAgain('base', { trial: best.finalist.id }, because);
    return { trial: best.finalist.id, spec: best.finalist.spec };
  }
}

/** The user's own base: it must fit the data and the limits, and is trained once so that gains are known against it. */
async function givenBase(context: StudyContext, path: string): Promise<Base> {
  const { config, record, data } = context;
  const given = readSpecFile(path);
  const side = Math.min(data.height, data.width);
  const { channels, resolution } = given.input;
  if (given.classes !== data.classNames.length || channels !== data.channels || resolution > side)
    throw new ConfigError(
      `${path}: expected ${data.classNames.length} classes, ${data.channels} channels and at most ${side} px as in ${data.name}, got ${given.classes}, ${channels} and ${resolution}`,
    );
  const bounds = baseBounds(config);
  const fidelity = { examples: config.search.examples, seed: config.seed };
  const origin = { by: 'user', because: `the base given in ${config.base}` };
  const [trial] = await admit(context, [{ phase: 'search', choices: {}, spec: given, fidelity, origin }], bounds);
  if (!trial) throw new Error('one proposal gives one trial');
  if (record.outcome(trial.id)?.status === 'infeasible') throw nothingFits(context, [trial], bounds);
  await evaluateAll(context, [trial], false);
  record.decideAgain('base', { trial: trial.id }, `given in ${config.base}`);
  return { trial: trial.id, spec: given };
}

/** Hard limits of the base on every target: it must leave room for the largest member. */
export function baseBounds({ targets, family }: StudyConfig): Bounds[] {
  return Object.entries(targets).map(([target, { limit }]) => {
    const ms = baseLimitMs(family[target] ?? [], limit);
    return { target, limit: ms === undefined ? undefined : { percentile: limit?.percentile ?? 50, ms } };
  });
}

/** The study's reward over every target. Without a limit the target latency is 1 ms: the product's order does not depend on it. */
export function rewardFor(config: StudyConfig): Reward {
  const costs = baseBounds(config).map(({ target, limit }) => {
    if (limit === undefined && config.search.reward !== 'product')
      throw new ConfigError(
        `search.reward: ${config.search.reward} needs a latency to aim at: give targets.${target}.limit, or use product`,
      );
    return { metric: `latencyMs.${target}`, target: limit?.ms ?? 1 };
  });
  return rewardSchema.parse({ kind: config.search.reward, costs });
}

function controllerFor({ search, seed }: StudyConfig, space: SpaceNode): Controller {
  return search.controller === 'random'
    ? new RandomSearch({ space, seed })
    : new RegularizedEvolution({ space, seed, ...evolutionFor(search.trials) });
}

function rewardOfTrial({ record }: StudyContext, trial: Trial, reward: Reward): number {
  const outcome = record.outcome(trial.id);
  return outcome?.status === 'ok' ? rewardOf(reward, outcome.metrics) : Number.NEGATIVE_INFINITY;
}

function bestOf(context: StudyContext, trials: readonly Trial[], reward: Reward): Trial | undefined {
  return trials
    .filter((trial) => context.record.outcome(trial.id)?.status === 'ok')
    .reduce<Trial | undefined>(
      (best, trial) =>
        best && rewardOfTrial(context, best, reward) >= rewardOfTrial(context, trial, reward) ? best : trial,
      undefined,
    );
}

function describe({ record, config }: StudyContext, trial: Trial): string {
  const outcome = record.outcome(trial.id);
  if (outcome?.status !== 'ok') return trial.id;
  const latencies = Object.keys(config.targets).map(
    (target) => `${outcome.metrics[`latencyMs.${target}`]?.toFixed(2)} ms on ${target}`,
  );
  return `${trial.id}: ${(100 * (outcome.metrics['accuracy'] ?? 0)).toFixed(1)} %, ${latencies.join(', ')}`;
}

function nothingFits(
  { record }: StudyContext,
  trials: readonly Trial[],
  bounds: readonly Bounds[],
): UnreachableLimitError {
  const nearest = trials
    .flatMap((trial) => {
      const outcome = record.outcome(trial.id);
      return outcome?.status === 'infeasible' && outcome.limit && outcome.observed
        ? [{ trial, outcome, over: outcome.observed / outcome.limit }]
        : [];
    })
    .toSorted((a, b) => a.over - b.over)[0];
  const asked = bounds
    .flatMap(({ target, limit }) =>
      limit ? [`${target}: base p${limit.percentile} ≤ ${limit.ms.toPrecision(3)} ms`] : [],
    )
    .join(', ');
  const found = nearest
    ? `the nearest, ${nearest.trial.id}, has ${nearest.outcome.reason} ${nearest.outcome.observed?.toPrecision(3)} against ${nearest.outcome.limit?.toPrecision(3)} ${nearest.outcome.detail ?? ''}`
    : 'none came near: see trials.csv for the reasons';
  return new UnreachableLimitError(
    `none of ${trials.length} candidates could be used (${asked || 'no latency limit was set'}); ${found}`,
  );
}
