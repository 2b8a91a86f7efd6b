import type { Json } from '../core/digest.ts';
import { Random } from '../core/random.ts';
import type { Choices } from '../core/trial.ts';
import type { Controller, ObservedTrial, SearchOptions } from './controller.ts';
import { History } from './history.ts';
import { sampleChoices } from './space.ts';

/** Random search without repeats: the baseline every controller must beat (Bergstra & Bengio 2012). It remembers which networks it tried, and nothing else. */
export class RandomSearch implements Controller {
  readonly #options: SearchOptions;
  readonly #history: History;

  constructor(options: SearchOptions) {
    this.#options = options;
    this.#history = new History({ ...options, keep: 0 });
  }

  suggest(count: number): readonly Choices[] {
    const { space, seed } = this.#options;
    return this.#history.suggest(count, this.#options, ({ ordinal, drawNew }) => {
      const random = new Random(seed).child('random-search', ordinal);
      return drawNew((attempt) => sampleChoices(space, random.child(attempt)));
    });
  }

  observe(trials: readonly ObservedTrial[]): void {
    this.#history.observe(trials);
  }

  state(): Json {
    const { size } = this.#history;
    return { controller: 'random', seed: this.#options.seed, told: size, trials: this.#history.toJson() };
  }
}
