import { Random } from '../core/random.ts';

/** A source of symbols in which each depends on the two before it. */
export interface GrammarOptions {
  /** Distinct symbols. */
  readonly symbols: number;
  /** Draws the probabilities. */
  readonly seed: number;
}

/** How closely the distribution after one symbol follows the general one, and that after two the one after the last. */
const concentrations = { pair: 8, triple: 4 };
/** Largest change of a probability by one step of the power iteration at its end. */
const settled = 1e-15;

/**
 * An endless text of known entropy: a second-order Markov source. Symbols have Zipf's frequencies (1 ÷ rank); what
 * follows a symbol is drawn from a Dirichlet distribution around them, and what follows a pair from one around what
 * follows its last symbol, so that contexts are common and rare, and rare ones resemble what they extend. Its
 * entropy rate, the loss that no model can go below, is computed, not estimated. Ours.
 */
export class Grammar {
  readonly symbols: number;
  /** `[first · symbols + second, third]`: probabilities up to and including the third. */
  readonly #cumulative: Float64Array;
  /** The same of pairs as they occur. */
  readonly #pairs: Float64Array;
  /**
   * Entropy of the next symbol in nats when none, one, or at least two before it are known.
   * @see Shannon (1951), Prediction and entropy of printed English, eq. 1.
   */
  readonly entropies: readonly [number, number, number];

  constructor({ symbols, seed }: GrammarOptions) {
    this.symbols = symbols;
    const random = new Random(seed).child('grammar');
    const ranks = Float64Array.from({ length: symbols }, (_, rank) => 1 / (rank + 1));
    const general = normalised(ranks);
    const afterOne = Array.from({ length: symbols }, (_, last) =>
      dirichlet(general, concentrations.pair, random.child('after', last)),
    );
    const rows = Array.from({ length: symbols ** 2 }, (_, pair) =>
      dirichlet(afterOne[pair % symbols] as Float64Array, concentrations.triple, random.child('after pair', pair)),
    );
    const pairs = stationaryPairs(rows, symbols);
    this.entropies = entropiesOf(rows, pairs, symbols);
    this.#pairs = cumulative(pairs);
    this.#cumulative = Float64Array.from({ length: symbols ** 3 });
    rows.forEach((row, pair) => this.#cumulative.set(cumulative(row), pair * symbols));
  }

  /** Symbols of one text, 0 … symbols − 1. @param length at least 2. */
  text(random: Random, length: number): Uint16Array {
    const { symbols } = this;
    const text = new Uint16Array(length);
    let pair = drawn(this.#pairs, random);
    text.set([Math.floor(pair / symbols), pair % symbols].slice(0, length));
    for (let place = 2; place < length; place++) {
      const next = drawn(this.#cumulative.subarray(pair * symbols, (pair + 1) * symbols), random);
      text[place] = next;
      pair = (pair % symbols) * symbols + next;
    }
    return text;
  }

  /**
   * Least mean loss in nats of predicting, at every one of `context` positions, the symbol that follows it, having
   * seen the positions up to there: the first knows one symbol, all others two or more.
   */
  irreducibleNats(context: number): number {
    const [, one, two] = this.entropies;
    return (one + (context - 1) * two) / context;
  }
}

/** Of many symbols some have shares so small that what is drawn for them is 0 as a number; so are all that are drawn around it. */
function dirichlet(mean: Float64Array, concentration: number, random: Random): Float64Array {
  return normalised(mean.map((share) => (share > 0 ? random.gamma(concentration * share) : 0)));
}

function normalised(weights: Float64Array): Float64Array {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Shares of pairs in the long run, by power iteration. */
function stationaryPairs(rows: readonly Float64Array[], symbols: number): Float64Array {
  let shares = new Float64Array(symbols ** 2).fill(1 / symbols ** 2);
  for (;;) {
    const next = new Float64Array(symbols ** 2);
    rows.forEach((row, pair) => {
      const from = (pair % symbols) * symbols;
      const share = shares[pair] as number;
      for (let third = 0; third < symbols; third++)
        next[from + third] = (next[from + third] as number) + share * (row[third] as number);
    });
    const change = next.reduce((most, share, pair) => Math.max(most, Math.abs(share - (shares[pair] as number))), 0);
    shares = next;
    if (change < settled) return shares;
  }
}

function entropiesOf(
  rows: readonly Float64Array[],
  pairs: Float64Array,
  symbols: number,
): readonly [number, number, number] {
  const singles = Float64Array.from({ length: symbols }, (_, first) =>
    pairs.subarray(first * symbols, (first + 1) * symbols).reduce((sum, share) => sum + share, 0),
  );
  const none = entropy(singles);
  const rate = rows.reduce((sum, row, pair) => sum + (pairs[pair] as number) * entropy(row), 0);
  return [none, entropy(pairs) - none, rate];
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
