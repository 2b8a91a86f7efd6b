import type { EventPayload, JournalEvent } from './events.ts';

/** Events in their order: an array, or what reads them from a file when asked. */
export interface EventSequence extends Iterable<JournalEvent> {
  readonly length: number;
  /** As of an array: from the end where the index is negative, undefined where there is none. */
  at(index: number): JournalEvent | undefined;
}

/** What a study is written to and replayed from. */
export interface EventLog {
  /** Named in messages. */
  readonly path: string;
  readonly events: EventSequence;
  append(payload: EventPayload): JournalEvent;
}
