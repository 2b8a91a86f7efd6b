import { Random } from '../core/random.ts';
import type { NetworkSpec } from '../models/spec.ts';
import { acquisition, alignment, directions, distance, minScored } from './acquisition.ts';
import { realisedKey, type ScaledNetwork } from './apply.ts';
import {
  enumerate,
  type GridPoint,
  type Knowledge,
  learn,
  type ScalingConstraints,
  type ScalingObservation,
} from './candidates.ts';
import { identity, type Multipliers } from './multipliers.ts';
import type { AccuracyObservation } from './surrogate.ts';

/** One member of the family to be found. */
export interface TargetSize {
  readonly name: string;
  /** Latency no member may exceed, in milliseconds. */
  readonly targetMs: number;
}

/** What to propose from. */
export interface ScalingProblem {
  readonly base: NetworkSpec;
  readonly sizes: readonly TargetSize[];
  /** At least one with a latency; see latency-design.ts. */
  readonly observations: readonly ScalingObservation[];
  /** Trainings at other fidelities and of other networks. */
  readonly evidence?: readonly AccuracyObservation[];
  readonly constraints: ScalingConstraints;
  /** Proposals wanted per size. */
  readonly count: number;
  /** Breaks ties. */
  readonly seed: number;
}

/** A network worth measuring, and if it keeps its target, training. */
export interface ScalingProposal extends ScaledNetwork {
  /** Before rounding. */
  readonly multipliers: Multipliers;
  /** Predicted, or measured where this network was. */
  readonly latencyMs: number;
  /** Relative scale of the prediction's error; 0 when measured. */
  readonly latencyLogSd: number;
  /** Expected accuracy; null before any was observed. */
  readonly accuracy: { readonly mean: number; readonly sd: number } | null;
  /** Why it was chosen, for reports. */
  readonly reason: 'spread' | 'upper-confidence-bound' | 'nearest';
}

/** Proposals for one size. */
export interface SizeProposals {
  readonly size: TargetSize;
  /**
   * - `in-band`: proposals are predicted within 80–100 % of the target, once accuracies are known up to a standard error above it.
   * - `below-band`: limits keep every network below 80 % of the target; the nearest is proposed.
   * - `unreachable`: every network is predicted above the target; the nearest is proposed.
   * - `exhausted`: what could be proposed was already tried; nothing is proposed.
   */
  readonly status: 'in-band' | 'below-band' | 'unreachable' | 'exhausted';
  /** What the status means here, in words. */
  readonly message: string;
  readonly proposals: readonly ScalingProposal[];
}

/** Share of a target below which a network wastes it. */
export const bandFloor = 0.8;
/** Networks closer than this in log multipliers teach the same. */
const minDistance = 0.12;
/** How far above a target a prediction may be, in its own standard deviations. */
const marginSds = 1;

/**
 * Latency-aware compound scaling (after LACS, Li et al. 2021, arXiv 2102.05610): for each target size the depth,
 * width
 * and resolution that should give the highest accuracy within the measured latency, each size free to go its own way.
 *
 * Enumerates a bounded grid of multipliers (.75 up to 8, 5 and 4), rounds, merges what realises the same
 * network, keeps what latency and other limits allow, and ranks by an upper confidence bound on accuracy less the
 * risk of missing the target; before four networks are scored it spreads over directions instead (balanced,
 * depth-, width-, resolution-heavy, then the farthest from all others). Pure and deterministic.
 * We differ from LACS, which scores a grid at one size and extrapolates it by φ: that is global-scaling.ts.
 * @throws {RangeError} without any observed latency.
 */
export function proposeScalings(problem: ScalingProblem): readonly SizeProposals[] {
  const knowledge = learn(problem.observations, problem.evidence);
  const highest = Math.max(0, ...problem.sizes.map(({ targetMs }) => targetMs));
  const grid = enumerate(problem.base, problem.constraints, knowledge, highest);
  return problem.sizes.map((size) => proposeForSize(size, grid, problem, knowledge));
}

