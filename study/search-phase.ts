import { resolve } from 'node:path';
import { ConfigError, EnvironmentError, UnreachableLimitError } from '../core/errors.ts';
import type { NetworkSpec } from '../models/spec.ts';
import { loadNetwork } from '../scaling/built-in-networks.ts';
import type { Controller, ObservedTrial } from '../search/controller.ts';
import { openController } from '../search/controllers.ts';
import { networkIdentity } from '../search/network-identity.ts';
import { accuracyAndLatencies } from '../search/objectives.ts';
import { type Reward, rewardOf, rewardSchema } from '../search/reward.ts';
import { loadSpace } from '../search/space-file.ts';
import { decode, type SpaceNode } from '../search/space.ts';
import { builtInSpace } from '../search/spaces.ts';
import { isTabularSpace } from '../search/table.ts';
import { phaseTimeLeft } from './budget.ts';
import type { StudyContext } from './context.ts';
import { admit, type Bounds, evaluateAll, knownMetrics } from './evaluate.ts';
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
  const bound = shapeOf(data);
  if (isTabularSpace(search.space)) throw notTrainable(search.space);
  if (/\.ya?ml$/.test(search.space)) return loadSpace(resolve(baseDirectory, search.space), bound);
  return builtInSpace(search.space, { ...bound, scale: search.scale });
}

/** Why a study over a table cannot be run. */
export function notTrainable(space: string): ConfigError {
  return new ConfigError(
    `search.space: ${space} is answered by a table, which has nothing to scale, train or deliver: use ridgepoint replay`,
  );
}

/** What a network's ends must fit. */
function shapeOf({ channels, classNames, height, width }: StudyContext['data']) {
  return { channels, classes: classNames.length, nativeResolution: Math.min(height, width) };
}

/** The network that is scaled: the user's own, or the best that a search finds. */
export function findBase(context: StudyContext): Promise<Base> {
  const { base } = context.config;
  return base === undefined ? searchBase(context) : givenBase(context, base);
}

/**
 * Searches for the base: rounds of candidates, each checked against the hard limits first, then trained;
 * the best by reward are trained again with other seeds, and the best of those is the base.
 * @throws {UnreachableLimitError} when no candidate met the limits, naming the nearest.
 */
async function searchBase(context: StudyContext): Promise<Base> {
  const { config, record } = context;
  const reward = rewardFor(config);
  const bounds = baseBounds(config);
  const tried = await runRounds(context, reward, bounds);
  const ranked = tried
    .filter((trial) => record.outcome(trial.id)?.status === 'ok')
    .toSorted((a, b) => rewardOfTrial(context, b, reward) - rewardOfTrial(context, a, reward));
  if (ranked.length === 0) throw nothingFits(context, tried, bounds);
  const finalists = ranked.slice(0, config.search.finalists);
  const reruns = await rerun(context, finalists, bounds);
  const scored = finalists.map((finalist) => {
    // A seed that diverged has learned nothing; one that failed tells nothing of the network.
    const runs = [finalist, ...reruns.filter((other) => other.specDigest === finalist.specDigest)].filter(
      (trial) => record.outcome(trial.id)?.status !== 'failed',
    );
    const sum = runs.reduce((total, run) => total + rewardOfRun(context, run, reward), 0);
    return { finalist, mean: sum / runs.length, seeds: runs.length };
  });
  const best = scored.reduce((a, b) => (b.mean > a.mean ? b : a));
  const because = `highest mean reward (${best.mean.toFixed(4)} over ${best.seeds} seeds) of ${finalists.length} finalists from ${tried.length} candidates`;
  record.decideAgain('base', { trial: best.finalist.id }, because);
  return { trial: best.finalist.id, spec: best.finalist.spec };
}

