import { describe, expect, it } from 'vitest';
import { EventIndex } from '../../../study/journal/event-index.ts';
import type { JournalEvent } from '../../../study/journal/events.ts';

/** Two texts of one CRC-32, as anybody can make them. */
const twins = ['codding', 'gnu'] as const;

function decision(id: string, value: number): JournalEvent {
  return { schema: 1, seq: 0, tMs: 0, type: 'decision', id, value, because: '' };
}
const valueOf = (event: JournalEvent | undefined): unknown => (event?.type === 'decision' ? event.value : undefined);

/** An index over decisions, by id. */
function indexed(decisions: readonly JournalEvent[]): EventIndex {
  const index = new EventIndex(decisions, ({ id }) => id);
  for (const [place, { id }] of decisions.entries()) index.set(id, place);
  return index;
}

describe('an index of events', () => {
  it('finds the last event of a key, and none of keys that have none', () => {
    const events = Array.from({ length: 5000 }, (_, index) => decision(`d${index % 4000}`, index));
    const index = indexed(events);
    for (let key = 0; key < 4000; key++) expect(valueOf(index.find(`d${key}`))).toBe(key < 1000 ? key + 4000 : key);
    expect(index.find('d4000')).toBeUndefined();
  });

  it('tells keys of one hash apart', () => {
    const index = indexed([decision(twins[0], 1)]);
    expect(valueOf(index.find(twins[0]))).toBe(1);
    expect(index.find(twins[1])).toBeUndefined();
    const both = indexed(twins.map((id, value) => decision(id, value)));
    expect(twins.map((id) => valueOf(both.find(id)))).toEqual([0, 1]);
  });
});