function proposeForSize(
  size: TargetSize,
  grid: readonly GridPoint[],
  problem: ScalingProblem,
  knowledge: Knowledge,
): SizeProposals {
  const { targetMs } = size;
  const fresh = grid.filter(({ tried }) => !tried);
  // What is predicted a little above the target may come out below it: worth a measurement where accuracy is known to gain.
  const margin = trusted(knowledge) ? marginSds : 0;
  const inBand = fresh.filter(
    ({ latencyMs, latencyLogSd }) =>
      latencyMs <= targetMs * Math.exp(margin * latencyLogSd) && latencyMs >= bandFloor * targetMs,
  );
  if (inBand.length > 0) {
    const error = margin > 0 ? ', the standard error of predictions added' : '';
    const message = `${inBand.length} networks predicted within ${bandFloor * 100}–100 % of ${targetMs} ms${error}`;
    return { size, status: 'in-band', message, proposals: pickInBand(size, inBand, problem, knowledge) };
  }
  const below = fresh.filter(({ latencyMs }) => latencyMs <= targetMs);
  const tried = grid.filter((point) => point.tried && point.latencyMs <= targetMs);
  if (tried.some(({ latencyMs }) => latencyMs >= bandFloor * targetMs) || (tried.length > 0 && below.length === 0))
    return { size, status: 'exhausted', message: `every network near ${targetMs} ms was tried`, proposals: [] };
  const nearest = [...(below.length > 0 ? below : fresh)].sort(
    (a, b) => Math.abs(Math.log(a.latencyMs / targetMs)) - Math.abs(Math.log(b.latencyMs / targetMs)),
  )[0];
  if (nearest === undefined)
    return {
      size,
      status: 'exhausted',
      message: `no untried network within the limits is left for ${targetMs} ms`,
      proposals: [],
    };
  const status = below.length > 0 ? 'below-band' : 'unreachable';
  const message =
    `${status === 'unreachable' ? 'every network is predicted above' : 'limits keep every network well below'} ` +
    `${targetMs} ms; the nearest takes about ${nearest.latencyMs.toPrecision(3)} ms`;
  return { size, status, message, proposals: [toProposal(nearest, 'nearest')] };
}

/** A grid point as it leaves the optimizer. */
export function toProposal(point: GridPoint, reason: ScalingProposal['reason']): ScalingProposal {
  const { spec, realised, multipliers, latencyMs, latencyLogSd, accuracy } = point;
  const expected = accuracy === null ? null : { mean: accuracy.accuracy, sd: accuracy.sd };
  return { spec, realised, multipliers, latencyMs, latencyLogSd, accuracy: expected, reason };
}

function pickInBand(
  size: TargetSize,
  inBand: readonly GridPoint[],
  { count, seed }: ScalingProblem,
  knowledge: Knowledge,
): readonly ScalingProposal[] {
  const ties = new Random(seed).child('scaling', size.name);
  const order = ties.permutation(inBand.length);
  const shuffled = [...order].flatMap((index) => inBand[index] ?? []);
  return trusted(knowledge)
    ? pickBest(shuffled, size.targetMs, count).map((point) => toProposal(point, 'upper-confidence-bound'))
    : pickSpread(shuffled, scoredOf(knowledge), size.targetMs, count).map((point) => toProposal(point, 'spread'));
}

/** Whether enough scalings are scored for the accuracy model to be followed. */
function trusted(knowledge: Knowledge): boolean {
  const base = realisedKey(identity);
  return scoredOf(knowledge).filter(({ multipliers }) => realisedKey(multipliers) !== base).length >= minScored;
}

function scoredOf({ byNetwork }: Knowledge): readonly ScalingObservation[] {
  return [...byNetwork.values()].filter(({ accuracy }) => accuracy !== undefined);
}

/** Highest scores first, none too near another unless too few are left. */
function pickBest(points: readonly GridPoint[], targetMs: number, count: number): readonly GridPoint[] {
  const ranked = points.toSorted((a, b) => acquisition(b, targetMs) - acquisition(a, targetMs));
  const picked: GridPoint[] = [];
  for (const apart of [minDistance, 0])
    for (const point of ranked)
      if (picked.length < count && picked.every((other) => other !== point && distance(other, point) >= apart))
        picked.push(point);
  return picked;
}

/** Directions first, then the point farthest from everything picked or scored so far. */
function pickSpread(
  points: readonly GridPoint[],
  scored: readonly ScalingObservation[],
  targetMs: number,
  count: number,
): readonly GridPoint[] {
  const near = (point: GridPoint): boolean => point.latencyMs >= 0.9 * targetMs && point.latencyMs <= 0.97 * targetMs;
  // The edges of the band are left out where that leaves a choice: the upper for rejections, the lower for waste.
  const inner = points.filter(near);
  const candidates = inner.length >= 2 * count ? inner : points;
  const picked: GridPoint[] = [];
  const taken = scored
    .filter(({ multipliers }) => realisedKey(multipliers) !== realisedKey(identity))
    .map(({ multipliers }) => ({ realised: multipliers }));
  const pick = (score: (point: GridPoint) => number): void => {
    const free = candidates.filter((point) => !picked.includes(point));
    const best = free.reduce<GridPoint | undefined>(
      (winner, point) => (winner === undefined || score(point) > score(winner) ? point : winner),
      undefined,
    );
    if (best !== undefined) picked.push(best);
  };
  for (const direction of directions)
    if (picked.length < count && taken.every((other) => alignment(other.realised, direction) < 0.95))
      pick((point) => alignment(point.realised, direction));
  while (picked.length < Math.min(count, candidates.length))
    pick((point) => Math.min(...[...picked, ...taken].map((other) => distance(other, point))));
  return picked;
}
