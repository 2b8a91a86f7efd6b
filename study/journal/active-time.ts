import type { JournalEvent } from './events.ts';

/**
 * Milliseconds of work that a journal records, an event at a time: from each opening of the study to the last event before
 * the next one, so that the night between two sessions is not counted.
 */
export class ActiveTime {
  #ms = 0;
  #lastMs: number | undefined;

  get ms(): number {
    return this.#ms;
  }

  /** Time of the last event, in milliseconds since the epoch; undefined before the first. */
  get lastMs(): number | undefined {
    return this.#lastMs;
  }

  add(event: JournalEvent): void {
    const isOpening = event.type === 'study' && event.action === 'opened';
    if (!isOpening && this.#lastMs !== undefined) this.#ms += Math.max(0, event.tMs - this.#lastMs);
    this.#lastMs = event.tMs;
  }
}

/** {@link ActiveTime} of events that are all there. */
export function activeMs(events: Iterable<JournalEvent>): number {
  const time = new ActiveTime();
  for (const event of events) time.add(event);
  return time.ms;
}
