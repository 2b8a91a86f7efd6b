import { z } from 'zod';
import { ConfigError } from '../core/errors.ts';
import type { Metrics } from '../core/trial.ts';

const costOf = { metric: z.string().min(1), target: z.number().positive() };

/**
 * How quality and costs become the one number a controller maximises. `quality` names the metric to
 * raise (Q); each cost c has a target T, both in the metric's own unit. Several costs multiply
 * (`product`, `hard-capped`) or add (`absolute`, `one-sided`).
 */
export const rewardSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('product'),
    quality: z.string().default('accuracy'),
    /** Exponents where c ≤ T and where c > T. Soft: both −.07 (the default); hard: 0 and −1. */
    costs: z.array(
      z.strictObject({ ...costOf, below: z.number().max(0).default(-0.07), above: z.number().max(0).default(-0.07) }),
    ),
  }),
  z.strictObject({
    kind: z.literal('hard-capped'),
    quality: z.string().default('accuracy'),
    costs: z.array(z.strictObject({ ...costOf, weight: z.number().max(0).default(-0.07) })),
  }),
  z.strictObject({
    kind: z.literal('absolute'),
    quality: z.string().default('accuracy'),
    costs: z.array(z.strictObject({ ...costOf, weight: z.number().max(0).default(-0.1) })),
  }),
  z.strictObject({
    kind: z.literal('one-sided'),
    quality: z.string().default('accuracy'),
    costs: z.array(z.strictObject({ ...costOf, weight: z.number().max(0).default(-0.1) })),
  }),
]);
export type Reward = z.infer<typeof rewardSchema>;

/**
 * Factor of MnasNet's product reward, (c ÷ T)^w with w = `below` where c ≤ T, else `above` (Tan et al.
 * 2019, eq. 3).
 */
export function productFactor(cost: number, target: number, below: number, above: number): number {
  return (cost / target) ** (cost <= target ? below : above);
}

/**
 * min((c ÷ T)^weight, 1): as the product above the target, nothing gained below it (TuNAS code; Bender et
 * al. 2020).
 */
export function hardCappedFactor(cost: number, target: number, weight: number): number {
  return Math.min((cost / target) ** weight, 1);
}

/**
 * weight · |c ÷ T − 1|, weight < 0: a network *faster* than its target is penalised too (TuNAS, Bender et
 * al. 2020).
 */
export function absoluteTerm(cost: number, target: number, weight: number): number {
  return weight * Math.abs(cost / target - 1);
}

/**
 * weight · max(0, c ÷ T − 1), weight < 0: being below the target costs and gains nothing (H2O-NAS; US
 * 12,596,909 B2).
 */
export function oneSidedTerm(cost: number, target: number, weight: number): number {
  return weight * Math.max(0, cost / target - 1);
}

/**
 * Reward of measured metrics; higher is better.
 * @throws {ConfigError} when a metric the reward names was not measured.
 */
export function rewardOf(reward: Reward, metrics: Metrics): number {
  const quality = measured(metrics, reward.quality);
  switch (reward.kind) {
    case 'product':
      return reward.costs.reduce(
        (all, { metric, target, below, above }) => all * productFactor(measured(metrics, metric), target, below, above),
        quality,
      );
    case 'hard-capped':
      return reward.costs.reduce(
        (all, { metric, target, weight }) => all * hardCappedFactor(measured(metrics, metric), target, weight),
        quality,
      );
    case 'absolute':
      return reward.costs.reduce(
        (all, { metric, target, weight }) => all + absoluteTerm(measured(metrics, metric), target, weight),
        quality,
      );
    case 'one-sided':
      return reward.costs.reduce(
        (all, { metric, target, weight }) => all + oneSidedTerm(measured(metrics, metric), target, weight),
        quality,
      );
    default:
      return reward satisfies never;
  }
}

function measured(metrics: Metrics, name: string): number {
  const value = metrics[name];
  if (value === undefined || Number.isNaN(value))
    throw new ConfigError(`reward: expected the metric ${name}, got only ${Object.keys(metrics).join(', ') || 'none'}`);
  return value;
}

/**
 * The reward of several costs with each one's weight divided by their number: the mean of the rewards that have one cost
 * each, geometric where costs multiply and arithmetic where they add. Without it latency counts more with every target.
 */
export function meanOverCosts(reward: Reward): Reward {
  const count = Math.max(1, reward.costs.length);
  if (reward.kind === 'product')
    return {
      ...reward,
      costs: reward.costs.map((cost) => ({ ...cost, below: cost.below / count, above: cost.above / count })),
    };
  return { ...reward, costs: reward.costs.map((cost) => ({ ...cost, weight: cost.weight / count })) };
}

/**
 * Rewards on a scale on which differences compare between costs of other units: logarithms where costs multiply, so
 * that a difference is a relative loss and a cost's own target drops out; as they are where costs add.
 */
export function comparableReward({ kind }: Pick<Reward, 'kind'>, value: number): number {
  return kind === 'product' || kind === 'hard-capped' ? Math.log(Math.max(0, value)) : value;
}