/** Rounds of proposals until the trials, the time or the space run out. @returns every candidate tried, once. */
async function runRounds(context: StudyContext, reward: Reward, bounds: readonly Bounds[]): Promise<Trial[]> {
  const { config, data } = context;
  const { trials: wanted, round: roundSize, controller: by, examples } = config.search;
  const space = await studySpace(config, data);
  const controller = controllerFor(config, space);
  const tried = new Map<string, Trial>();
  let label = `0/${wanted} tried`;
  for (
    let round = 0;
    tried.size < wanted && (await phaseTimeLeft(context, 'search', config.budget.split.search, round));
    round++
  ) {
    const before = tried.size;
    const proposals = controller.suggest(Math.min(roundSize, wanted - before)).map((choices) => ({
      phase: 'search' as const,
      choices,
      spec: decode(space, choices),
      fidelity: { examples, seed: config.seed },
      origin: { by, because: `round ${round + 1} of the search` },
    }));
    const trials = await admit(context, proposals, bounds);
    await evaluateAll(context, trials, { label, keepWeights: false });
    for (const trial of trials) tried.set(trial.id, trial);
    label = `${tried.size}/${wanted} tried, ${describeBest(context, [...tried.values()], reward)}`;
    controller.observe(trials.flatMap((trial) => observedTrial(context, trial, reward)));
    context.onProgress({ phase: 'search', text: label });
    if (tried.size === before) break; // Everything proposed was tried before: the space is exhausted.
  }
  return [...tried.values()];
}

/** Finalists again, with the other seeds. */
async function rerun(context: StudyContext, finalists: readonly Trial[], bounds: readonly Bounds[]): Promise<Trial[]> {
  const { seed: first, search } = context.config;
  const seeds = Array.from({ length: search.seeds - 1 }, (_, index) => first + index + 1);
  const reruns = await admit(
    context,
    finalists.flatMap(({ choices, spec }) =>
      seeds.map((seed) => ({
        phase: 'search' as const,
        choices,
        spec,
        fidelity: { examples: search.examples, seed },
        origin: { by: 'finalists', because: 'among the best by reward: trained again with another seed' },
      })),
    ),
    bounds,
  );
  await evaluateAll(context, reruns, { label: `${finalists.length} finalists with other seeds`, keepWeights: false });
  return reruns;
}

/** What the controller may learn from a trial; nothing from one that failed. */
function observedTrial({ record }: StudyContext, trial: Trial, reward: Reward): ObservedTrial[] {
  const outcome = record.outcome(trial.id);
  const { id, choices, fidelity } = trial;
  if (outcome?.status === 'ok')
    return [
      { id, status: 'ok', choices, fidelity, metrics: outcome.metrics, reward: rewardOf(reward, outcome.metrics) },
    ];
  if (outcome?.status !== 'infeasible') return [{ id, status: 'issued', choices, fidelity }];
  const { metrics, limit, observed } = outcome;
  const violation = limit !== undefined && observed !== undefined && limit > 0 ? observed / limit - 1 : undefined;
  return [
    {
      id,
      status: 'infeasible',
      choices,
      fidelity,
      ...(metrics === undefined ? {} : { metrics }),
      ...(violation === undefined ? {} : { violation }),
    },
  ];
}

/**
 * The user's own base, a file or a built-in network: it must fit the data and the limits, and is trained once so that
 * gains are known against it.
 */
