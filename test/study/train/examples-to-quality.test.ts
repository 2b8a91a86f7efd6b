import { describe, expect, it } from 'vitest';
import { examplesToQuality } from '../../../study/train/examples-to-quality.ts';

// L = examples^-.5: from half the examples to all of them it falls by √2.
const law = { before: Math.SQRT2, without: 1, share: 0.5 };

describe('examples to equal quality', () => {
  it('are read off the power law of training without a schedule', () => {
    expect(examplesToQuality({ ...law, own: 1 })).toBe(1);
    expect(examplesToQuality({ ...law, own: Math.SQRT2 })).toBeCloseTo(2, 12);
    expect(examplesToQuality({ ...law, own: 1 / Math.SQRT2 })).toBeCloseTo(1 / 2, 12);
    // The same law from a third of the examples.
    expect(examplesToQuality({ ...law, before: Math.sqrt(3), share: 1 / 3, own: Math.SQRT2 })).toBeCloseTo(2, 12);
  });

  it('are at most four times more or fewer, whatever a probe came to', () => {
    expect(examplesToQuality({ ...law, own: 100 })).toBe(4);
    expect(examplesToQuality({ ...law, own: 0.01 })).toBe(1 / 4);
  });

  it('do not hang on noise where twice the examples gain nothing', () => {
    for (const before of [1, 0.9]) expect(examplesToQuality({ ...law, before, own: 1.02 })).toBeCloseTo(1.02 ** 20, 12);
  });
});
