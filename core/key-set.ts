import { createHash } from 'node:crypto';

/** Share of the slots that may be taken. */
const fullest = 0.7;

/**
 * A set of texts that keeps 64 bits of each one's SHA-256 and no text: 11 to 23 bytes each. Two texts are mistaken for each other with
 * probability 2⁻⁶⁴, among a million texts with one of 3 · 10⁻⁸.
 */
export class KeySet {
  /** Two words a slot; a slot of zeros is free. */
  #words = new Uint32Array(128);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(key: string): boolean {
    const [high, low] = wordsOf(key);
    return this.#words[2 * this.#slotOf(high, low)] !== 0;
  }

  add(key: string): void {
    const [high, low] = wordsOf(key);
    if (!this.#put(high, low)) return;
    this.#size++;
    if (2 * this.#size > fullest * this.#words.length) this.#grow();
  }

  #put(high: number, low: number): boolean {
    const slot = this.#slotOf(high, low);
    if (this.#words[2 * slot] !== 0) return false;
    this.#words[2 * slot] = high;
    this.#words[2 * slot + 1] = low;
    return true;
  }

  /** The slot that holds a text, or the one that it would take. */
  #slotOf(high: number, low: number): number {
    const last = this.#words.length / 2 - 1;
    let slot = low & last;
    while (this.#words[2 * slot] !== 0 && !(this.#words[2 * slot] === high && this.#words[2 * slot + 1] === low))
      slot = (slot + 1) & last;
    return slot;
  }

  #grow(): void {
    const words = this.#words;
    this.#words = new Uint32Array(2 * words.length);
    for (let slot = 0; slot < words.length; slot += 2)
      if (words[slot] !== 0) this.#put(words[slot] as number, words[slot + 1] as number);
  }
}

/** The first is never 0. */
function wordsOf(key: string): readonly [number, number] {
  const digest = createHash('sha256').update(key).digest();
  return [digest.readUInt32LE(0) || 1, digest.readUInt32LE(4)];
}
