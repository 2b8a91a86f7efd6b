import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { loadText, textSourceSchema } from '../../data/text.ts';
import { fileFolder } from '../cases/file-folder.ts';

const folder = fileFolder();
const bytes = Uint8Array.from({ length: 100 }, (_, index) => index);
writeFileSync(join(folder, 'text.txt'), bytes);
writeFileSync(join(folder, 'text.gz'), gzipSync(bytes));

const load = (source: unknown) => loadText(textSourceSchema.parse(source), folder);
const take = (sequences: Iterator<ArrayLike<number>, never>, count: number) =>
  Array.from({ length: count }, () => Array.from(sequences.next().value));

describe('text of a file', () => {
  it('is cut into sequences, each once an epoch, overlapping in one token', async () => {
    const text = await load({ format: 'text', path: 'text.txt' });
    const epoch = take(text.trainingSequences(0, 8, 0), 11);
    const starts = epoch.map(([first = 0]) => first).toSorted((a, b) => a - b);
    for (const sequence of epoch)
      expect(sequence).toEqual(Array.from({ length: 9 }, (_, place) => (sequence[0] ?? 0) + place));
    expect(starts.slice(1).map((start, index) => start - (starts[index] ?? 0))).toEqual(Array(10).fill(8));
    expect(Math.max(...epoch.flat())).toBeLessThan(90);
  });

  it('goes on where it is asked to, and has another order every epoch', async () => {
    const text = await load({ format: 'text', path: 'text.gz' });
    const all = take(text.trainingSequences(3, 8, 0), 30);
    expect(take(text.trainingSequences(3, 8, 17), 13)).toEqual(all.slice(17));
    expect(all.slice(0, 11)).not.toEqual(all.slice(11, 22));
    expect(take(text.trainingSequences(4, 8, 0), 11)).not.toEqual(all.slice(0, 11));
  });

  it('is scored on its end, which nothing is trained on', async () => {
    const text = await load({ format: 'text', path: 'text.txt', holdout: 0.2 });
    expect(Array.from(text.scoredSequences(9), (sequence) => sequence[0])).toEqual([80, 89]);
    expect(text.irreducibleNats(9)).toBeUndefined();
  });

  it('is refused where it is too short for one sequence, or not there', async () => {
    const text = await load({ format: 'text', path: 'text.txt' });
    expect(() => text.trainingSequences(0, 90, 0).next()).toThrow(
      /text\.txt: expected at least 91 bytes to train on.*got 90/,
    );
    expect(() => Array.from(text.scoredSequences(10))).toThrow(/expected at least 11 bytes to score.*got 10/);
    await expect(load({ format: 'text', path: 'none.txt' })).rejects.toThrow(/found nothing at/);
  });
});

describe('text of a grammar', () => {
  it('is endless, resumable, and scored on other sequences', async () => {
    const text = await load({ format: 'grammar', symbols: 8, scored: 3 });
    // Ten words each: two sequences are alike with a probability of .13^10.
    const all = take(text.trainingSequences(0, 39, 0), 4);
    expect(take(text.trainingSequences(0, 39, 2), 2)).toEqual(all.slice(2));
    const scored = Array.from(text.scoredSequences(39), (sequence) => Array.from(sequence));
    expect(scored).toHaveLength(3);
    for (const sequence of all) expect(scored).not.toContainEqual(sequence);
    expect(text.irreducibleNats(39)).toBeGreaterThan(0);
  });
});
