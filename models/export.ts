import { digestBytes, digestJson, shortDigest } from '../core/digest.ts';
import { buildNetwork } from './build.ts';
import { foldForInference } from './fold.ts';
import type { Dimension, Graph, Weights } from './graph.ts';
import { inHalfPrecision } from './half.ts';
import { lowerInference } from './lower.ts';
import { encodeOnnx, type OnnxModel } from './onnx.ts';
import { specDigest, type NetworkSpec } from './spec.ts';
import { isTransformer, type ModelSpec } from './transformer.ts';

/** How pixels become the network's input: everything a deployment must repeat exactly. */
export interface Preprocessing {
  readonly channelOrder: 'RGB' | 'grey' | 'as-stored';
  /**
   * How a picture of another shape becomes a square: `centre-crop` (EXIF orientation applied, transparency put on
   * black, the largest centred square), or `stretch`.
   */
  readonly fit: 'centre-crop' | 'stretch';
  /** Per channel, of pixels scaled to [0, 1]: x = (pixel ÷ 255 − mean) ÷ std. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly resizeFilter: string;
  readonly classNames: readonly string[];
}

/** Lowest onnxruntime that loads opset 17 files. */
export const minimumRuntime = 'onnxruntime 1.12';

/**
 * The network as the bytes of an ONNX file for inference: batch norm folded, height and width
 * fixed, input `image` float32 or `tokens` int64, output `logits`. The graph's name is the digest of architecture and
 * weights, so that engine caches never confuse two networks.
 * @param preprocessing stored as metadata, for files that are shipped.
 * @param precision what it computes in; inputs and outputs are float32 in any case.
 */
export function exportOnnx(
  spec: ModelSpec,
  weights: Weights,
  batch: Dimension,
  preprocessing?: Preprocessing,
  precision: 'fp32' | 'fp16' = 'fp32',
): Uint8Array {
  const { graph, weights: folded } = foldForInference({ graph: buildNetwork(spec, batch), weights });
  const digest = specDigest(spec);
  const model: OnnxModel = {
    name: `ridgepoint-${shortDigest(contentDigest(digest, batch, graph, folded))}`,
    inputs: graph.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
    outputs: graph.outputs.map((name) => ({ name, dtype: 'float32', shape: graph.tensors.get(name)?.shape ?? [] })),
    nodes: lowerInference(graph),
    initializers: graph.parameters.map(({ name, shape }) => ({
      name,
      dims: shape,
      data: folded.get(name) as Float32Array,
    })),
    metadata: {
      spec_digest: digest,
      spec: JSON.stringify(spec),
      ...(preprocessing && !isTransformer(spec) && preprocessingMetadata(spec, preprocessing)),
    },
  };
  return encodeOnnx(precision === 'fp16' ? inHalfPrecision(model) : model);
}

/** Of architecture, batch and every weight: seeds of one network are different networks to an engine cache. */
function contentDigest(spec: string, batch: Dimension, graph: Graph, weights: Weights): string {
  const parameters = graph.parameters.map(({ name }) => {
    const { buffer, byteOffset, byteLength } = weights.get(name) as Float32Array;
    return [name, digestBytes(new Uint8Array(buffer, byteOffset, byteLength))];
  });
  return digestJson({ spec, batch, parameters });
}

function preprocessingMetadata(
  spec: NetworkSpec,
  { channelOrder, fit, mean, std, resizeFilter, classNames }: Preprocessing,
) {
  return {
    input: `image float32 [batch, ${spec.input.channels}, ${spec.input.resolution}, ${spec.input.resolution}]`,
    channel_order: channelOrder,
    value_range: 'pixels 0-255 divided by 255, minus mean, divided by std',
    mean: mean.join(','),
    std: std.join(','),
    fit,
    resize_filter: resizeFilter,
    class_names: JSON.stringify(classNames),
    minimum_runtime: minimumRuntime,
  };
}
