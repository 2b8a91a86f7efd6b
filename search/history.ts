import { canonicalJson, type Json } from '../core/digest.ts';
import { KeySet } from '../core/key-set.ts';
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

/** What a controller keeps of the trials that it was told of. */
export interface HistoryOptions extends Pick<SearchOptions, 'identity'> {
  /**
   * So many of the youngest finished trials are kept, with those issued among them; all where a controller learns from all. Of
   * older ones it is remembered only that their networks are known.
   */
  readonly keep?: number;
}

/** The trials a controller was told of, in the order it first heard of each. */
export class History {
  /** Those that are kept. */
  readonly #trials = new Map<string, ObservedTrial>();
  readonly #dropped = new KeySet();
  /** Identities of all networks. */
  readonly #known = new KeySet();
  readonly #identity: (choices: Choices) => string;
  readonly #keep: number;
  /** How many of those that are kept are finished. */
  #finished = 0;

  constructor({ identity = choicesKey, keep = Number.POSITIVE_INFINITY }: HistoryOptions) {
    const named = new WeakMap<Choices, string>();
    this.#identity = (choices) => {
      const name = named.get(choices) ?? identity(choices);
      named.set(choices, name);
      return name;
    };
    this.#keep = keep;
  }

  observe(trials: readonly ObservedTrial[]): void {
    for (const trial of trials) {
      const before = this.#trials.get(trial.id);
      if (!before && this.#dropped.has(trial.id)) continue;
      if (!before) this.#known.add(this.#identity(trial.choices));
      this.#trials.set(trial.id, trial);
      this.#finished += Number(isFinished(trial)) - Number(before !== undefined && isFinished(before));
    }
    this.#drop();
  }

  /** A trial that enough finished ones are younger than will never be among the youngest, whatever becomes of it. */
  #drop(): void {
    for (const [id, trial] of this.#trials) {
      const younger = this.#finished - Number(isFinished(trial));
      if (younger < this.#keep) return;
      this.#trials.delete(id);
      this.#dropped.add(id);
      this.#finished = younger;
    }
  }

  /** How many it was told of. */
  get size(): number {
    return this.#trials.size + this.#dropped.size;
  }

  /** Those that are kept. */
  get trials(): readonly ObservedTrial[] {
    return [...this.#trials.values()];
  }

  /** Without those that are only issued. */
  get finished(): readonly ObservedTrial[] {
    return this.trials.filter(isFinished);
  }

  /** Asks `propose` for each of the next `count` trials in turn; the start that a user gave comes first. */
  suggest(
    count: number,
    { start = [], members }: Pick<SearchOptions, 'start' | 'members'>,
    propose: (turn: Turn) => Choices,
  ): readonly Choices[] {
    const now = new Set<string>();
    const isKnown = (choices: Choices): boolean => {
      const network = this.#identity(choices);
      return now.has(network) || this.#known.has(network);
    };
    const drawNew = (draw: (attempt: number) => Choices): Choices => {
      let choices = draw(0);
      for (let attempt = 1; attempt < maxRedraws && isKnown(choices); attempt++) choices = draw(attempt);
      return choices;
    };
    const suggested: Choices[] = [];
    for (let ordinal = this.size; suggested.length < count; ordinal++) {
      const proposed = start[ordinal] ?? propose({ ordinal, suggested, drawNew, isKnown });
      const choices = members ? members.nearest(proposed, isKnown) : proposed;
      now.add(this.#identity(choices));
      suggested.push(choices);
    }
    return suggested;
  }

  /** Plain data for {@link Controller.state}: of the trials that are kept. */
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

function isFinished({ status }: ObservedTrial): boolean {
  return status !== 'issued';
}