async function givenBase(context: StudyContext, source: string): Promise<Base> {
  const { config, record, data } = context;
  const { classes, channels, nativeResolution } = shapeOf(data);
  const given = loadNetwork(source, {
    baseDirectory: config.baseDirectory,
    data: { classes, channels, nativeResolution },
  });
  const { input } = given;
  if (given.classes !== classes || input.channels !== channels || input.resolution > nativeResolution)
    throw new ConfigError(
      `${source}: expected ${classes} classes, ${channels} channels and at most ${nativeResolution} px as in ${data.name}, got ${given.classes}, ${input.channels} and ${input.resolution}`,
    );
  const bounds = baseBounds(config);
  const fidelity = { examples: config.search.examples, seed: config.seed };
  const origin = { by: 'user', because: `the base given in ${source}` };
  const [trial] = await admit(context, [{ phase: 'search', choices: {}, spec: given, fidelity, origin }], bounds);
  if (!trial) throw new Error('one proposal gives one trial');
  await evaluateAll(context, [trial], { label: 'the given base', keepWeights: false });
  const outcome = record.outcome(trial.id);
  if (outcome?.status === 'failed') throw new EnvironmentError(`${source}: training it failed: ${outcome.detail}`);
  if (outcome?.status === 'infeasible' && outcome.reason === 'diverged')
    throw new ConfigError(
      `${source}: its training diverged ${outcome.detail ?? ''}; expected a lower trainer.learningRate`,
    );
  if (outcome?.status === 'infeasible') throw nothingFits(context, [trial], bounds);
  record.decideAgain('base', { trial: trial.id }, `given in ${source}`);
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

function controllerFor({ search, seed, targets }: StudyConfig, space: SpaceNode): Controller {
  return openController(search.controller, {
    space,
    seed,
    identity: networkIdentity(space),
    objectives: accuracyAndLatencies(Object.keys(targets)),
    trials: search.trials,
  });
}

function rewardOfTrial({ record }: StudyContext, trial: Trial, reward: Reward): number {
  const outcome = record.outcome(trial.id);
  return outcome?.status === 'ok' ? rewardOf(reward, outcome.metrics) : Number.NEGATIVE_INFINITY;
}

/** As {@link rewardOfTrial}, with an accuracy of 0 for a run that diverged. */
function rewardOfRun(context: StudyContext, run: Trial, reward: Reward): number {
  const { record } = context;
  if (record.outcome(run.id)?.status === 'ok') return rewardOfTrial(context, run, reward);
  return rewardOf(reward, { ...knownMetrics(context, run), [reward.quality]: 0 });
}

function describeBest(context: StudyContext, trials: readonly Trial[], reward: Reward): string {
  const best = trials.reduce((a, b) => (rewardOfTrial(context, b, reward) > rewardOfTrial(context, a, reward) ? b : a));
  const outcome = context.record.outcome(best.id);
  if (outcome?.status !== 'ok') return 'none fits yet';
  const latencies = Object.keys(context.config.targets).map(
    (target) => `${outcome.metrics[`latencyMs.${target}`]?.toPrecision(3)} ms on ${target}`,
  );
  return `best ${best.id}: ${(100 * (outcome.metrics['accuracy'] ?? 0)).toFixed(1)} %, ${latencies.join(', ')}`;
}

function nothingFits(
  { record }: StudyContext,
  trials: readonly Trial[],
  bounds: readonly Bounds[],
): EnvironmentError | UnreachableLimitError {
  const nearest = trials
    .flatMap((trial) => {
      const outcome = record.outcome(trial.id);
      return outcome?.status === 'infeasible' && outcome.limit && outcome.observed
        ? [{ trial, outcome, over: outcome.observed / outcome.limit }]
        : [];
    })
    .toSorted((a, b) => a.over - b.over)[0];
  const reasons = trials.flatMap((trial) => {
    const outcome = record.outcome(trial.id);
    if (outcome?.status === 'failed') return [`${outcome.code}: ${outcome.detail}`];
    return outcome?.status === 'infeasible' ? [[outcome.reason, outcome.detail].filter(Boolean).join(' ')] : [];
  });
  if (!nearest)
    return new EnvironmentError(`none of ${trials.length} candidates could be used; the last: ${reasons.at(-1)}`);
  const asked = bounds
    .flatMap(({ target, limit }) =>
      limit ? [`${target}: base p${limit.percentile} ≤ ${limit.ms.toPrecision(3)} ms`] : [],
    )
    .join(', ');
  const found = `the nearest, ${nearest.trial.id}, has ${nearest.outcome.reason} ${nearest.outcome.observed?.toPrecision(3)} against ${nearest.outcome.limit?.toPrecision(3)} ${nearest.outcome.detail ?? ''}`;
  return new UnreachableLimitError(
    `none of ${trials.length} candidates could be used (${asked || 'no latency limit was set'}); ${found}`,
  );
}
