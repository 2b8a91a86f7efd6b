import { resolve } from 'node:path';
import { ConfigError, EnvironmentError, UnreachableLimitError } from '../../core/errors.ts';
import type { Metrics } from '../../core/trial.ts';
import type { DatasetOutline } from '../../data/dataset.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { loadNetwork } from '../../scaling/built-in-networks.ts';
import type { Controller } from '../../search/controller.ts';
import { openController } from '../../search/controllers.ts';
import { networkIdentity } from '../../search/network-identity.ts';
import { accuracyAndLatencies } from '../../search/objectives.ts';
import { type Reward, rewardOf } from '../../search/reward.ts';
import { loadSpace } from '../../search/space-file.ts';
import type { SpaceNode } from '../../search/space.ts';
import { builtInSpace } from '../../search/spaces.ts';
import type { EarlierStudy } from '../../search/earlier-study.ts';
import { isTabularSpace } from '../../search/table.ts';
import { baseBounds, rankBases, reasonText, rewardFor, rewardsByTarget, targetRewards } from './base-choice.ts';
import type { StudyContext } from '../context.ts';
import { seedTimeLeft } from '../budget.ts';
import { admit, type Bounds, evaluateAll, knownMetrics } from '../evaluation/evaluate.ts';
import { growthRefusal } from '../evaluation/training-schedule.ts';
import type { Trial } from '../journal/record.ts';
import { searchNetworks } from './search-loop.ts';
import { type StudyConfig, topExamples } from '../study-file.ts';
import { earlierStudies } from './warm-start.ts';

/** The network that is scaled, and how it was chosen. */
export interface Base {
  readonly trial: string;
  readonly spec: NetworkSpec;
}

