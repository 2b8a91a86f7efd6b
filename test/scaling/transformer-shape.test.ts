import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  defaultStyle,
  forwardFlops,
  mosaicFlops,
  shapeOf,
  snapShape,
  trainingMemory,
  transformerParams,
} from '../../scaling/transformer-shape.ts';

const style = fc.record({
  gated: fc.boolean(),
  tiedHead: fc.boolean(),
  learnedPositions: fc.boolean(),
  biases: fc.boolean(),
});

describe('the parameters of a transformer', () => {
  it('sum up from groups', () => {
    fc.assert(
      fc.property(style, fc.integer({ min: 1, max: 96 }), fc.integer({ min: 1, max: 64 }), (flags, layers, heads) => {
        const { total, embedding, positions, attention, feedForward, norms, head, nonEmbedding } = transformerParams(
          shapeOf(layers, heads, { ...defaultStyle, ...flags }),
        );
        expect(embedding + positions + attention + feedForward + norms + head).toBe(total);
        expect(total - embedding - positions - head).toBe(nonEmbedding);
      }),
    );
  });

  it('are Llama 7B’s for its shape', () => {
    // 32 layers, 4096 wide, SwiGLU of 11008, 32,000 tokens, untied: 6,738,415,616 parameters in its release.
    const llama = {
      ...shapeOf(32, 32, { ...defaultStyle, gated: true, tiedHead: false, vocabulary: 32_000 }),
      feedForward: 11_008,
    };
    expect(transformerParams(llama).total).toBe(6_738_415_616);
  });

  it('are GPT-3’s for its shape, to half a percent', () => {
    const gpt3 = shapeOf(96, 96, { ...defaultStyle, vocabulary: 50_257, learnedPositions: true, biases: true });
    expect(transformerParams(gpt3).total / 175e9).toBeCloseTo(1, 2);
  });
});

describe('FLOPs', () => {
  it('of MosaicML agree with those of matrix products, embedding aside, for a large model', () => {
    const shape = shapeOf(32, 32, { ...defaultStyle, tiedHead: true });
    expect(mosaicFlops(shape) / (3 * forwardFlops(shape))).toBeCloseTo(1, 2);
  });
});

describe('snapping to a shape', () => {
  it('comes within two percent of any size from a hundred million parameters on', () => {
    fc.assert(
      fc.property(fc.double({ min: 8, max: 13, noNaN: true }), (power) => {
        const params = 10 ** power;
        const shape = snapShape(params, defaultStyle);
        expect(Math.abs(Math.log(transformerParams(shape).total / params))).toBeLessThan(0.025);
        expect(shape.width).toBe(shape.heads * (shape.width / shape.heads));
        expect(Number.isInteger(shape.layers) && shape.layers >= 1).toBe(true);
        const aspect = shape.width / shape.layers;
        expect(aspect).toBeGreaterThanOrEqual(16);
        expect(aspect).toBeLessThanOrEqual(256);
      }),
      { numRuns: 60, seed: 1 },
    );
  });

  it('takes the usual aspect ratio where sizes agree', () => {
    const { width, layers } = snapShape(70e9, defaultStyle);
    expect(width / layers).toBeGreaterThan(80);
    expect(width / layers).toBeLessThan(125);
  });

  it('refuses a size below any transformer with the vocabulary', () => {
    expect(() => snapShape(1000, defaultStyle)).toThrow(/vocabulary of 50304 can have, got 1\.00e\+3 parameters/);
  });
});

describe('memory of a training', () => {
  it('shards 16 bytes a parameter and keeps activations of one sequence', () => {
    const shape = shapeOf(32, 32, defaultStyle);
    const [one, eight] = [trainingMemory(shape, 1), trainingMemory(shape, 8)];
    expect(one.stateBytes).toBe(16 * transformerParams(shape).total);
    expect(eight.stateBytes).toBe(one.stateBytes / 8);
    expect(eight.activationBytes).toBe(one.activationBytes);
    expect(eight.totalBytes).toBe(eight.stateBytes + eight.activationBytes);
  });
});
