import { quantile } from '../../core/quantile.ts';
import { kendall } from '../../core/rank-association.ts';
import type { Random } from '../../core/random.ts';

/** Kendall's τ-b of paired values, −1 to 1. */
export function tau(a: readonly number[], b: readonly number[]): number {
  return kendall(a.map((x, index) => ({ x, y: b[index] as number })))?.value ?? Number.NaN;
}

/** Best truth there is less the best among the `count` that a proxy puts first. */
export function regret(proxy: readonly number[], truth: readonly number[], count: number): number {
  const order = proxy.map((_, index) => index).toSorted((a, b) => (proxy[b] as number) - (proxy[a] as number));
  return Math.max(...truth) - Math.max(...order.slice(0, count).map((index) => truth[index] as number));
}

/** What is left of values after the straight line through them over others. */
export function residuals(values: readonly number[], over: readonly number[]): readonly number[] {
  const [middle, height] = [mean(over), mean(values)];
  const slope =
    over.reduce((sum, x, index) => sum + (x - middle) * ((values[index] as number) - height), 0) /
    over.reduce((sum, x) => sum + (x - middle) ** 2, 0);
  return values.map((value, index) => value - height - slope * ((over[index] as number) - middle));
}

/** A figure of a set of networks, and where 95 % of it lie when networks are drawn with replacement (2,000 times). */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** @param figure of networks given by their places. */
export function estimate(count: number, figure: (places: readonly number[]) => number, random: Random): Estimate {
  const places = Array.from({ length: count }, (_, index) => index);
  const drawn = Array.from({ length: 2000 }, (_, round) => {
    const stream = random.child('resample', round);
    return figure(places.map(() => stream.integer(count)));
  }).toSorted((a, b) => a - b);
  return { value: figure(places), low: quantile(drawn, 0.025), high: quantile(drawn, 0.975) };
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
