import { type Association, groupsOf, kendall, spearman } from '../core/rank-association.ts';
import { quantile } from '../core/quantile.ts';
import type { Random } from '../core/random.ts';

/** A network as a cheap proxy sees it and as it turned out. */
export interface ProxyPair {
  /** The larger, the more the proxy promises. */
  readonly proxy: number;
  /** What is known to be better when larger, such as accuracy. */
  readonly truth: number;
  /** Only networks of one group were ever chosen between. */
  readonly group?: string;
}

/** What choosing by a proxy costs. */
export interface Regret {
  /** Networks that the proxy chooses; the best of them by truth is taken. */
  readonly chosen: number;
  /** Truth of the best network less that of the best chosen, mean over groups; where the proxy ties, expected over the ties. */
  readonly value: number;
  /** The middle 95 % of resamples of the networks (Efron 1979). */
  readonly lo: number;
  readonly hi: number;
  /** Expected when as many are chosen at random. */
  readonly chance: number;
}

/** How far a proxy may be trusted on some networks. */
export interface ProxyQuality {
  readonly networks: number;
  /** Null where nothing can be ordered: all values are the same. */
  readonly kendall: Association | null;
  readonly spearman: Association | null;
  /** For one network and for three, where there are more than so many to choose from. */
  readonly regrets: readonly Regret[];
}

const resamples = 400;
/** Networks that are looked at; time grows with their square. */
const mostNetworks = 300;

/** How well a proxy orders networks and chooses among them. @param random for resampling. */
export function proxyQuality(given: readonly ProxyPair[], random: Random): ProxyQuality {
  const pairs = given.length <= mostNetworks ? given : sampled(given, random.child('sample'));
  const ranked = pairs.map(({ proxy, truth, group }) => ({
    x: proxy,
    y: truth,
    ...(group !== undefined && { group }),
  }));
  return {
    networks: pairs.length,
    kendall: kendall(ranked),
    spearman: spearman(ranked),
    regrets: [1, 3].flatMap((chosen) => regretOf(pairs, chosen, random.child('resample', chosen)) ?? []),
  };
}

function sampled(pairs: readonly ProxyPair[], random: Random): ProxyPair[] {
  const order = random.permutation(pairs.length).slice(0, mostNetworks).sort();
  return Array.from(order, (place) => pairs[place] as ProxyPair);
}

/** @returns nothing where no group has more networks than are chosen. */
function regretOf(pairs: readonly ProxyPair[], chosen: number, random: Random): Regret | undefined {
  const groups = groupsOf(pairs).filter((group) => group.length > chosen);
  if (groups.length === 0) return undefined;
  const mean = (of: (group: readonly ProxyPair[]) => number) =>
    groups.reduce((sum, group) => sum + of(group), 0) / groups.length;
  const resampled = (group: readonly ProxyPair[]) => group.map(() => random.pick(group));
  const draws = Array.from({ length: resamples }, () => mean((group) => lost(resampled(group), chosen)));
  const sorted = Float64Array.from(draws).sort();
  return {
    chosen,
    value: mean((group) => lost(group, chosen)),
    lo: quantile(sorted, 0.025),
    hi: quantile(sorted, 0.975),
    chance: mean((group) => bestOf(group) - expectedBest(truths(group), chosen)),
  };
}

const truths = (pairs: readonly ProxyPair[]): number[] => pairs.map(({ truth }) => truth);
const bestOf = (pairs: readonly ProxyPair[]): number => Math.max(...truths(pairs));

/** Regret of one group: what is above the place where the proxy cuts is chosen, of what is tied there as many as are missing. */
function lost(group: readonly ProxyPair[], chosen: number): number {
  const cut = Float64Array.from(group, ({ proxy }) => proxy)
    .sort()
    .at(-chosen) as number;
  const above = group.filter(({ proxy }) => proxy > cut);
  const tied = group.filter(({ proxy }) => proxy === cut);
  const floor = above.length > 0 ? bestOf(above) : Number.NEGATIVE_INFINITY;
  return bestOf(group) - expectedBest(truths(tied), chosen - above.length, floor);
}

/**
 * Expected largest of `count` values drawn without replacement, and of `floor`. The i-th smallest of n is the largest of the drawn with
 * probability C(i − 1, count − 1) ÷ C(n, count); from the largest on, these follow from one another.
 */
export function expectedBest(values: readonly number[], count: number, floor = Number.NEGATIVE_INFINITY): number {
  const descending = values.toSorted((a, b) => b - a);
  const n = descending.length;
  let expected = 0;
  let probability = count / n;
  for (const [above, value] of descending.entries()) {
    if (probability <= 0) break;
    expected += probability * Math.max(value, floor);
    // From the largest of n − above values to the largest of one fewer.
    probability *= (n - above - count) / (n - above - 1);
  }
  return expected;
}
