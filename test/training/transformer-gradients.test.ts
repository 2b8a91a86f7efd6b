import { describe, expect, it } from 'vitest';
import { buildNetwork } from '../../models/build.ts';
import { parseTransformerSpec } from '../../models/transformer.ts';
import { gradientErrors, largestDistance, loweredGradients, lowerings, randomValues } from './graphs.ts';
import { tfjsGradients } from './tfjs-oracle.ts';

const small = { kind: 'transformer', vocabulary: 7, context: 5, layers: 2, width: 6, heads: 3, feedForward: 8 };

const specs = {
  'GELU, layer norms with biases, tied head': { biases: true },
  'SwiGLU, RMSNorm, a head of its own': { gated: true, norm: 'rms-norm', tiedHead: false },
  'one head, no positions': { heads: 1, learnedPositions: false },
  'a context of one token': { context: 1 },
};

/** Of float32 against central differences in double precision, and against other float32: a relative L2 distance. */
const tolerance = 1e-4;

describe.each(Object.entries(specs))('gradients of a transformer, %s,', (_name, changes) => {
  const graph = buildNetwork(parseTransformerSpec({ ...small, ...changes }, 'test'), 2);
  const drawn = randomValues(graph, 3);

  it('agree with finite differences', async () => {
    for (const { error, lossError, worst } of await gradientErrors(graph, drawn)) {
      expect(lossError).toBeLessThan(1e-5);
      expect(error, worst).toBeLessThan(tolerance);
    }
  });

  it('agree with TensorFlow.js', async () => {
    const { labels, classes, labelSmoothing } = drawn.loss;
    const targets = labels.flatMap((label) => Array.from({ length: classes }, (_, index) => Number(index === label)));
    const values = new Map([...drawn.values].map(([name, { data }]) => [name, data]));
    const expected = tfjsGradients(graph, values, { targets, labelSmoothing });
    for (const lowering of lowerings) {
      const actual = await loweredGradients(graph, drawn, lowering);
      expect(Math.abs(actual.loss / expected.loss - 1)).toBeLessThan(1e-5);
      const { error, worst } = largestDistance(expected.gradients, actual.gradients);
      expect(error, `${lowering.id}: ${worst}`).toBeLessThan(tolerance);
    }
  });
});
