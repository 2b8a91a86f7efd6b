import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { choicesSchema, costSchema, fidelitySchema, outcomeSchema } from '../../core/trial.ts';

const fixtures = JSON.parse(readFileSync(new URL('../fixtures/outcomes.json', import.meta.url), 'utf8')) as Record<
  string,
  object
>;

describe('stored outcomes', () => {
  it.each(Object.keys(fixtures))('are read as they were written: %s', (name) => {
    expect(outcomeSchema.parse(fixtures[name])).toEqual(fixtures[name]);
  });

  it.each([
    ['a status nobody knows', { status: 'skipped' }],
    ['a reason nobody knows', { status: 'infeasible', reason: 'ugly' }],
    ['a failure that does not say whether to retry', { status: 'failed', code: 'x', detail: 'y' }],
    ['success without a cost', { status: 'ok', metrics: {} }],
    ['a metric that is not a number', { ...fixtures['ok'], metrics: { accuracy: 'high' } }],
    ['a key nobody knows', { ...fixtures['failed'], attempts: 2 }],
  ])('are refused with %s', (_what, outcome) => {
    expect(outcomeSchema.safeParse(outcome).success).toBe(false);
  });
});

describe('fidelity', () => {
  it('is examples and a seed, and a resolution where it differs from the network’s', () => {
    expect(fidelitySchema.parse({ examples: 6000, seed: 0 })).toEqual({ examples: 6000, seed: 0 });
    expect(fidelitySchema.parse({ examples: 1, resolution: 32, seed: 7 })).toMatchObject({ resolution: 32 });
    for (const wrong of [
      { examples: 0, seed: 0 },
      { examples: 1.5, seed: 0 },
      { examples: 10 },
      { examples: 10, seed: 0, epochs: 3 },
    ])
      expect(fidelitySchema.safeParse(wrong).success).toBe(false);
  });
});

describe('cost and choices', () => {
  it('are flat and hold nothing negative', () => {
    expect(costSchema.safeParse({ trainS: -1, measureS: 0, examples: 0, flops: 0, peakRssBytes: 0 }).success).toBe(
      false,
    );
    expect(choicesSchema.parse({ 'stage1.kernel': 5, activation: 'silu', skip: true })).toMatchObject({ skip: true });
    expect(choicesSchema.safeParse({ stage1: { kernel: 5 } }).success).toBe(false);
  });
});
