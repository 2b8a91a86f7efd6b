import { describe, expect, it } from 'vitest';
import { parseTransformerSpec } from '../../models/transformer.ts';
import { scaleTransformer } from '../../scaling/scale-transformer.ts';

const base = parseTransformerSpec(
  { kind: 'transformer', vocabulary: 64, context: 32, layers: 3, width: 24, heads: 2, feedForward: 50 },
  'test',
);

describe('a scaled transformer', () => {
  it('is itself at 1', () => {
    expect(scaleTransformer(base, { depth: 1, width: 1, context: 1 })).toEqual(base);
  });

  it('has more layers, rounded up, whole heads of the same size, and a longer context', () => {
    const scaled = scaleTransformer(base, { depth: 1.2, width: 1.6, context: 1.5 });
    expect(scaled).toMatchObject({ layers: 4, heads: 3, width: 36, feedForward: 80, context: 48 });
  });

  it('keeps one head and one token at least', () => {
    expect(scaleTransformer(base, { depth: 0.1, width: 0.1, context: 0.001 })).toMatchObject({
      layers: 1,
      heads: 1,
      context: 1,
    });
  });
});
