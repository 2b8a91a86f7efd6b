import { ConfigError } from '../../core/errors.ts';
import type { Metrics } from '../../core/trial.ts';
import { byMeanRegret, byWorstRegret, scoreRegrets } from '../../search/regret.ts';
import { comparableReward, meanOverCosts, type Reward, rewardOf, rewardSchema } from '../../search/reward.ts';
import type { Bounds } from '../evaluation/evaluate.ts';
import { baseLimitMs } from '../sizes.ts';
import type { StudyConfig } from '../study-file.ts';

/** Hard limits of the base on every target: it must leave room for the largest member. */
export function baseBounds({ targets, family }: StudyConfig): Bounds[] {
  return Object.entries(targets).map(([target, { limit }]) => {
    const ms = baseLimitMs(family[target] ?? [], limit);
    return { target, limit: ms === undefined ? undefined : { percentile: limit?.percentile ?? 50, ms } };
  });
}

/** A reward for every target alone, in the targets' order. Without a limit the target latency is 1 ms: no order depends on it. */
export function rewardsByTarget(config: StudyConfig): readonly Reward[] {
  const { costs, ...reward } = rewardOverTargets(config);
  return costs.map((cost) => rewardSchema.parse({ ...reward, costs: [cost] }));
}

/** The study's reward over every target as one number, what controllers learn from: the mean of {@link rewardsByTarget}. */
export function rewardFor(config: StudyConfig): Reward {
  return meanOverCosts(rewardOverTargets(config));
}

function rewardOverTargets(config: StudyConfig): Reward {
  const costs = baseBounds(config).map(({ target, limit }) => {
    if (limit === undefined && config.search.reward !== 'product')
      throw new ConfigError(
        `search.reward: ${config.search.reward} needs a latency to aim at: give targets.${target}.limit, or use product`,
      );
    return { metric: `latencyMs.${target}`, target: limit?.ms ?? 1 };
  });
  return rewardSchema.parse({ kind: config.search.reward, costs });
}

/** Networks in the order in which a study would take them as its base. */
export interface RankedBases {
  /** Indices of the networks, the best first. */
  readonly order: readonly number[];
  /** `[network][target]`: how much worse for that target alone than the best of these networks for it; ≥ 0. */
  readonly regrets: readonly (readonly number[])[];
}

/**
 * Ranks networks as bases for all targets: by the smallest worst regret over the targets, or by mean reward. With one
 * target both are the order of its rewards.
 * @param rewards `[network][target]`, each by that target's own reward ({@link rewardsByTarget}).
 */
export function rankBases({ search }: StudyConfig, rewards: readonly (readonly number[])[]): RankedBases {
  const scores = rewards.map((row) => row.map((value) => comparableReward({ kind: search.reward }, value)));
  const regrets = scoreRegrets(scores);
  return { order: search.across === 'least-regret' ? byWorstRegret(scores) : byMeanRegret(scores), regrets };
}

/** What a network is worth to each target alone. @throws {ConfigError} when a metric that counts is missing. */
export function targetRewards(config: StudyConfig, metrics: Metrics): readonly number[] {
  return rewardsByTarget(config).map((reward) => rewardOf(reward, metrics));
}

/**
 * Why a base was taken: with several targets what it costs each against the best candidate for it, relative where costs
 * multiply and in points of accuracy where they add.
 */
export function reasonText(
  { search, targets }: Pick<StudyConfig, 'search' | 'targets'>,
  { rewards, regrets }: { readonly rewards: readonly number[]; readonly regrets: readonly number[] },
  seeds: number,
): string {
  if (rewards.length === 1) return `highest mean reward (${rewards[0]?.toFixed(4)} over ${seeds} seeds)`;
  const isRatio = search.reward === 'product' || search.reward === 'hard-capped';
  const losses = Object.keys(targets).map((target, index) => {
    const regret = regrets[index] ?? 0;
    const lost = 100 * (isRatio ? 1 - Math.exp(-regret) : regret);
    return `${lost.toFixed(1)} ${isRatio ? '%' : 'points'} for ${target}`;
  });
  const rule = search.across === 'least-regret' ? 'least worst regret' : 'highest mean reward';
  return `${rule} over ${seeds} seeds (with the first its reward is below the best candidate's for each target alone by ${losses.join(', ')})`;
}
