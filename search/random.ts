import type { Json } from '../core/digest.ts';
import { Random } from '../core/random.ts';
import type { Choices } from '../core/trial.ts';
import type { Controller, ObservedTrial } from './controller.ts';
import { sampleChoices, type SpaceNode } from './space.ts';
import { choicesKey, drawNew } from './suggestion.ts';

/** What every controller over a space needs. */
export interface SearchOptions {
  readonly space: SpaceNode;
  readonly seed: number;
  /** Choices to try first, e.g. a known good base. */
  readonly start?: readonly Choices[];
}

/** Random search without repeats: the baseline every controller must beat (Bergstra & Bengio 2012). */
export class RandomSearch implements Controller {
  readonly #options: SearchOptions;
  readonly #trials = new Map<string, ObservedTrial>();

  constructor(options: SearchOptions) {
    this.#options = options;
  }

  suggest(count: number): readonly Choices[] {
    const { space, seed, start = [] } = this.#options;
    const seen = new Set([...this.#trials.values()].map((trial) => choicesKey(trial.choices)));
    const suggestions: Choices[] = [];
    for (let ordinal = this.#trials.size; suggestions.length < count; ordinal++) {
      const random = new Random(seed).child('random-search', ordinal);
      const choices = start[ordinal] ?? drawNew(seen, (attempt) => sampleChoices(space, random.child(attempt)));
      seen.add(choicesKey(choices));
      suggestions.push(choices);
    }
    return suggestions;
  }

  observe(trials: readonly ObservedTrial[]): void {
    for (const trial of trials) this.#trials.set(trial.id, trial);
  }

  state(): Json {
    const trials = [...this.#trials.values()].map(({ id, status, reward }) => ({ id, status, reward }));
    return { controller: 'random', seed: this.#options.seed, trials };
  }
}
