import type { Json } from '../core/digest.ts';
import { Random } from '../core/random.ts';
import type { Choices } from '../core/trial.ts';
import type { Controller, ObservedTrial, SearchOptions } from './controller.ts';
import { History } from './history.ts';
import { completeLosses, lossesOf } from './objectives.ts';
import { nonDominated } from './pareto.ts';
import { neighbours, sampleChoices } from './space.ts';

/** Trials drawn at random before the first step. */
const randomTrials = 10;

/**
 * Pareto local search: an untried neighbour, one decision away, of an undominated trial; trial and neighbour at random.
 * A random point when every neighbour is tried. The plainest method that learns, and a strong baseline on tables of networks:
 * Paquete, Chiarandini & Stützle (2004), "Pareto local optimum sets in the biobjective traveling salesman problem";
 * White, Nolen & Savani (2021), "Exploring the loss landscape in neural architecture search". We differ: the neighbourhoods of
 * all undominated trials are explored at once, not one after the other.
 */
export class LocalSearch implements Controller {
  readonly #options: SearchOptions;
  readonly #history: History;

  constructor(options: SearchOptions) {
    this.#options = options;
    this.#history = new History(options);
  }

  suggest(count: number): readonly Choices[] {
    const { space, seed } = this.#options;
    const front = this.#front();
    return this.#history.suggest(count, this.#options, ({ ordinal, drawNew, isKnown }) => {
      const random = new Random(seed).child('local-search', ordinal);
      const from = ordinal < randomTrials ? [] : [...random.child('front').permutation(front.length)];
      for (const index of from) {
        const untried = neighbours(space, front[index] ?? {}).filter((choices) => !isKnown(choices));
        if (untried.length > 0) return random.child('neighbour').pick(untried);
      }
      return drawNew((attempt) => sampleChoices(space, random.child('sample', attempt)));
    });
  }

  #front(): readonly Choices[] {
    const known = this.#history.finished.flatMap((trial) => {
      const losses = trial.status === 'ok' ? completeLosses(lossesOf(trial, this.#options.objectives)) : undefined;
      return losses ? [{ choices: trial.choices, losses }] : [];
    });
    const losses = known.map((trial) => trial.losses);
    const directions = (losses[0] ?? []).map(() => 'min' as const);
    return nonDominated(losses, directions).map((index) => known[index]?.choices ?? {});
  }

  observe(trials: readonly ObservedTrial[]): void {
    this.#history.observe(trials);
  }

  state(): Json {
    return { controller: 'local', seed: this.#options.seed, trials: this.#history.toJson() };
  }
}
