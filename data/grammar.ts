import { Random } from '../core/random.ts';

/** An endless text made of words. */
export interface GrammarOptions {
  /** Distinct symbols. */
  readonly symbols: number;
  /** Draws the words. */
  readonly seed: number;
}

/** Words of the lexicon: more than a small model can hold, or a short text show. */
const words = 2 ** 18;
/** Of Zipf's law: the word of rank k has a share ∝ k^−zipf. */
const zipf = 1.4;
/** Spellings of a word's length, at least, for each word: what an unknown word continues with cannot be guessed. */
const sparsity = 16;

/**
 * An endless text of known entropy: words drawn one by one, by Zipf's law, from a lexicon whose spellings are random and all of
 * one length. There is always a rarer word to learn, so that what a model lacks falls as a power of its size and of its data,
 * as with natural text; the loss that no model can go below is computed, not estimated. Ours, after the toy model of
 * Hutter (2021, arXiv:2102.04074) and Michaud et al. (2023, arXiv:2303.13506), which foretell the powers: zipf − 1 = .4 of the words that a
 * model can hold, and 1 − 1 ÷ zipf = .29 of the words it has seen.
 */
export class Grammar {
  readonly symbols: number;
  /** Symbols of a word. */
  readonly wordLength: number;
  /** `[word, place]`: spellings. */
  readonly #spellings: Uint8Array;
  /** Shares of the words up to and including each. */
  readonly #cumulative: Float64Array;
  /**
   * Entropy in nats of a word's symbol at each place, when those before it are known; their sum is the entropy of a word.
   * @see Shannon (1951), Prediction and entropy of printed English, eq. 1.
   */
  readonly entropies: readonly number[];

  /** @param options `symbols` from 2 to 256. */
  constructor({ symbols, seed }: GrammarOptions) {
    this.symbols = symbols;
    this.wordLength = Math.ceil(Math.log(sparsity * words) / Math.log(symbols) - 1e-9);
    const spelt = distinctSpellings(symbols ** this.wordLength, new Random(seed).child('grammar'));
    this.#spellings = digitsOf(spelt, symbols, this.wordLength);
    const shares = normalised(Float64Array.from({ length: words }, (_, word) => (word + 1) ** -zipf));
    this.#cumulative = cumulative(shares);
    this.entropies = conditionalEntropies(spelt, shares, symbols, this.wordLength);
  }

  /** Symbols of one text, 0 … symbols − 1, from the first of a word on. */
  text(random: Random, length: number): Uint16Array {
    const text = new Uint16Array(length);
    for (let start = 0; start < length; start += this.wordLength) {
      const word = drawn(this.#cumulative, random) * this.wordLength;
      const rest = Math.min(this.wordLength, length - start);
      text.set(this.#spellings.subarray(word, word + rest), start);
    }
    return text;
  }

  /**
   * Least mean loss in nats of predicting, at every one of `context` positions of a text, the symbol that follows it, having
   * seen all up to there.
   */
  irreducibleNats(context: number): number {
    let sum = 0;
    for (let place = 1; place <= context; place++) sum += this.entropies[place % this.wordLength] as number;
    return sum / context;
  }
}

/** One for each word, as a number with a digit a symbol. @param count of the spellings that there are. */
function distinctSpellings(count: number, random: Random): Uint32Array {
  const taken = new Set<number>();
  while (taken.size < words) taken.add(random.integer(count));
  return Uint32Array.from(taken);
}

/** `[word, place]`, the first symbol being the highest digit. */
function digitsOf(spelt: Uint32Array, symbols: number, wordLength: number): Uint8Array {
  const digits = new Uint8Array(spelt.length * wordLength);
  for (let word = 0; word < spelt.length; word++)
    for (let rest = spelt[word] as number, place = wordLength - 1; place >= 0; place--) {
      digits[word * wordLength + place] = rest % symbols;
      rest = Math.floor(rest / symbols);
    }
  return digits;
}

/** By the chain rule: the entropy of a word's beginning of n + 1 symbols less that of its beginning of n. */
function conditionalEntropies(
  spelt: Uint32Array,
  shares: Float64Array,
  symbols: number,
  wordLength: number,
): readonly number[] {
  const entropies: number[] = [];
  let whole = entropy(shares);
  let beginnings = new Float64Array(symbols ** (wordLength - 1));
  for (const [word, share] of shares.entries()) add(beginnings, Math.floor((spelt[word] as number) / symbols), share);
  for (let known = wordLength - 1; known >= 0; known--) {
    const beginning = entropy(beginnings);
    entropies.unshift(whole - beginning);
    whole = beginning;
    const shorter = new Float64Array(beginnings.length / symbols);
    if (known > 0) for (const [index, share] of beginnings.entries()) add(shorter, Math.floor(index / symbols), share);
    beginnings = shorter;
  }
  return entropies;
}

function add(sums: Float64Array, index: number, share: number): void {
  sums[index] = (sums[index] as number) + share;
}

function normalised(weights: Float64Array): Float64Array {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

function entropy(shares: Float64Array): number {
  return shares.reduce((sum, share) => (share > 0 ? sum - share * Math.log(share) : sum), 0);
}

function cumulative(shares: Float64Array): Float64Array {
  let sum = 0;
  return shares.map((share) => (sum += share));
}

/** Index of a draw, by bisection. */
function drawn(upTo: Float64Array, random: Random): number {
  const place = random.uniform() * (upTo.at(-1) as number);
  let [low, high] = [0, upTo.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((upTo[middle] as number) > place) high = middle;
    else low = middle + 1;
  }
  return low;
}
