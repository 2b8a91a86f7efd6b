import type { TensorValue } from '../accelerators/accelerator.ts';
import { InvalidFileError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import { imageInput } from '../models/build.ts';
import { tokensInput } from '../models/build-transformer.ts';
import type { StoredWeights } from '../models/safetensors.ts';
import { isTransformer, type ModelSpec } from '../models/transformer.ts';
import { infer } from './infer.ts';

/**
 * Largest difference of a logit, relative to the largest expected one, that two implementations of one network may have, by
 * what they compute in. In fp32 they differ by the order in which they sum: by 3e-6 in most networks that were compared, by
 * 1e-4 in one whose random weights amplify rounding. GPUs keep 10 bits of a product's fraction (TF32), fp16 as many of
 * everything: 8e-4 and 2e-3. In int8 the last bit of a sum may move an activation by a whole step: 4.5e-2 between the
 * runtime's fused kernels and its plain ones. The mildest mistake that was tried, another ε in the batch norms, moves a
 * logit by 2.4e-3 (docs/handover.md).
 */
export const parityTolerances = { fp32: 1e-3, tf32: 5e-3, fp16: 1e-2, int8: 1e-1 } as const;

/** Pictures in a parity file; sequences of a transformer. */
const examples = 4;
const sequences = 2;

/** Name of the one input that a network has. */
export function inputName(spec: ModelSpec): string {
  return isTransformer(spec) ? tokensInput : imageInput;
}

/**
 * Inputs of a network as it takes them, the same for the same shape: standard normal pictures, as normalised ones are, or
 * random tokens. They are drawn, not taken from the data: what is handed over may go where the data may not.
 */
export function parityInput(spec: ModelSpec): TensorValue {
  const random = new Random('parity');
  if (isTransformer(spec)) {
    const data = BigInt64Array.from({ length: sequences * spec.context }, () =>
      BigInt(random.integer(spec.vocabulary)),
    );
    return { dtype: 'int64', dims: [sequences, spec.context], data };
  }
  const { channels, resolution } = spec.input;
  const dims = [examples, channels, resolution, resolution];
  return {
    dtype: 'float32',
    dims,
    data: Float32Array.from({ length: examples * channels * resolution ** 2 }, () => random.normal()),
  };
}

/** Inputs and the logits that a file gives of them, as tensors `image` or `tokens` (as float32) and `logits`. */
export interface ParityVectors {
  readonly input: TensorValue;
  readonly logits: Float32Array;
  /** Of the logits. */
  readonly dims: readonly number[];
  readonly tolerance: number;
}

/**
 * What an ONNX file computes of a network's {@link parityInput} on the CPU.
 * @param model bytes of the network's ONNX file.
 */
export async function parityVectors(
  model: Uint8Array,
  spec: ModelSpec,
  precision: keyof typeof parityTolerances,
  signal?: AbortSignal,
): Promise<ParityVectors> {
  const input = parityInput(spec);
  const request = { model, input: inputName(spec), value: input, accelerator: 'cpu' } as const;
  return { input, ...(await infer(request, signal)), tolerance: parityTolerances[precision] };
}

/** As a safetensors file holds them: float32 throughout, which is exact for tokens below 2²⁴. */
export function storedParity(spec: ModelSpec, { input, logits, dims, tolerance }: ParityVectors): StoredWeights {
  const name = inputName(spec);
  const values = input.data instanceof Float32Array ? input.data : Float32Array.from(input.data, Number);
  return {
    weights: new Map([
      [name, values],
      ['logits', logits],
    ]),
    shapes: new Map([
      [name, input.dims],
      ['logits', dims],
    ]),
    metadata: { tolerance: String(tolerance), 'tolerance-of': 'largest difference ÷ largest |logit|' },
  };
}

/** Parity vectors of pictures from a file. @throws {InvalidFileError} when tensors or the tolerance are missing in it. */
export function readParity({ weights, shapes, metadata }: StoredWeights, where: string): ParityVectors {
  const [image, logits] = [weights.get(imageInput), weights.get('logits')];
  const [imageDims, dims] = [shapes.get(imageInput), shapes.get('logits')];
  const tolerance = Number(metadata['tolerance']);
  if (!image || !logits || !imageDims || !dims || !(tolerance > 0))
    throw new InvalidFileError(
      `${where}: expected tensors ${imageInput} and logits and a tolerance, got ${[...weights.keys()].join(', ') || 'none'}`,
    );
  return { input: { dtype: 'float32', dims: imageDims, data: image }, logits, dims, tolerance };
}

/** Largest difference by the largest expected logit; NaN where the two are of different lengths. */
export function relativeDifference(expected: Float32Array, got: Float32Array): number {
  if (expected.length !== got.length) return Number.NaN;
  let [difference, largest] = [0, 0];
  for (const [index, value] of expected.entries()) {
    largest = Math.max(largest, Math.abs(value));
    difference = Math.max(difference, Math.abs(value - (got[index] as number)));
  }
  return difference / largest;
}
