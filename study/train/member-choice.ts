/** Hold-out accuracies of one finalist, one a seed, 0 for one that diverged. */
export type SeedAccuracies = ReadonlyMap<number, number>;

/** Arithmetic mean over seeds; NaN without any. */
export function meanOf(accuracies: SeedAccuracies): number {
  const values = [...accuracies.values()];
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * What choosing the best mean gives on average, free of the luck that the best mean itself is flattered by: for every seed the
 * finalist that the *other* seeds choose is asked for that seed's accuracy, and these are averaged (leave-one-out
 * cross-fitting; after Stone 1974). It stands for a choice by one seed fewer, so it errs low, never high on average.
 * @returns null where nothing tells: several finalists and fewer than two seeds that all of them have.
 */
export function freshAccuracy(finalists: readonly SeedAccuracies[]): number | null {
  const [first] = finalists;
  if (!first) return null;
  if (finalists.length === 1) return meanOf(first);
  const seeds = [...first.keys()].filter((seed) => finalists.every((each) => each.has(seed)));
  if (seeds.length < 2) return null;
  const asked = seeds.map((seed) => {
    const meanOfOthers = (each: SeedAccuracies) =>
      seeds.reduce((sum, other) => sum + (other === seed ? 0 : (each.get(other) ?? 0)), 0);
    return finalists.reduce((a, b) => (meanOfOthers(b) > meanOfOthers(a) ? b : a)).get(seed) ?? 0;
  });
  return asked.reduce((sum, value) => sum + value, 0) / asked.length;
}

/**
 * Standard deviation of one training's hold-out accuracy between seeds, pooled over networks; where seeds are too few to tell
 * (under three degrees of freedom), that of a share counted on so many examples.
 */
export function seedDeviation(networks: readonly SeedAccuracies[], holdoutExamples: number): number {
  const degrees = networks.reduce((sum, { size }) => sum + Math.max(0, size - 1), 0);
  const deviations = networks.flatMap((each) => [...each.values()].map((value) => (value - meanOf(each)) ** 2));
  if (degrees >= 3) return Math.sqrt(deviations.reduce((sum, value) => sum + value, 0) / degrees);
  const share = networks.reduce((sum, each) => sum + meanOf(each), 0) / Math.max(1, networks.length);
  return Math.sqrt((share * (1 - share)) / holdoutExamples);
}

/**
 * For each member of a family, smallest first, which member's network it should hold: its own, or that of the best smaller one
 * where it is less accurate by more than a standard error of the difference. Handing out the smaller network then costs no
 * accuracy that shows and gains latency; of two equally good ones a larger is so replaced in about 16 % of cases.
 */
export function monotoneHolders(members: readonly SeedAccuracies[], deviation: number): readonly number[] {
  const holders: number[] = [];
  let best: number | undefined;
  for (const [index, own] of members.entries()) {
    const smaller = best === undefined ? undefined : members[best];
    const error = smaller ? deviation * Math.sqrt(1 / own.size + 1 / smaller.size) : 0;
    if (best !== undefined && smaller && meanOf(own) < meanOf(smaller) - error) holders.push(best);
    else holders.push(index);
    if (!smaller || meanOf(own) > meanOf(smaller)) best = index;
  }
  return holders;
}
