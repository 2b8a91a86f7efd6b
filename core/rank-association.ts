import { dot } from './linear-algebra.ts';
import { centredRanks } from './rank-correlation.ts';

/** Two values of one thing; only things of one group are compared with one another. */
export interface RankedPair {
  readonly x: number;
  readonly y: number;
  readonly group?: string;
}

/** How alike two orders are, −1 to 1. */
export interface Association {
  readonly value: number;
  /** 95 %; see {@link kendall}. Null for fewer than five things. */
  readonly interval: { readonly lo: number; readonly hi: number } | null;
}

/** Fewest things (groups counted as one less each) that an interval can be given for. */
export const fewestRanked = 5;

/**
 * Kendall's τ-b within groups: (concordant − discordant) ÷ √((all − tied in x) (all − tied in y)) over pairs of one group, with
 * a 95 % interval on Fisher's scale, artanh τ ± 1.96 s. s² is the larger of .437 ÷ (n − 4), what Fieller, Hartley & Pearson (1957) found for
 * normal variables, and the jackknife's, which sees ties and other distributions; a τ of ±1 counts as one discordant half a pair short of it, so that
 * few things in perfect order do not look certain. Ours, by simulation: of normal variables with correlations 0 to .95, without ties, rounded to whole
 * deviations, or cut to three values, 92 to 100 % of intervals hold the true τ from n = 5 on; Fieller's alone falls to 87 %, a bootstrap's percentiles to 58 %.
 * @param pairs at most some thousands: time grows with their square.
 * @returns null where every x or every y of a group is the same.
 */
export function kendall(pairs: readonly RankedPair[]): Association | null {
  const counts = pairs.map((one) => countsOf(one, pairs));
  const total = counts.reduce(plus, none);
  const value = tauOf(total);
  if (value === undefined) return null;
  const leftOut = counts.map((own) => {
    // Each pair is counted from both its ends.
    const { concordant, discordant, tiedX, tiedY } = own;
    const rest = {
      concordant: total.concordant - 2 * concordant,
      discordant: total.discordant - 2 * discordant,
      tiedX: total.tiedX - 2 * tiedX,
      tiedY: total.tiedY - 2 * tiedY,
    };
    return fisher(tauOf(rest) ?? 0, (rest.concordant + rest.discordant) / 2);
  });
  const centre = fisher(value, (total.concordant + total.discordant) / 2);
  return { value, interval: intervalOf(pairs, { value, centre, leftOut, numerator: 0.437, lost: 4 }) };
}

/**
 * Spearman's ρ, of ranks within groups, with an interval as {@link kendall}'s, s² at least 1.06 ÷ (n − 3) (Fieller et al.).
 * @returns null where every x or every y of a group is the same.
 */
export function spearman(pairs: readonly RankedPair[]): Association | null {
  const value = rhoOf(pairs);
  if (value === undefined) return null;
  const scaled = (rho: number) => fisher(rho, comparisons(pairs));
  const leftOut = pairs.map((_, index) => scaled(rhoOf(pairs.toSpliced(index, 1)) ?? 0));
  return { value, interval: intervalOf(pairs, { value, centre: scaled(value), leftOut, numerator: 1.06, lost: 3 }) };
}

interface Counts {
  readonly concordant: number;
  readonly discordant: number;
  /** Tied in x alone, in y alone. */
  readonly tiedX: number;
  readonly tiedY: number;
}
const none: Counts = { concordant: 0, discordant: 0, tiedX: 0, tiedY: 0 };

function plus(a: Counts, b: Counts): Counts {
  return {
    concordant: a.concordant + b.concordant,
    discordant: a.discordant + b.discordant,
    tiedX: a.tiedX + b.tiedX,
    tiedY: a.tiedY + b.tiedY,
  };
}

/** How one compares with every other of its group. */
function countsOf(one: RankedPair, pairs: readonly RankedPair[]): Counts {
  let [concordant, discordant, tiedX, tiedY] = [0, 0, 0, 0];
  for (const other of pairs) {
    if (other === one || other.group !== one.group) continue;
    const [dx, dy] = [Math.sign(one.x - other.x), Math.sign(one.y - other.y)];
    if (dx * dy > 0) concordant++;
    else if (dx * dy < 0) discordant++;
    else if (dx === 0 && dy !== 0) tiedX++;
    else if (dy === 0 && dx !== 0) tiedY++;
  }
  return { concordant, discordant, tiedX, tiedY };
}

function tauOf({ concordant, discordant, tiedX, tiedY }: Counts): number | undefined {
  const untied = concordant + discordant;
  const size = Math.sqrt((untied + tiedX) * (untied + tiedY));
  return size > 0 ? (concordant - discordant) / size : undefined;
}

function rhoOf(pairs: readonly RankedPair[]): number | undefined {
  const groups = groupsOf(pairs);
  const ranks = (valueOf: (pair: RankedPair) => number) => groups.flatMap((group) => centredRanks(group.map(valueOf)));
  const [x, y] = [ranks((pair) => pair.x), ranks((pair) => pair.y)];
  const size = Math.sqrt(dot(x, x) * dot(y, y));
  return size > 0 ? dot(x, y) / size : undefined;
}

/** Pairs by their group. */
export function groupsOf<Pair extends { readonly group?: string | undefined }>(
  pairs: readonly Pair[],
): readonly (readonly Pair[])[] {
  const groups = new Map<string | undefined, Pair[]>();
  for (const pair of pairs) {
    const group = groups.get(pair.group);
    if (group) group.push(pair);
    else groups.set(pair.group, [pair]);
  }
  return [...groups.values()];
}

/** Pairs of things that are compared. */
function comparisons(pairs: readonly RankedPair[]): number {
  return groupsOf(pairs).reduce((sum, { length }) => sum + (length * (length - 1)) / 2, 0);
}

/** artanh of a coefficient from so many comparisons, kept finite. */
function fisher(coefficient: number, compared: number): number {
  const most = 1 - 1 / Math.max(compared, 2);
  return Math.atanh(Math.max(-most, Math.min(most, coefficient)));
}

interface OnFishersScale {
  readonly value: number;
  /** Of the value, kept finite. */
  readonly centre: number;
  /** With each thing left out. */
  readonly leftOut: readonly number[];
  /** s² of normal variables is numerator ÷ (n − lost). */
  readonly numerator: number;
  readonly lost: number;
}

function intervalOf(
  pairs: readonly RankedPair[],
  { value, centre, leftOut, numerator, lost }: OnFishersScale,
): Association['interval'] {
  const things = pairs.length - groupsOf(pairs).length + 1;
  if (things < fewestRanked) return null;
  const mean = leftOut.reduce((sum, value) => sum + value, 0) / pairs.length;
  const spread = leftOut.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = Math.sqrt(Math.max(numerator / (things - lost), (spread * (pairs.length - 1)) / pairs.length));
  const [lo, hi] = [Math.tanh(centre - 1.96 * deviation), Math.tanh(centre + 1.96 * deviation)];
  // A value of ±1 is kept finite, and belongs to its interval all the same.
  return { lo: Math.min(lo, value), hi: Math.max(hi, value) };
}
