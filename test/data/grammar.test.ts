import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { Grammar } from '../../data/grammar.ts';

describe('a grammar', () => {
  const grammar = new Grammar({ symbols: 64, seed: 1 });
  const text = grammar.text(new Random(7), 400_000);

  it('is the same for the same seed, and its texts are for theirs', () => {
    expect(beginning(1)).toEqual(text.slice(0, 20));
    expect(beginning(2)).not.toEqual(text.slice(0, 20));
  });

  it('loses entropy with each symbol of a word that is known, down to that of a word', () => {
    const { entropies, wordLength } = grammar;
    expect(entropies).toHaveLength(wordLength);
    expect(entropies).toEqual(entropies.toSorted((a, b) => b - a));
    expect(entropies.reduce((sum, each) => sum + each, 0)).toBeCloseTo(zipfEntropy(2 ** 18, 1.4), 9);
  });

  it('shows the entropies of a word’s beginnings in its texts', () => {
    // −ln p of 100,000 words has a deviation of about 2, so a mean one of .007; five sigma. What counting cannot see of rare
    // beginnings puts it below by about their number ÷ 2n: .0003 for one symbol. Longer beginnings are too many to count.
    const first = counts(text, grammar.wordLength, 1);
    expect(Math.abs(entropyOf(first) - (grammar.entropies[0] as number))).toBeLessThan(0.035);
  });

  it('has frequencies by Zipf’s law', () => {
    const total = text.length / grammar.wordLength;
    const [first, second, , fourth] = [...counts(text, grammar.wordLength, grammar.wordLength).values()].toSorted(
      (a, b) => b - a,
    );
    // Shares .323, .122, .046: standard errors below .5 %, 1 %, 1.5 % of them; five sigma.
    expect((first as number) / total).toBeCloseTo(1 / zeta(2 ** 18, 1.4), 2);
    expect((second as number) / (first as number) / 2 ** -1.4).toBeCloseTo(1, 1);
    expect((fourth as number) / (first as number) / 4 ** -1.4).toBeCloseTo(1, 1);
  });

  it('has a least loss that counts the places it predicts', () => {
    const [first, second, third, fourth] = grammar.entropies as [number, number, number, number];
    expect(grammar.irreducibleNats(1)).toBeCloseTo(second, 12);
    expect(grammar.irreducibleNats(8)).toBeCloseTo((first + second + third + fourth) / 4, 12);
  });

  it.each([2, 256])('spells with %d symbols', (symbols) => {
    const few = new Grammar({ symbols, seed: 0 });
    expect(Math.max(...few.text(new Random(3), 2000))).toBeLessThan(symbols);
    expect(few.entropies.reduce((sum, each) => sum + each, 0)).toBeCloseTo(zipfEntropy(2 ** 18, 1.4), 9);
  });
});

function beginning(seed: number): Uint16Array {
  return new Grammar({ symbols: 64, seed }).text(new Random(7), 20);
}

/** Beginnings of words, and how often they come. */
function counts(text: Uint16Array, wordLength: number, symbols: number): Map<string, number> {
  const found = new Map<string, number>();
  for (let start = 0; start + wordLength <= text.length; start += wordLength) {
    const beginning = text.subarray(start, start + symbols).join(' ');
    found.set(beginning, (found.get(beginning) ?? 0) + 1);
  }
  return found;
}

function entropyOf(found: Map<string, number>): number {
  const total = [...found.values()].reduce((sum, count) => sum + count, 0);
  return [...found.values()].reduce((sum, count) => sum - (count / total) * Math.log(count / total), 0);
}

function zeta(words: number, power: number): number {
  let sum = 0;
  for (let rank = words; rank >= 1; rank--) sum += rank ** -power;
  return sum;
}

/** ln ζ + s · Σ ln k · k^−s ÷ ζ, the entropy of a truncated Zipf distribution. */
function zipfEntropy(words: number, power: number): number {
  const total = zeta(words, power);
  let sum = 0;
  for (let rank = words; rank >= 1; rank--) sum += Math.log(rank) * rank ** -power;
  return Math.log(total) + (power * sum) / total;
}
