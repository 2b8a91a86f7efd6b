import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { Grammar } from '../../data/grammar.ts';

describe('a grammar', () => {
  const grammar = new Grammar({ symbols: 4, seed: 1 });
  const length = 200_000;
  const text = grammar.text(new Random(7), length);

  it('is the same for the same seed, and its texts are for theirs', () => {
    expect(new Grammar({ symbols: 4, seed: 1 }).entropies).toEqual(grammar.entropies);
    expect(new Grammar({ symbols: 4, seed: 2 }).entropies).not.toEqual(grammar.entropies);
    expect(grammar.text(new Random(7), 20)).toEqual(text.slice(0, 20));
  });

  it('has the entropies that its texts show, and no longer memory', () => {
    // Empirical conditional entropies of n symbols are off by about sd(−ln p) ÷ √n ≈ .002 (one sigma), and below by
    // contexts ÷ 2n, which 256 contexts make .002; five sigma here.
    for (const [known, expected] of grammar.entropies.entries())
      expect(Math.abs(conditionalEntropy(text, known) - expected)).toBeLessThan(0.012);
    const [, , rate] = grammar.entropies;
    expect(Math.abs(conditionalEntropy(text, 3) - rate)).toBeLessThan(0.012);
  });

  it('loses entropy with each symbol that is known', () => {
    const [none, one, two] = grammar.entropies;
    expect(none).toBeLessThan(Math.log(4));
    expect(one).toBeLessThan(none);
    expect(two).toBeLessThan(one);
  });

  it('of many symbols has some that never follow another, where what is drawn for them is 0 as a number', () => {
    // The fewest symbols for which one of the first hundred seeds draws a 0.
    const many = new Grammar({ symbols: 100, seed: 88 });
    const [none, one, two] = many.entropies;
    expect(none).toBeLessThan(Math.log(100));
    expect(one).toBeLessThan(none);
    expect(two).toBeLessThan(one);
    expect(two).toBeGreaterThan(0);
    const symbols = new Set(many.text(new Random(7), 20_000));
    expect(symbols.size).toBeGreaterThan(90);
    expect(Math.max(...symbols)).toBeLessThan(100);
  });

  it('has a least loss that tends to its entropy rate', () => {
    const [, one, two] = grammar.entropies;
    expect(grammar.irreducibleNats(1)).toBeCloseTo(one, 12);
    expect(grammar.irreducibleNats(4)).toBeCloseTo((one + 3 * two) / 4, 12);
  });
});

/** Σ −p ln p(symbol | known symbols before it), by counting. */
function conditionalEntropy(text: Uint16Array, known: number): number {
  const [joint, contexts] = [new Map<string, number>(), new Map<string, number>()];
  const total = text.length - known;
  for (let place = known; place < text.length; place++) {
    const context = text.slice(place - known, place).join(' ');
    const whole = `${context} ${text[place]}`;
    contexts.set(context, (contexts.get(context) ?? 0) + 1);
    joint.set(whole, (joint.get(whole) ?? 0) + 1);
  }
  const entropy = (counts: Map<string, number>) =>
    [...counts.values()].reduce((sum, count) => sum - (count / total) * Math.log(count / total), 0);
  return entropy(joint) - entropy(contexts);
}
