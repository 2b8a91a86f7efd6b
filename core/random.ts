import { createHash } from 'node:crypto';

/**
 * Seeded pseudo-random numbers (sfc32, Doty-Humphrey's small fast counter generator).
 *
 * Streams are derived by *name*, not by order: `random.child('augment')` is the same stream
 * whatever else has been drawn, so a new consumer moves no other's numbers.
 */
export class Random {
  readonly #path: string;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** @param seed any text or number; equal seeds give equal streams on every machine. */
  constructor(seed: string | number) {
    this.#path = String(seed);
    const hash = createHash('sha256').update(this.#path).digest();
    this.#a = hash.readInt32LE(0);
    this.#b = hash.readInt32LE(4);
    this.#c = hash.readInt32LE(8);
    for (let round = 0; round < 12; round++) this.#next();
  }

  /** An independent stream named below this one; takes nothing from this stream. */
  child(...names: (string | number)[]): Random {
    return new Random([this.#path, ...names].join('/'));
  }

  #next(): number {
    const t = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t;
    this.#c |= 0;
    return t >>> 0;
  }

  /** Uniform in [0, 1) with 32 bits. */
  uniform(): number {
    return this.#next() / 2 ** 32;
  }

  /** Uniform integer in [0, bound). @param bound a positive integer up to 2³². */
  integer(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  /** Standard normal (Box–Muller, one of the pair). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  /**
   * Gamma with the given shape and scale 1: mean and variance are `shape`. Below shape 1 the draw for shape + 1 is shrunk
   * by U^(1 ÷ shape), which underflows to 0 for tiny shapes; {@link Random.beta} does not depend on that.
   * @param shape positive.
   * @see Marsaglia & Tsang (2000), A simple method for generating gamma variables.
   */
  gamma(shape: number): number {
    if (!(shape > 0)) throw new RangeError(`expected a positive shape, got ${shape}`);
    if (shape < 1) return this.gamma(shape + 1) * (1 - this.uniform()) ** (1 / shape);
    const d = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const v = (1 + c * x) ** 3;
      if (v > 0 && Math.log(1 - this.uniform()) < (x * x) / 2 + d - d * v + d * Math.log(v)) return d * v;
    }
  }

  /**
   * Beta(a, b) in [0, 1]: mean a ÷ (a + b). From two gammas, or, where both parameters are at most 1 and gammas
   * may underflow, by Jöhnk's rejection, here on logarithms.
   * @param a positive. @param b positive.
   * @see Jöhnk (1964), Erzeugung von betaverteilten und gammaverteilten Zufallszahlen.
   */
  beta(a: number, b: number): number {
    if (!(a > 0 && b > 0)) throw new RangeError(`expected two positive parameters, got ${a} and ${b}`);
    if (a > 1 || b > 1) {
      const x = this.gamma(a);
      return x / (x + this.gamma(b));
    }
    for (;;) {
      const logX = Math.log(1 - this.uniform()) / a;
      const logY = Math.log(1 - this.uniform()) / b;
      // x ÷ (x + y) of those pairs whose sum is at most 1.
      if (Math.exp(logX) + Math.exp(logY) <= 1) return 1 / (1 + Math.exp(logY - logX));
    }
  }

  /** One item of a non-empty list. */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('expected a non-empty list to pick from, got an empty one');
    return items[this.integer(items.length)] as T;
  }

  /** 0 … count − 1 in random order (Fisher–Yates). */
  permutation(count: number): Uint32Array {
    const order = Uint32Array.from({ length: count }, (_, index) => index);
    for (let last = count - 1; last > 0; last--) {
      const other = this.integer(last + 1);
      const kept = order[last] as number;
      order[last] = order[other] as number;
      order[other] = kept;
    }
    return order;
  }
}
