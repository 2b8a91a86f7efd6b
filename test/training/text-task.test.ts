import { describe, expect, it } from 'vitest';
import { loadText, textSourceSchema } from '../../data/text.ts';
import { textTask } from '../../training/text-task.ts';

const text = await loadText(textSourceSchema.parse({ format: 'grammar', symbols: 5, scored: 7 }), '');
const task = textTask(text, { context: 4, vocabulary: 6 });

describe('predicting the next token', () => {
  it('has at every position the token that follows as its target', () => {
    const { value: batch } = task.trainingBatches(3, 1).next();
    const [tokens, target] = [batch['tokens'], batch['target']];
    expect(tokens?.shape).toEqual([3, 4]);
    expect(target?.shape).toEqual([3, 4, 6]);
    const inputs = Array.from(tokens?.data as BigInt64Array, Number);
    const rows = target?.data as Float32Array;
    const targets = Array.from({ length: 12 }, (_, row) => rows.subarray(row * 6, (row + 1) * 6).indexOf(1));
    expect(rows.reduce((sum, value) => sum + value, 0)).toBe(12);
    for (const start of [0, 4, 8]) expect(targets.slice(start, start + 3)).toEqual(inputs.slice(start + 1, start + 4));
  });

  it('goes on where a run stopped', () => {
    const batches = task.trainingBatches(3, 1);
    batches.next();
    batches.next();
    expect(task.trainingBatches(3, 1, 6).next().value).toEqual(batches.next().value);
  });

  it('scores every sequence once, the last batch short', () => {
    const counts = Array.from(task.scoringBatches(3), (batch) => batch['tokens']?.shape[0]);
    expect(counts).toEqual([3, 3, 1]);
  });

  it('is refused to a network that lacks some of the tokens', () => {
    expect(() => textTask(text, { context: 4, vocabulary: 4 })).toThrow(/vocabulary of at least 5, got 4/);
  });
});
