import type { Json } from '../core/digest.ts';
import { Random } from '../core/random.ts';
import type { Choices } from '../core/trial.ts';
import type { Controller, ObservedTrial, SearchOptions } from './controller.ts';
import { History } from './history.ts';
import { completeLosses, lossesOf } from './objectives.ts';
import { crowdingDistances, dominanceRanks } from './pareto.ts';
import { crossover, mutateEach, sampleChoices } from './space.ts';

/** Steers {@link Nsga2}. */
export interface Nsga2Options extends SearchOptions {
  /** How many survive, and how many are drawn at random to begin with. Default 20; Deb et al. use 100 for 25,000 trials. */
  readonly population?: number;
  /** Probability that a child has two parents. Default .9. */
  readonly crossover?: number;
}

/** From this redraw on a point of the space is drawn at random: the parents' surroundings may be used up. */
const sampleFrom = 48;

/**
 * NSGA-II with constraint domination: Deb, Pratap, Agarwal & Meyarivan (2002), "A fast and elitist multiobjective
 * genetic algorithm: NSGA-II". A feasible trial beats an infeasible one, of two infeasible ones the lesser
 * violation wins (§VI.A; one of unknown violation comes last), feasible ones are sorted into fronts, and within a front
 * by crowding distance. Parents win binary tournaments; children come by uniform crossover, then each decision changes with
 * probability 1 ÷ decisions.
 *
 * We differ: steady state. A child's parents are the best of *all* trials finished so far, where the original waits for
 * a generation; so any number of workers is kept busy. Networks already tried are drawn again, at most 64 times.
 */
export class Nsga2 implements Controller {
  readonly #options: Nsga2Options & { readonly population: number; readonly crossover: number };
  readonly #history: History;

  /** @throws {RangeError} unless population ≥ 2 and crossover is a probability. */
  constructor(options: Nsga2Options) {
    const { population = 20, crossover: rate = 0.9 } = options;
    if (!(population >= 2 && rate >= 0 && rate <= 1))
      throw new RangeError(`expected a population of at least 2 and a rate of 0 to 1, got ${population} and ${rate}`);
    this.#options = { ...options, population, crossover: rate };
    this.#history = new History(options);
  }

  suggest(count: number): readonly Choices[] {
    const { space, seed, population } = this.#options;
    const survivors = this.#survivors();
    return this.#history.suggest(count, this.#options, ({ ordinal, drawNew }) => {
      const random = new Random(seed).child('nsga2', ordinal);
      return drawNew((attempt) => {
        const stream = random.child(attempt);
        return ordinal < population || survivors.length === 0 || attempt >= sampleFrom
          ? sampleChoices(space, stream.child('sample'))
          : this.#child(survivors, stream);
      });
    });
  }

  #child(survivors: readonly Survivor[], random: Random): Choices {
    const { space, crossover: rate } = this.#options;
    const parent = (name: string): Choices => {
      const stream = random.child(name);
      const [one, other] = [stream.pick(survivors), stream.pick(survivors)];
      return one.place <= other.place ? one.choices : other.choices;
    };
    const [mother, father] = [parent('mother'), parent('father')];
    const isCrossed = random.child('crossed').uniform() < rate;
    const child = isCrossed ? crossover(space, mother, father, random.child('crossover')) : mother;
    return mutateEach(space, child, random.child('mutate'));
  }

  /** The best trials, best first. */
  #survivors(): readonly Survivor[] {
    const { population, objectives } = this.#options;
    const feasible: { trial: ObservedTrial; losses: readonly number[] }[] = [];
    const infeasible: ObservedTrial[] = [];
    for (const trial of this.#history.finished) {
      const losses = trial.status === 'ok' ? completeLosses(lossesOf(trial, objectives)) : undefined;
      if (losses) feasible.push({ trial, losses });
      else if (trial.status === 'infeasible') infeasible.push(trial);
    }
    const ranks = dominanceRanks(feasible.map(({ losses }) => losses));
    const distances = feasible.map(() => 0);
    for (let rank = 0; ranks.includes(rank); rank++) {
      const front = [...ranks.keys()].filter((index) => ranks[index] === rank);
      const own = crowdingDistances(front.map((index) => feasible[index]?.losses ?? []));
      for (const [place, index] of front.entries()) distances[index] = own[place] ?? 0;
    }
    // Lower ranks first, then larger distances; then lesser violations.
    const standings = [
      ...feasible.map(({ trial }, index) => ({ trial, worse: ranks[index] ?? 0, better: distances[index] ?? 0 })),
      ...infeasible.map((trial) => ({ trial, worse: Infinity, better: -(trial.violation ?? Infinity) })),
    ].sort((a, b) => compare(a.worse, b.worse) || compare(b.better, a.better));
    const survivors: Survivor[] = [];
    for (const [index, { trial, worse, better }] of standings.slice(0, population).entries()) {
      const before = standings[index - 1];
      const isEqual = before?.worse === worse && before.better === better;
      survivors.push({ choices: trial.choices, place: isEqual ? (survivors[index - 1]?.place ?? 0) : index });
    }
    return survivors;
  }

  observe(trials: readonly ObservedTrial[]): void {
    this.#history.observe(trials);
  }

  state(): Json {
    const { seed, population } = this.#options;
    return { controller: 'nsga2', seed, population, trials: this.#history.toJson() };
  }
}

/** A possible parent; of two the one of the lower place wins, equals have the same. */
interface Survivor {
  readonly choices: Choices;
  readonly place: number;
}

/** As a difference, but it bears two infinities. */
function compare(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
