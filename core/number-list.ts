/** Numbers that only grow in count, eight bytes each, where an array's own growth or boxes would cost more. */
export class NumberList {
  #values = new Float64Array(64);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = new Float64Array(Math.ceil(this.#values.length * 1.5));
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#length++] = value;
  }

  /** @returns undefined beyond the end. */
  at(index: number): number | undefined {
    return index < this.#length ? this.#values[index] : undefined;
  }
}
