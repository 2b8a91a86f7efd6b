import * as fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { Random } from '../../core/random.ts';
import { exportOnnx } from '../../models/export.ts';
import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';
import { arbitrarySpec } from './arbitrary-spec.ts';
import { blockKinds, endKinds, networkOf } from './block-kinds.ts';
import { trainedLikeWeights } from './fixture.ts';
import { tfjsLogits } from './tfjs-network.ts';

const accelerator = onnxRuntimeAccelerator('cpu');

/** The exported file in onnxruntime against the spec in TensorFlow.js: largest difference ÷ largest logit. */
async function disagreement(spec: NetworkSpec): Promise<number> {
  const batch = 2;
  const weights = trainedLikeWeights(spec, 1);
  const { channels, resolution } = spec.input;
  const random = new Random('image');
  const data = Float32Array.from({ length: batch * channels * resolution ** 2 }, () => random.normal());
  const session = await accelerator.open(exportOnnx(spec, weights, 'batch'), { threads: 1 });
  const dims = [batch, channels, resolution, resolution];
  const { logits } = await session.run({ image: { dtype: 'float32', dims, data } });
  await session.close();
  const expected = tfjsLogits(spec, weights, data);
  expect(logits?.dims).toEqual([batch, spec.classes]);
  const scale = Math.max(...expected.map(Math.abs));
  expect(scale).toBeGreaterThan(0.01);
  return Math.max(...expected.map((value, index) => Math.abs(value - Number(logits?.data[index])))) / scale;
}

/** float32 sums of some ten thousand terms over a handful of layers, in another order. */
const rounding = 2e-5;

describe.each(blockKinds)('an exported %s block computes what TensorFlow.js does', (kind) => {
  // Odd and even planes, some smaller than the kernels and their dilations.
  test.each([4, 7, 8, 13])('at %i pixels', async (resolution) => {
    expect(await disagreement(networkOf(kind, resolution))).toBeLessThan(rounding);
  });
});

describe('an exported network computes what TensorFlow.js does', () => {
  test.each(endKinds)('with %s', async (kind) => {
    for (const resolution of [12, 15]) expect(await disagreement(networkOf(kind, resolution))).toBeLessThan(rounding);
  });

  it('whatever its spec', async () => {
    await fc.assert(
      fc.asyncProperty(arbitrarySpec, async (input) => {
        expect(await disagreement(parseNetworkSpec(input, 'arbitrary'))).toBeLessThan(rounding);
      }),
      { numRuns: 60 },
    );
  });
});
