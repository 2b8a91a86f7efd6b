import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { median } from '../../core/quantile.ts';
import type { ContendedTurn, Contender } from './contender.ts';
import { type Load, meanLoad, meterLoad } from './load.ts';

/** How contenders take turns. */
export interface Turns {
  /** Rounds that count; in each, every contender has one turn. */
  readonly rounds: number;
  /** Steps a turn. */
  readonly steps: number;
}

/** Turns, and how many threads a contender has in its own. */
export interface ThreadedTurns extends Turns {
  readonly threads: number;
}

/** Untimed steps before the first round: libraries choose kernels and fill caches in them. */
const warmUpSteps = 3;
/** Pause before each turn. Thread pools spin for a while after their last work (some milliseconds); asleep they steal nothing. */
const settleMs = 100;
/** A round is calm when other processes left the contenders their cores, but for this much of one. */
const toleratedLoad = 0.2;
/** Rounds are repeated until enough were calm, up to this many times as many. */
const patience = 2;

interface Round {
  readonly turns: ReadonlyMap<Contender, ContendedTurn>;
  readonly load?: Load;
}

/** What the contenders did in the rounds that count. */
export interface Interleaved {
  readonly turns: ReadonlyMap<Contender, readonly ContendedTurn[]>;
  /** Mean over these rounds. */
  readonly load?: Load;
  /** Rounds left out because others used the machine more than in those that count. */
  readonly leftOut: number;
}

/**
 * Lets contenders train in turns, so that whatever else the machine does meets all of them. Rounds count
 * whole or not at all, by how busy other processes were, never by their times: the calmest ones.
 */
export async function interleave(
  contenders: readonly Contender[],
  { rounds: wanted, steps, threads }: ThreadedTurns,
): Promise<Interleaved> {
  for (const contender of contenders) await contender.run(warmUpSteps);
  const rounds: Round[] = [];
  const spare = Math.max(0, cpus().length - threads) + toleratedLoad;
  const calm = () => rounds.filter(({ load }) => (load?.others ?? 0) <= spare).length;
  while (calm() < wanted && rounds.length < patience * wanted)
    rounds.push(await playRound(contenders, rounds.length, steps));
  const counted = rounds.toSorted((a, b) => (a.load?.others ?? 0) - (b.load?.others ?? 0)).slice(0, wanted);
  return {
    turns: new Map(contenders.map((one) => [one, counted.map((round) => round.turns.get(one) as ContendedTurn)])),
    load: meanLoad(counted.flatMap(({ load }) => (load ? [load] : []))),
    leftOut: rounds.length - counted.length,
  };
}

/** Who begins moves on by one each round, so that nobody always follows the same neighbour. */
async function playRound(contenders: readonly Contender[], round: number, steps: number): Promise<Round> {
  const turns = new Map<Contender, ContendedTurn>();
  const loads: Load[] = [];
  for (let turn = 0; turn < contenders.length; turn++) {
    const contender = contenders[(round + turn) % contenders.length] as Contender;
    await sleep(settleMs);
    const loadSince = meterLoad(contender, contenders);
    turns.set(contender, await contender.run(steps));
    const load = loadSince();
    if (load) loads.push(load);
  }
  return { turns, load: meanLoad(loads) };
}

/** Step times of one contender, in milliseconds: a list a round. */
export type RoundsMs = readonly (readonly number[])[];

/** Median over the steps of all rounds. */
export function medianMs(rounds: RoundsMs): number {
  return median(rounds.flat());
}

/** How many times faster one side is than another. */
export interface Speedup {
  /** Ratio of the medians over all steps. */
  readonly ratio: number;
  /** Smallest and largest ratio of the two medians of one round. */
  readonly range: readonly [number, number];
}

/** @param theirs and `ours` have as many rounds. @returns above 1 where ours is faster. */
export function speedup(ours: RoundsMs, theirs: RoundsMs): Speedup {
  if (ours.length !== theirs.length)
    throw new RangeError(`expected as many rounds on both sides, got ${ours.length} and ${theirs.length}`);
  const ratios = ours.map((steps, round) => median(theirs[round] as readonly number[]) / median(steps));
  return { ratio: medianMs(theirs) / medianMs(ours), range: [Math.min(...ratios), Math.max(...ratios)] };
}

/** Geometric mean, the only mean under which a ratio and its inverse agree. */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
