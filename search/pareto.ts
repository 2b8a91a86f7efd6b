/** Whether more or less of an objective is better. */
export type Direction = 'max' | 'min';

/** Losses: every objective turned so that less is better. Points are `[objective]`, as long as `directions`. */
function toLosses(point: readonly number[], directions: readonly Direction[]): readonly number[] {
  if (point.length !== directions.length || point.some(Number.isNaN))
    throw new RangeError(`expected ${directions.length} objectives, none NaN, got [${point.join(', ')}]`);
  return point.map((value, index) => (directions[index] === 'max' ? -value : value));
}

function lossDominates(a: readonly number[], b: readonly number[]): boolean {
  let isBetter = false;
  // By index: NSGA-II compares every pair of its trials.
  for (let index = 0; index < a.length; index++) {
    const value = a[index] as number;
    const other = b[index] ?? Infinity;
    if (value > other) return false;
    if (value < other) isBetter = true;
  }
  return isBetter;
}

/**
 * Pareto dominance: `a` is nowhere worse than `b` and somewhere better.
 * @throws {RangeError} on NaN or a length other than that of `directions`.
 */
export function dominates(a: readonly number[], b: readonly number[], directions: readonly Direction[]): boolean {
  return lossDominates(toLosses(a, directions), toLosses(b, directions));
}

/**
 * Indices, ascending, of the points `[count][objective]` that no other dominates; equal points all stay. A point is compared
 * with the front of those that come before it in order of the objectives, for no other can dominate it: O(count · front).
 * @throws {RangeError} as {@link dominates}.
 */
export function nonDominated(
  points: readonly (readonly number[])[],
  directions: readonly Direction[],
): readonly number[] {
  const losses = points.map((point) => toLosses(point, directions));
  const order = [...losses.keys()].sort((a, b) => lexicographic(losses[a] ?? [], losses[b] ?? []));
  const front: number[] = [];
  for (const index of order) {
    const loss = losses[index] ?? [];
    if (!front.some((other) => lossDominates(losses[other] ?? [], loss))) front.push(index);
  }
  return front.sort((a, b) => a - b);
}

function lexicographic(a: readonly number[], b: readonly number[]): number {
  for (const [index, value] of a.entries()) {
    const other = b[index] ?? 0;
    if (value !== other) return value < other ? -1 : 1;
  }
  return 0;
}

/** The items no other item dominates, in their order; `objectives` gives the values of one. */
export function paretoSet<T>(
  items: readonly T[],
  objectives: (item: T) => readonly number[],
  directions: readonly Direction[],
): readonly T[] {
  const kept = new Set(nonDominated(items.map(objectives), directions));
  return items.filter((_, index) => kept.has(index));
}

/**
 * Fronts of points of losses, `[count][objective]`, less being better: 0 for those that no other dominates, 1 for those
 * that only front 0 dominates, and so on. Deb, Pratap, Agarwal & Meyarivan (2002), §III.A; O(objectives · count²).
 */
export function dominanceRanks(losses: readonly (readonly number[])[]): readonly number[] {
  return ranksBy(losses, lossDominates);
}

/** As {@link dominanceRanks}, by any relation without cycles; it need not be transitive. */
export function ranksBy<T>(items: readonly T[], beats: (a: T, b: T) => boolean): readonly number[] {
  const beaten: number[][] = items.map(() => []);
  const beatenBy = items.map(() => 0);
  for (const [i, a] of items.entries())
    for (let j = 0; j < i; j++) {
      const b = items[j] as T;
      const [winner, loser] = beats(a, b) ? [i, j] : beats(b, a) ? [j, i] : [-1, -1];
      if (winner < 0) continue;
      beaten[winner]?.push(loser);
      beatenBy[loser] = (beatenBy[loser] ?? 0) + 1;
    }
  const ranks = items.map(() => 0);
  let front = beatenBy.flatMap((count, index) => (count === 0 ? index : []));
  for (let rank = 0; front.length > 0; rank++) {
    const next: number[] = [];
    for (const index of front) {
      ranks[index] = rank;
      for (const loser of beaten[index] ?? []) {
        beatenBy[loser] = (beatenBy[loser] ?? 0) - 1;
        if (beatenBy[loser] === 0) next.push(loser);
      }
    }
    front = next;
  }
  return ranks;
}

/**
 * Crowding distance of points of one front, `[count][objective]`: the sum over objectives of the distance between a
 * point's neighbours, in units of the front's range; infinite at the ends. Deb et al. (2002), §III.B.
 */
export function crowdingDistances(losses: readonly (readonly number[])[]): readonly number[] {
  const distances = losses.map(() => 0);
  for (const objective of losses[0]?.keys() ?? []) {
    const at = (index: number | undefined): number => losses[index ?? -1]?.[objective] ?? 0;
    const order = [...losses.keys()].sort((a, b) => at(a) - at(b));
    const range = at(order.at(-1)) - at(order[0]);
    for (const [place, index] of order.entries()) {
      const isEnd = place === 0 || place === order.length - 1;
      const gap = range > 0 ? (at(order[place + 1]) - at(order[place - 1])) / range : 0;
      distances[index] = (distances[index] ?? 0) + (isEnd ? Infinity : gap);
    }
  }
  return distances;
}

/**
 * Hypervolume: volume of objective space dominated by the points `[count][objective]` and bounded by
 * `reference` `[objective]`, in the product of the objectives' units. Points not strictly better than the
 * reference in every objective add nothing. The reference is the caller's, never taken from the points: volumes
 * of two runs compare only under one reference. Exact, by slicing the last objective; meant for up to about 4
 * objectives and hundreds of points.
 * @throws {RangeError} as {@link dominates}.
 */
export function hypervolume(
  points: readonly (readonly number[])[],
  directions: readonly Direction[],
  reference: readonly number[],
): number {
  const bound = toLosses(reference, directions);
  const gains = points
    .map((point) => toLosses(point, directions).map((loss, index) => (bound[index] ?? -Infinity) - loss))
    .filter((gain) => gain.every((value) => value > 0));
  return dominatedVolume(gains, directions.length);
}

/** Volume of the union of boxes from the origin to each point, over the first `dimensions` coordinates. */
function dominatedVolume(points: readonly (readonly number[])[], dimensions: number): number {
  if (points.length === 0) return 0;
  const last = dimensions - 1;
  const at = (point: readonly number[] | undefined): number => point?.[last] ?? 0;
  if (dimensions <= 1) return Math.max(...points.map(at));
  const highestFirst = points.toSorted((a, b) => at(b) - at(a));
  let volume = 0;
  for (const index of highestFirst.keys()) {
    const thickness = at(highestFirst[index]) - at(highestFirst[index + 1]);
    if (thickness > 0) volume += thickness * dominatedVolume(highestFirst.slice(0, index + 1), last);
  }
  return volume;
}
