/** A trained network that may become a member. */
export interface FamilyCandidate {
  readonly latencyMs: number;
  /** 0 … 1. */
  readonly accuracy: number;
}

/** How many members, and over which latencies. */
export interface FamilyRange {
  readonly members: number;
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * At most `members` candidates, fastest first, each more accurate than the one before: those for which the accuracy that a user
 * gets, averaged over budgets evenly spread in ln latency, is highest. A user of budget x gets the slowest member within x, so this
 * is the area under a staircase, the hypervolume of (ln latency, logit accuracy); exact, by dynamic programming over the front.
 * Both axes end one member's share beyond the candidates, so that the fastest and the slowest count like others.
 * @returns fewer where fewer candidates are undominated; they would add nothing. @see Bringmann, Friedrich & Klitzke (2014) on
 * two-dimensional hypervolume subset selection.
 */
export function selectFamily<Candidate extends FamilyCandidate>(
  candidates: readonly Candidate[],
  { members, fromMs, toMs }: FamilyRange,
): readonly Candidate[] {
  const front = frontOf(candidates);
  const [first, last] = [front[0], front.at(-1)];
  if (!first || !last || members < 1) return [];
  const endX = Math.log(toMs) + Math.log(Math.max(toMs / fromMs, 1.01)) / members;
  const range = logit(last.accuracy) - logit(first.accuracy);
  const floorY = logit(first.accuracy) - Math.max(range, 0.01) / members;
  // best[k][i]: largest area of a staircase of k + 1 steps from front[i] on, and the step after it.
  const step = (i: number, endAt: number): number =>
    (logit(front[i]?.accuracy ?? 0) - floorY) * (endAt - Math.log(front[i]?.latencyMs ?? 1));
  let best = front.map((_, i) => ({ area: step(i, endX), path: [i] as readonly number[] }));
  let all = best;
  for (let count = 2; count <= members; count++) {
    const longer = front.map((_, i) =>
      best.slice(i + 1).reduce(
        (winner, { area, path }) => {
          const whole = step(i, Math.log(front[path[0] as number]?.latencyMs ?? 1)) + area;
          return whole > winner.area ? { area: whole, path: [i, ...path] } : winner;
        },
        { area: Number.NEGATIVE_INFINITY, path: [] as readonly number[] },
      ),
    );
    best = longer;
    all = [...all, ...longer];
  }
  const winner = all.reduce((a, b) => (b.area > a.area ? b : a));
  return winner.path.flatMap((index) => front[index] ?? []);
}

/** Candidates that no other beats or equals in both, fastest first. */
function frontOf<Candidate extends FamilyCandidate>(candidates: readonly Candidate[]): readonly Candidate[] {
  const front: Candidate[] = [];
  for (const candidate of candidates.toSorted((a, b) => a.latencyMs - b.latencyMs || b.accuracy - a.accuracy))
    if (candidate.accuracy > (front.at(-1)?.accuracy ?? Number.NEGATIVE_INFINITY)) front.push(candidate);
  return front;
}

function logit(accuracy: number): number {
  const inside = Math.min(1 - 1e-3, Math.max(1e-3, accuracy));
  return Math.log(inside / (1 - inside));
}
