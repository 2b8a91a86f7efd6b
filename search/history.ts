import { canonicalJson, type Json } from '../core/digest.ts';
import type { Choices } from '../core/trial.ts';
import type { ObservedTrial, SearchOptions } from './controller.ts';

/** Identity of choices, whatever the order of their tags. */
export function choicesKey(choices: Choices): string {
  return canonicalJson(choices);
}

/** Draws before a repeat is let through: small spaces run out of new points. */
const maxRedraws = 64;

/** A place in the order of issue that waits for choices. */
export interface Turn {
  /** How many trials were issued before. */
  readonly ordinal: number;
  /** Suggested in this call already, in order: they are as good as issued. */
  readonly suggested: readonly Choices[];
  /** The first of at most 64 draws whose network is new, or the last draw when none is. */
  readonly drawNew: (draw: (attempt: number) => Choices) => Choices;
  /** Whether these choices build a network that was tried or suggested before. */
  readonly isKnown: (choices: Choices) => boolean;
}

/** The trials a controller was told of, in the order it first heard of each. */
export class History {
  readonly #trials = new Map<string, ObservedTrial>();
  readonly #keys = new Map<string, string>();
  readonly #identity: (choices: Choices) => string;

  constructor({ identity = choicesKey }: Pick<SearchOptions, 'identity'>) {
    const named = new WeakMap<Choices, string>();
    this.#identity = (choices) => {
      const name = named.get(choices) ?? identity(choices);
      named.set(choices, name);
      return name;
    };
  }

  observe(trials: readonly ObservedTrial[]): void {
    for (const trial of trials) {
      this.#trials.set(trial.id, trial);
      this.#keys.set(trial.id, this.#identity(trial.choices));
    }
  }

  get trials(): readonly ObservedTrial[] {
    return [...this.#trials.values()];
  }

  /** Without those that are only issued. */
  get finished(): readonly ObservedTrial[] {
    return this.trials.filter(({ status }) => status !== 'issued');
  }

  /** Asks `propose` for each of the next `count` trials in turn; the start that a user gave comes first. */
  suggest(
    count: number,
    { start = [], members }: Pick<SearchOptions, 'start' | 'members'>,
    propose: (turn: Turn) => Choices,
  ): readonly Choices[] {
    const known = new Set(this.#keys.values());
    const isKnown = (choices: Choices): boolean => known.has(this.#identity(choices));
    const drawNew = (draw: (attempt: number) => Choices): Choices => {
      let choices = draw(0);
      for (let attempt = 1; attempt < maxRedraws && isKnown(choices); attempt++) choices = draw(attempt);
      return choices;
    };
    const suggested: Choices[] = [];
    for (let ordinal = this.#trials.size; suggested.length < count; ordinal++) {
      const proposed = start[ordinal] ?? propose({ ordinal, suggested, drawNew, isKnown });
      const choices = members ? members.nearest(proposed, isKnown) : proposed;
      known.add(this.#identity(choices));
      suggested.push(choices);
    }
    return suggested;
  }

  /** Plain data for {@link Controller.state}. */
  toJson(): Json {
    return this.trials.map(({ id, status, reward, metrics, violation }) => ({
      id,
      status,
      ...(reward === undefined ? {} : { reward }),
      ...(metrics === undefined ? {} : { metrics }),
      ...(violation === undefined ? {} : { violation }),
    }));
  }
}
