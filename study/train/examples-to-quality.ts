/** Hold-out cross-entropies, in nats, of trainings of one seed. */
export interface ProbeLosses {
  /** By the schedule. */
  readonly own: number;
  /** Without a schedule, on as many examples. */
  readonly without: number;
  /** Without a schedule, on `share` as many. */
  readonly before: number;
  /** 0–1. */
  readonly share: number;
}

/** The least exponent: below it noise alone would be worth many times the examples. */
const leastExponent = 0.05;
/** No probe tells more than that it wants so many times the examples, or so many times fewer. */
const mostTimes = 4;

/**
 * Times the examples of a probe that a schedule is thought to need to the cross-entropy that training without reaches: what it is better
 * or worse, read off the power law L ∝ examples⁻ᵇ through the two trainings without. b is at least .05, the answer within
 * ¼ and 4. Ours: a schedule's own b, often less, would cost a second training of each.
 */
export function examplesToQuality({ own, without, before, share }: ProbeLosses): number {
  const exponent = Math.max(leastExponent, Math.log(before / without) / Math.log(1 / share));
  return Math.min(mostTimes, Math.max(1 / mostTimes, (own / without) ** (1 / exponent)));
}
