import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { SimulatedClock } from '../../../core/clock.ts';
import { canonicalJson } from '../../../core/digest.ts';
import { latencySchema } from '../../../latency/latency.ts';
import { type EventType, journalEventSchema } from '../../../study/journal/events.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { Journal, readJournal } from '../../../study/journal/journal.ts';
import { StudyRecord } from '../../../study/journal/record.ts';

const stored = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../fixtures/${name}.json`, import.meta.url), 'utf8'));
const events = stored('journal-events') as readonly { readonly type: EventType; readonly seq: number }[];

/** A journal of these lines, each with its checksum. */
function journalOf(lines: readonly object[]): string {
  const path = join(fileFolder(), 'journal.jsonl');
  const sealed = lines.map((line) =>
    JSON.stringify({ ...line, crc: crc32(canonicalJson(line)).toString(16).padStart(8, '0') }),
  );
  writeFileSync(path, `${sealed.join('\n')}\n`);
  return path;
}

describe('stored journal events', () => {
  it('are of every type', () => {
    expect(new Set(events.map(({ type }) => type))).toEqual(
      new Set(journalEventSchema.options.map(({ shape }) => shape.type.value)),
    );
  });

  it.each(events.map((event) => [event.seq, event.type, event] as const))(
    'keep being read: %i, %s',
    (_seq, _type, event) => {
      expect(journalEventSchema.parse(event)).toEqual(event);
    },
  );

  it('replay to what they told', () => {
    const record = StudyRecord.replay(readJournal(journalOf(events)).events);
    expect(record.trials.map(({ id, phase }) => [id, phase])).toEqual([['t0001', 'search']]);
    expect(record.outcome('t0001')).toMatchObject({ status: 'ok', metrics: { accuracy: 0.742 } });
    expect(record.decision('base')).toEqual({ trial: 't0001' });
    expect(record.artefact('onnx t0001')?.kind).toBe('onnx');
    expect(record.latency(`laptop ${record.trials[0]?.specDigest}`)?.p50Ms).toBe(0.412);
  });

  it('are refused whole, not cut off, when another version wrote them', () => {
    const path = journalOf([...events, { schema: 1, seq: events.length, tMs: 0, type: 'prophecy', id: 'x' }]);
    const before = readFileSync(path);
    expect(() => new Journal(path, new SimulatedClock())).toThrow(
      new RegExp(`line ${events.length + 1}: expected an event this version knows`),
    );
    expect(readFileSync(path)).toEqual(before);
  });
});

describe('a stored latency', () => {
  it('keeps being read', () => {
    expect(latencySchema.parse(stored('latency'))).toEqual(stored('latency'));
  });

  it.each([{ p50Ms: 0 }, { source: 'guessed' }, { precision: 'fp8' }, { p99Ms: undefined }, { unit: 'ms' }])(
    'is refused with %j',
    (change) => {
      expect(latencySchema.safeParse({ ...(stored('latency') as object), ...change }).success).toBe(false);
    },
  );
});
