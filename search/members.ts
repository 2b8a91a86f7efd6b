import type { Choices } from '../core/trial.ts';
import { decisions, indicesOf, type SpaceNode } from './space.ts';

/**
 * The points of a space that exist, where not all do, as in a table of some of a space's networks: finds the one nearest to any
 * choices. Near means that few decisions differ; of equals the first counts. Options are bits, one a word's place, so that a comparison
 * of 28 decisions is three exclusive ors.
 */
export class Members {
  readonly list: readonly Choices[];
  readonly #space: SpaceNode;
  /** Place of a decision's first option among the bits, by tag; a decision that is not reachable has none set. */
  readonly #offsets: ReadonlyMap<string, number>;
  readonly #words: number;
  /** `[member · words + word]`. */
  readonly #bits: Int32Array;

  /** @throws {RangeError} when a member is no point of the space. */
  constructor(space: SpaceNode, list: readonly Choices[]) {
    let bits = 0;
    this.#offsets = new Map(
      decisions(space).map(({ tag, values }) => [tag, (bits += values.length) - values.length] as const),
    );
    this.#words = Math.ceil(bits / 32);
    this.#space = space;
    this.list = list;
    this.#bits = new Int32Array(list.length * this.#words);
    for (const [index, choices] of list.entries()) this.#bits.set(this.#bitsOf(choices), index * this.#words);
  }

  #bitsOf(choices: Choices): Int32Array {
    const words = new Int32Array(this.#words);
    for (const { tag, index } of indicesOf(this.#space, choices)) {
      const bit = (this.#offsets.get(tag) ?? 0) + index;
      words[bit >> 5] = (words[bit >> 5] ?? 0) | (1 << (bit & 31));
    }
    return words;
  }

  /** The nearest member that `isTaken` leaves; when it leaves none, the nearest of all. */
  nearest(choices: Choices, isTaken: (member: Choices) => boolean = () => false): Choices {
    const wanted = this.#bitsOf(choices);
    // By distance, so that few members are asked about.
    const byDistance: number[][] = [];
    for (let index = 0; index < this.list.length; index++) {
      let apart = 0;
      for (let word = 0; word < this.#words; word++)
        apart += bitCount((this.#bits[index * this.#words + word] as number) ^ (wanted[word] as number));
      (byDistance[apart] ??= []).push(index);
    }
    let first: Choices | undefined;
    for (const group of byDistance)
      for (const index of group ?? []) {
        const member = this.list[index] as Choices;
        first ??= member;
        if (!isTaken(member)) return member;
      }
    return first ?? choices;
  }
}

/** Number of bits set in 32. */
function bitCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
