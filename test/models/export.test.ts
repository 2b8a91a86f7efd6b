import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import { exportOnnx } from '../../models/export.ts';
import type { Weights } from '../../models/graph.ts';
import { lowerInference } from '../../models/lower.ts';
import { describeOnnx, encodeOnnx } from '../../models/onnx.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { everyBlock, trainedLikeWeights } from './fixture.ts';

const preprocessing = {
  channelOrder: 'RGB',
  fit: 'stretch',
  mean: [0.4, 0.5, 0.6],
  std: [0.2, 0.2, 0.3],
  resizeFilter: 'triangle',
  classNames: ['a', 'b', 'c', 'd', 'e'],
} as const;

async function logits(model: Uint8Array, batch: number): Promise<Float32Array> {
  const random = new Random('image');
  const data = Float32Array.from({ length: batch * 3 * 19 * 19 }, () => random.normal());
  const session = await onnxRuntimeAccelerator('cpu').open(model, { threads: 1 });
  const outputs = await session.run({ image: { dtype: 'float32', dims: [batch, 3, 19, 19], data } });
  await session.close();
  return outputs['logits']?.data as Float32Array;
}

/** The same network with its batch norms as they are. */
function unfolded(weights: Weights): Uint8Array {
  const graph = buildNetwork(everyBlock, 'batch');
  return encodeOnnx({
    name: 'unfolded',
    inputs: graph.inputs,
    outputs: [{ name: 'logits', dtype: 'float32', shape: ['batch', 5] }],
    nodes: lowerInference(graph),
    initializers: graph.parameters.map(({ name, shape }) => ({
      name,
      dims: shape,
      data: weights.get(name) as Float32Array,
    })),
  });
}

describe('exported file', () => {
  it('computes what the network with unfolded batch norms computes', async () => {
    const weights = trainedLikeWeights(everyBlock);
    const folded = await logits(exportOnnx(everyBlock, weights, 'batch', preprocessing), 3);
    const plain = await logits(unfolded(weights), 3);
    expect(folded).toHaveLength(15);
    const scale = Math.max(...plain.map(Math.abs));
    folded.forEach((value, index) => expect(Math.abs(value - (plain[index] ?? Number.NaN)) / scale).toBeLessThan(1e-5));
  });

  it('holds no batch norm, dropout or identity, and tells how to prepare its input', () => {
    const { metadata, opTypes, graphName } = describeOnnx(
      exportOnnx(everyBlock, trainedLikeWeights(everyBlock), 'batch', preprocessing),
      'file',
    );
    expect(opTypes).not.toContain('BatchNormalization');
    expect(opTypes).not.toContain('Identity');
    expect(graphName).toMatch(/^ridgepoint-[0-9a-f]{12}$/);
    expect(metadata).toMatchObject({
      channel_order: 'RGB',
      mean: '0.4,0.5,0.6',
      std: '0.2,0.2,0.3',
      resize_filter: 'triangle',
      class_names: '["a","b","c","d","e"]',
    });
    expect(parseNetworkSpec(JSON.parse(metadata['spec'] ?? ''), 'metadata')).toEqual(everyBlock);
  });

  it('writes attributes that are 0, without which strict readers find no value', () => {
    const zero = {
      opType: 'Constant',
      name: 'zero',
      inputs: [],
      outputs: ['zero'],
      attributes: { value_float: { float: 0 } },
    };
    const bytes = encodeOnnx({ name: 'zero', inputs: [], outputs: [], nodes: [zero], initializers: [] });
    const field = [(2 << 3) | 5, 0, 0, 0, 0]; // AttributeProto.f, four bytes.
    expect(Buffer.from(bytes).includes(Buffer.from(field))).toBe(true);
  });

  it('names different graphs differently, so that engine caches keep them apart', () => {
    const weights = trainedLikeWeights(everyBlock);
    const name = (batch: number | 'batch') => describeOnnx(exportOnnx(everyBlock, weights, batch), 'file').graphName;
    expect(name(1)).not.toBe(name(8));
  });

  it('is refused with its place when it is not ONNX', () => {
    expect(() => describeOnnx(new TextEncoder().encode('not a model'), 'models/x.onnx')).toThrow(
      /models\/x\.onnx: expected an ONNX model/,
    );
  });
});
