import { crc32 } from 'node:zlib';
import type { EventSequence } from './event-log.ts';
import type { JournalEvent } from './events.ts';

/** Share of the slots that may be taken. */
const fullest = 0.7;
const empty = -1;

/**
 * Finds the last event of a key, keeping of each key 32 bits of a hash and the event's place: 8 bytes a slot, 11 to 23 a key,
 * however long keys and events are. What the hash finds is checked against the event itself, so keys are never mistaken.
 */
export class EventIndex {
  readonly #events: EventSequence;
  readonly #keyOf: (event: JournalEvent) => string;
  #hashes = new Uint32Array(64);
  #places = new Int32Array(64).fill(empty);
  #size = 0;

  /** @param keyOf the key of an event that was set under it. */
  constructor(events: EventSequence, keyOf: (event: JournalEvent) => string) {
    this.#events = events;
    this.#keyOf = keyOf;
  }

  /** The event at `place` is the key's last one from now on. */
  set(key: string, place: number): void {
    const hash = crc32(key);
    const slot = this.#slotOf(key, hash);
    if (this.#places[slot] === empty) this.#size++;
    this.#hashes[slot] = hash;
    this.#places[slot] = place;
    if (this.#size > fullest * this.#places.length) this.#grow();
  }

  find(key: string): JournalEvent | undefined {
    const place = this.#places[this.#slotOf(key, crc32(key))] as number;
    return place === empty ? undefined : this.#events.at(place);
  }

  /** The slot that holds a key, or the one that it would take. */
  #slotOf(key: string, hash: number): number {
    const last = this.#places.length - 1;
    for (let slot = hash & last; ; slot = (slot + 1) & last) {
      const place = this.#places[slot] as number;
      if (place === empty) return slot;
      if (this.#hashes[slot] !== hash) continue;
      const event = this.#events.at(place);
      if (event && this.#keyOf(event) === key) return slot;
    }
  }

  #grow(): void {
    const [hashes, places] = [this.#hashes, this.#places];
    const last = 2 * places.length - 1;
    this.#hashes = new Uint32Array(last + 1);
    this.#places = new Int32Array(last + 1).fill(empty);
    for (const [old, place] of places.entries()) {
      if (place === empty) continue;
      let slot = (hashes[old] as number) & last;
      while (this.#places[slot] !== empty) slot = (slot + 1) & last;
      this.#hashes[slot] = hashes[old] as number;
      this.#places[slot] = place;
    }
  }
}
