import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readJournal } from '../../../study/journal/journal.ts';
import { JournalTail, readLines } from '../../../study/journal/journal-tail.ts';
import { type GrowingJournal, journalOf } from '../../dashboard/journals.ts';

let folder: string;
let journal: GrowingJournal;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ridgepoint-tail-'));
  journal = journalOf(folder, { trials: 5 });
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('following a journal', () => {
  it('reads each event once, whenever it comes', async () => {
    const tail = new JournalTail(journal.path);
    const seen = [...(await tail.look()).lines];
    expect((await tail.look()).lines).toEqual([]);
    appendFileSync(journal.path, journal.next());
    appendFileSync(journal.path, journal.next());
    seen.push(...(await tail.look()).lines);
    expect(seen.map(({ event }) => event)).toEqual(readJournal(journal.path).events);
    expect(tail.count).toBe(journal.events);
  });

  it('waits for the rest of a torn line, wherever it is torn', async () => {
    const line = Buffer.from(journal.line({ type: 'phase', id: 'search', action: 'finished' }));
    for (const cut of [1, 20, line.length - 1]) {
      const whole = readFileSync(journal.path);
      const tail = new JournalTail(journal.path);
      const before = (await tail.look()).lines.length;
      appendFileSync(journal.path, line.subarray(0, cut));
      expect(await tail.look()).toMatchObject({ lines: [], restarted: false, behindBytes: cut });
      appendFileSync(journal.path, line.subarray(cut));
      expect((await tail.look()).lines.map(({ event }) => event.seq)).toEqual([before]);
      writeFileSync(journal.path, whole);
    }
  });

  it('goes on after a torn line was cut off and another written in its place', async () => {
    const tail = new JournalTail(journal.path);
    const { lines } = await tail.look();
    const end = readFileSync(journal.path).length;
    appendFileSync(journal.path, '{"schema":1,"seq":18,"half a li');
    await tail.look();
    truncateSync(journal.path, end);
    appendFileSync(journal.path, journal.next());
    const news = await tail.look();
    expect(news.restarted).toBe(false);
    expect(news.lines[0]?.event.seq).toBe(lines.length);
  });

  it('waits at zero bytes, which a machine that lost power leaves', async () => {
    const tail = new JournalTail(journal.path);
    await tail.look();
    appendFileSync(journal.path, Buffer.alloc(40));
    expect(await tail.look()).toMatchObject({ lines: [], restarted: false });
  });

  it('names the line where the journal is damaged', async () => {
    const tail = new JournalTail(journal.path);
    await tail.look();
    const text = `${journal.next()}${journal.next()}`;
    appendFileSync(journal.path, text.replace('"by":"evolution"', '"by":"evolutiom"'));
    await expect(tail.look()).rejects.toThrow(/line 19: expected a journal event, got a damaged line/);
  });

  it('begins anew with a journal that took the place of the old one, be it longer or shorter', async () => {
    for (const trials of [2, 40]) {
      const tail = new JournalTail(journal.path);
      await tail.look();
      journal = journalOf(folder, { trials, name: 'another', laterMs: 60_000 * trials });
      const news = await tail.look();
      expect(news.restarted).toBe(true);
      expect(news.lines.map(({ event }) => event)).toEqual(readJournal(journal.path).events);
    }
  });

  it('has nothing of a journal that is not there yet, and void what is removed', async () => {
    const tail = new JournalTail(journal.path);
    await tail.look();
    rmSync(journal.path);
    expect(await tail.look()).toEqual({ lines: [], restarted: true, behindBytes: 0 });
    expect(await tail.look()).toEqual({ lines: [], restarted: false, behindBytes: 0 });
  });

  it('reads a long journal in pieces', async () => {
    const long = journalOf(join(folder, 'long'), { trials: 900 });
    const tail = new JournalTail(long.path);
    const pieces: number[] = [];
    for (let behind = 1; behind > 0;) {
      const { lines, behindBytes } = await tail.look();
      pieces.push(lines.length);
      behind = behindBytes;
    }
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.reduce((sum, count) => sum + count, 0)).toBe(long.events);
  });
});

it('finds events again by their place', async () => {
  const tail = new JournalTail(journal.path);
  const { lines } = await tail.look();
  const wanted = [3, 7, 8].flatMap((index) => lines[index] ?? []);
  const found = await readLines(
    journal.path,
    wanted.map(({ event, start, end }) => ({ seq: event.seq, start, end })),
  );
  expect(found).toEqual(wanted);
});