/** The search space of a study, with the data's channels, classes and native resolution filled in. */
export async function studySpace({ search, baseDirectory }: StudyConfig, data: DatasetOutline): Promise<SpaceNode> {
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
function shapeOf({ channels, classNames, height, width }: DatasetOutline) {
  return { channels, classes: classNames.length, nativeResolution: Math.min(height, width) };
}

/** The network that is scaled: the user's own, or the best that a search finds. */
export function findBase(context: StudyContext): Promise<Base> {
  const { base } = context.config;
  return base === undefined ? searchBase(context) : givenBase(context, base);
}

/**
 * Searches for the base: candidates, each checked against the hard limits first, then trained, over the rungs of the study; the best
 * at the highest are trained again with other seeds, and the best of those is the base: by reward, or the least bad for all targets.
 * @throws {UnreachableLimitError} when no candidate met the limits, naming the nearest.
 */
async function searchBase(context: StudyContext): Promise<Base> {
  const { config, record } = context;
  const reward = rewardFor(config);
  const bounds = baseBounds(config);
  const space = await studySpace(config, context.data);
  const { tried, top: trained } = await searchNetworks(context, {
    space,
    controller: controllerFor(config, space, await earlierStudies(context, space)),
    reward,
    bounds,
    describeBest: (trial) => describeBest(context, trial),
  });
  if (trained.length === 0) throw nothingFits(context, tried, bounds);
  const ranking = rankBases(
    config,
    trained.map((id) => targetRewards(config, metricsOf(context, id))),
  );
  const finalists = ranking.order
    .slice(0, config.search.finalists)
    .flatMap((index) => record.trial(trained[index] ?? '') ?? []);
  const reruns = await rerun(context, finalists, bounds);
  const runsOf = (finalist: Trial): readonly Trial[] =>
    // A seed that diverged has learned nothing; one that failed tells nothing of the network.
    [finalist, ...reruns.filter((other) => other.specDigest === finalist.specDigest)].filter(
      (trial) => record.outcome(trial.id)?.status !== 'failed',
    );
  const means = finalists.map((finalist) => meanRewards(context, runsOf(finalist)));
  const [first = 0] = rankBases(config, means).order;
  const best = finalists[first];
  if (!best) throw new Error('what was trained has finalists');
  const judged = { rewards: means[first] ?? [], regrets: ranking.regrets[trained.indexOf(best.id)] ?? [] };
  const why = reasonText(config, judged, runsOf(best).length);
  const because = `${why} of ${finalists.length} finalists from ${tried.length} candidates`;
  record.decideAgain('base', { trial: best.id }, because);
  return { trial: best.id, spec: best.spec };
}

/** Mean reward of a network's runs, for each target alone. */
function meanRewards(context: StudyContext, runs: readonly Trial[]): readonly number[] {
  return rewardsByTarget(context.config).map(
    (reward) => runs.reduce((total, run) => total + rewardOfRun(context, run, reward), 0) / runs.length,
  );
}

/** Finalists again, with the other seeds, while there is time for them. */
async function rerun(context: StudyContext, finalists: readonly Trial[], bounds: readonly Bounds[]): Promise<Trial[]> {
  const { seed: first, search, budget } = context.config;
  const { split } = budget;
  const seeds = Array.from({ length: search.seeds - 1 }, (_, index) => first + index + 1);
  if (seeds.length === 0 || !(await seedTimeLeft(context, 'search', split.search, split.scale))) return [];
  const reruns = await admit(
    context,
    finalists.flatMap(({ choices, spec, fidelity }) =>
      seeds.map((seed) => ({
        phase: 'search' as const,
        choices,
        spec,
        fidelity: { ...fidelity, seed },
        origin: { by: 'finalists', because: 'among the best by reward: trained again with another seed' },
      })),
    ),
    bounds,
  );
  await evaluateAll(context, reruns, { label: `${finalists.length} finalists with other seeds`, keepWeights: false });
  return reruns;
}

/** The user's own base, a file or a built-in network. @throws {ConfigError} when it does not fit the data, or the final trainings. */
export function givenNetwork(config: StudyConfig, source: string, data: DatasetOutline): NetworkSpec {
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
  const refusal = growthRefusal(config, given);
  if (refusal !== undefined) throw new ConfigError(`${source}: ${refusal}`);
  return given;
}

/** The {@link givenNetwork}: it must fit the limits, and is trained once so that gains are known against it. */
async function givenBase(context: StudyContext, source: string): Promise<Base> {
  const { config, record, data } = context;
  const given = givenNetwork(config, source, data);
  const bounds = baseBounds(config);
  const fidelity = { examples: topExamples(config.search), seed: config.seed };
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
  if (outcome?.status === 'infeasible') throw nothingFits(context, [trial.id], bounds);
  record.decideAgain('base', { trial: trial.id }, `given in ${source}`);
  return { trial: trial.id, spec: given };
}

function controllerFor(
  { search, seed, targets }: StudyConfig,
  space: SpaceNode,
  earlier: readonly EarlierStudy[],
): Controller {
  return openController(search.controller, {
    space,
    seed,
    identity: networkIdentity(space),
    objectives: accuracyAndLatencies(Object.keys(targets)),
    trials: search.trials,
    earlier,
  });
}

function rewardOfTrial({ record }: StudyContext, trial: Trial, reward: Reward): number {
  const outcome = record.outcome(trial.id);
  return outcome?.status === 'ok' ? rewardOf(reward, outcome.metrics) : Number.NEGATIVE_INFINITY;
}

function metricsOf({ record }: StudyContext, trial: string): Metrics {
  const outcome = record.outcome(trial);
  return outcome?.status === 'ok' ? outcome.metrics : {};
}

/** As {@link rewardOfTrial}, with an accuracy of 0 for a run that diverged. */
function rewardOfRun(context: StudyContext, run: Trial, reward: Reward): number {
  const { record } = context;
  if (record.outcome(run.id)?.status === 'ok') return rewardOfTrial(context, run, reward);
  return rewardOf(reward, { ...knownMetrics(context, run), [reward.quality]: 0 });
}

function describeBest(context: StudyContext, trial: string | undefined): string {
  const outcome = trial === undefined ? undefined : context.record.outcome(trial);
  if (outcome?.status !== 'ok') return 'none fits yet';
  const latencies = Object.keys(context.config.targets).map(
    (target) => `${outcome.metrics[`latencyMs.${target}`]?.toPrecision(3)} ms on ${target}`,
  );
  return `best ${trial}: ${(100 * (outcome.metrics['accuracy'] ?? 0)).toFixed(1)} %, ${latencies.join(', ')}`;
}

function nothingFits(
  { record }: StudyContext,
  trials: readonly string[],
  bounds: readonly Bounds[],
): EnvironmentError | UnreachableLimitError {
  const nearest = trials
    .flatMap((trial) => {
      const outcome = record.outcome(trial);
      return outcome?.status === 'infeasible' && outcome.limit && outcome.observed
        ? [{ trial, outcome, over: outcome.observed / outcome.limit }]
        : [];
    })
    .toSorted((a, b) => a.over - b.over)[0];
  const reasons = trials.flatMap((trial) => {
    const outcome = record.outcome(trial);
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
  const found = `the nearest, ${nearest.trial}, has ${nearest.outcome.reason} ${nearest.outcome.observed?.toPrecision(3)} against ${nearest.outcome.limit?.toPrecision(3)} ${nearest.outcome.detail ?? ''}`;
  return new UnreachableLimitError(
    `none of ${trials.length} candidates could be used (${asked || 'no latency limit was set'}); ${found}`,
  );
}
