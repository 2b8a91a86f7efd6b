import { appendFileSync, mkdtempSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SimulatedClock } from '../../../core/clock.ts';
import { Journal, readJournal } from '../../../study/journal/journal.ts';

const fresh = () => join(mkdtempSync(join(tmpdir(), 'journal-')), 'journal.jsonl');

function writeThree(path: string): void {
  const clock = new SimulatedClock(1000);
  const journal = new Journal(path, clock);
  journal.append({ type: 'study', id: 'x', action: 'opened' });
  clock.advance(5);
  journal.append({ type: 'decision', id: 'base', value: { trial: 't0001' }, because: 'best' });
  journal.append({ type: 'phase', id: 'search', action: 'started' });
  journal.close();
}

/** A journal of a hundred decisions gives each where it is asked for. */
function expectHundred(journal: Journal): void {
  const ids = Array.from({ length: 100 }, (_, index) => `d${index}`);
  expect([...journal.events].map(({ id }) => id)).toEqual(ids);
  for (const index of [0, 99, 1, 50, 0])
    expect(journal.events.at(index)).toMatchObject({ seq: index, id: `d${index}` });
  expect(journal.events.at(-1)?.id).toBe('d99');
  expect([journal.events.at(100), journal.events.at(-101)]).toEqual([undefined, undefined]);
}

describe('journal', () => {
  it('gives back what was appended, numbered and stamped', () => {
    const path = fresh();
    writeThree(path);
    const { events } = readJournal(path);
    expect(events.map(({ seq, type, tMs }) => [seq, type, tMs])).toEqual([
      [0, 'study', 1000],
      [1, 'decision', 1005],
      [2, 'phase', 1005],
    ]);
  });

  it('recovers from a tail torn at any byte of the last line, and goes on', () => {
    const path = fresh();
    writeThree(path);
    const whole = readFileSync(path);
    const lastStart = whole.lastIndexOf(10, whole.length - 2) + 1;
    for (let length = lastStart; length < whole.length; length += 7) {
      writeFileSync(path, whole);
      truncateSync(path, length);
      const journal = new Journal(path, new SimulatedClock());
      expect(journal.events).toHaveLength(2);
      journal.append({ type: 'phase', id: 'scale', action: 'started' });
      journal.close();
      expect(readJournal(path).events.map(({ seq }) => seq)).toEqual([0, 1, 2]);
    }
  });

  it('leaves out what a machine that lost power had not written', () => {
    const path = fresh();
    writeThree(path);
    const bytes = readFileSync(path);
    const second = bytes.indexOf(10) + 1;
    // A page of the second line is missing; the third is there.
    bytes.fill(0, second + 3, second + 20);
    writeFileSync(path, bytes);
    const journal = new Journal(path, new SimulatedClock());
    expect([...journal.events].map(({ seq }) => seq)).toEqual([0]);
    journal.append({ type: 'phase', id: 'search', action: 'started' });
    journal.close();
    expect(readJournal(path).events).toHaveLength(2);
  });

  it('tells when events are on disk, those appended meanwhile together', async () => {
    const path = fresh();
    const journal = new Journal(path, new SimulatedClock());
    const told: number[] = [];
    for (let count = 1; count <= 100; count++) {
      journal.append({ type: 'decision', id: `d${count}`, value: count, because: 'test' });
      void journal.durable().then(() => told.push(count));
    }
    await journal.durable();
    expect(told).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
    expect(readJournal(path).events).toHaveLength(100);
    journal.close();
    await expect(journal.durable()).resolves.toBeUndefined();
  });

  it('refuses damage before the tail, naming the line', () => {
    const path = fresh();
    writeThree(path);
    const lines = readFileSync(path, 'utf8').split('\n');
    writeFileSync(path, [lines[0], lines[1]?.replace('best', 'worst'), lines[2], ''].join('\n'));
    expect(() => readJournal(path)).toThrow(/line 2: .*checksum/);
    writeFileSync(path, [lines[0], lines[2], ''].join('\n'));
    expect(() => readJournal(path)).toThrow(/line 2: expected event 1, got event 2/);
  });

  it('treats a last line of garbage as torn', () => {
    const path = fresh();
    writeThree(path);
    appendFileSync(path, '{"schema":1,"seq":3,\n');
    expect(readJournal(path).events).toHaveLength(3);
  });

  it('reads back what it no longer holds, before and after it is opened again', () => {
    const path = fresh();
    const written = new Journal(path, new SimulatedClock());
    // More text than is kept.
    for (let count = 0; count < 100; count++)
      written.append({ type: 'decision', id: `d${count}`, value: `${count}`.padEnd(100_000, 'x'), because: 'test' });
    expectHundred(written);
    written.close();
    const journal = new Journal(path, new SimulatedClock());
    expectHundred(journal);
    journal.append({ type: 'decision', id: 'one more', value: 0, because: 'test' });
    expect([...journal.events].map(({ seq }) => seq)).toEqual(Array.from({ length: 101 }, (_, index) => index));
    journal.close();
  });

  it('says where a line was changed after it was read', () => {
    const path = fresh();
    const journal = new Journal(path, new SimulatedClock());
    for (let count = 0; count < 60; count++)
      journal.append({ type: 'decision', id: `d${count}`, value: 'x'.repeat(100_000), because: 'test' });
    writeFileSync(path, readFileSync(path, 'utf8').replace('"d3"', '"D3"'));
    expect(() => journal.events.at(3)).toThrow(/line 4: expected the event that was there before/);
    journal.close();
  });
});
