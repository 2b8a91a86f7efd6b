import type { Json } from '../core/digest.ts';
import { Random } from '../core/random.ts';
import type { Choices } from '../core/trial.ts';
import type { Controller, ObservedTrial, SearchOptions } from './controller.ts';
import { History } from './history.ts';
import { mutate, sampleChoices } from './space.ts';

/** Steers {@link RegularizedEvolution}; defaults are those of Real et al. (2019). */
export interface EvolutionOptions extends SearchOptions {
  /** Trials alive at once; also how many are drawn at random to begin with. Default 100. */
  readonly population?: number;
  /** Tournament size, at most `population`. Default 25. */
  readonly sample?: number;
}

/**
 * Population and tournament for a budget: a quarter of the trials start the population (4 … 100), a
 * quarter of those meet in a tournament (2 … 25), so that a short search evolves at all. Ours; 400 trials
 * and more give the published 100 and 25.
 */
export function evolutionFor(trials: number): { readonly population: number; readonly sample: number } {
  const population = Math.min(100, Math.max(4, Math.round(trials / 4)));
  return { population, sample: Math.min(25, Math.max(2, Math.round(population / 4))) };
}

/**
 * Regularized (ageing) evolution: draw a sample of the living, mutate its best, let the oldest die,
 * good or not. Real, Aggarwal, Huang & Le (2019), "Regularized Evolution for Image Classifier Architecture Search".
 *
 * Age is the order in which trials were first observed. Infeasible trials take a place among the living,
 * rank below every other and are never parents; issued ones only keep their choices from being drawn again.
 * Maximises the trials' `reward`, whatever the objectives. We differ: networks already tried are drawn again, at most 64 times.
 */
export class RegularizedEvolution implements Controller {
  readonly #options: EvolutionOptions & { readonly population: number; readonly sample: number };
  readonly #history: History;

  /** @throws {RangeError} unless 1 ≤ sample ≤ population. */
  constructor(options: EvolutionOptions) {
    const population = options.population ?? 100;
    const sample = options.sample ?? Math.min(25, population);
    if (!(sample >= 1 && sample <= population))
      throw new RangeError(`expected 1 ≤ sample ≤ population, got sample ${sample} and population ${population}`);
    this.#options = { ...options, population, sample };
    this.#history = new History({ ...options, keep: population });
  }

  suggest(count: number): readonly Choices[] {
    const { space, seed, population } = this.#options;
    const living = this.#living();
    return this.#history.suggest(count, this.#options, ({ ordinal, drawNew }) => {
      const random = new Random(seed).child('evolution', ordinal);
      return drawNew((attempt) => {
        const stream = random.child(attempt);
        const parent = ordinal < population ? undefined : this.#tournament(living, stream.child('tournament'));
        return parent === undefined
          ? sampleChoices(space, stream.child('sample'))
          : mutate(space, parent.choices, stream.child('mutate'));
      });
    });
  }

  /** The youngest `population` of the finished trials, oldest first. */
  #living(): readonly ObservedTrial[] {
    return this.#history.finished;
  }

  /** Best of a sample without replacement; when it holds no feasible trial, best of all; none when there is none. */
  #tournament(living: readonly ObservedTrial[], random: Random): ObservedTrial | undefined {
    const order = [...random.permutation(living.length)].slice(0, this.#options.sample);
    return best(order.flatMap((index) => living[index] ?? [])) ?? best(living);
  }

  observe(trials: readonly ObservedTrial[]): void {
    this.#history.observe(trials);
  }

  state(): Json {
    const { seed, population, sample } = this.#options;
    return {
      controller: 'evolution',
      seed,
      population,
      sample,
      told: this.#history.size,
      trials: this.#history.toJson(),
      living: this.#living().map(({ id }) => id),
    };
  }
}

/** The feasible trial of the highest reward; the first of equals. */
function best(trials: readonly ObservedTrial[]): ObservedTrial | undefined {
  let winner: ObservedTrial | undefined;
  for (const trial of trials) {
    if (trial.status !== 'ok' || trial.reward === undefined || Number.isNaN(trial.reward)) continue;
    if (winner?.reward === undefined || trial.reward > winner.reward) winner = trial;
  }
  return winner;
}
