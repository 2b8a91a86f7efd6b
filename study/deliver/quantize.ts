import { readFile } from 'node:fs/promises';
import { InvalidFileError } from '../../core/errors.ts';
import type { RangeMethod } from '../../models/activation-range.ts';
import { inHalfPrecision } from '../../models/half.ts';
import { decodeOnnx, encodeOnnx, type OnnxModel } from '../../models/onnx.ts';
import { inInt8 } from '../../models/quantize.ts';
import { activationRanges } from './activation-ranges.ts';
import type { InputNormalisation } from '../evaluation/classifier.ts';

/** What a trained file can be turned into without training it again. */
export const variantPrecisions = ['fp16', 'int8'] as const;
export type VariantPrecision = (typeof variantPrecisions)[number];

/** How a file is quantised to int8; of no consequence for fp16. */
export interface Calibration {
  /** How an activation's range is found; `min-max` by default, which lost nothing that could be told from noise (docs/log.md). */
  readonly method?: RangeMethod;
  /** Training examples that ranges are found on; 512 by default. */
  readonly examples?: number;
  /**
   * Bits of a weight. 7 by default: the file then computes the same on x86 without VNNI, where products of 8 bits
   * saturate, and costs nothing that could be told from noise. With 8, where VNNI, ARM or an accelerator is certain.
   */
  readonly weightBits?: 7 | 8;
}

export interface VariantRequest extends Calibration, InputNormalisation {
  /** A file in float32. */
  readonly modelFile: string;
  /** A prepared data set; of int8 the ranges are found on its training split. */
  readonly dataFile: string;
  readonly precision: VariantPrecision;
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string) => void;
}

/**
 * The bytes of the same network in another precision, its inputs and outputs still float32. Equal files and data give
 * equal bytes.
 * @throws {InvalidFileError} when the file cannot be turned into it. @throws {ConfigError} when it does not fit the data.
 * @throws {InterruptedError} when aborted.
 */
export async function variantOf({
  modelFile,
  precision,
  signal,
  onProgress,
  method = 'min-max',
  examples = 512,
  weightBits = 7,
  ...fed
}: VariantRequest): Promise<Uint8Array> {
  const model = decodeOnnx(await readFile(modelFile), modelFile);
  if (precision === 'fp16') return encodeOnnx(described(inHalfPrecision(singlePrecision(model, modelFile)), 'fp16'));
  const { ranges, examples: seen } = await activationRanges(
    { modelFile, method, examples, ...fed },
    {
      ...(signal && { signal }),
      onProgress: (progress) => onProgress?.(`calibrating, ${progress.seen}/${progress.of} examples`),
    },
  );
  return encodeOnnx(
    described(
      inInt8(model, { ranges, weightBits }),
      `int8 in QDQ form: weights of ${weightBits} bits per channel, activations uint8; ${method} ranges of ${seen} training examples`,
    ),
  );
}

/** @throws {InvalidFileError} when no weight is float32. */
function singlePrecision(model: OnnxModel, where: string): OnnxModel {
  if (model.initializers.some(({ data }) => data instanceof Float32Array)) return model;
  throw new InvalidFileError(`${where}: expected float32 weights to halve, got none stored in the file`);
}

function described(model: OnnxModel, quantization: string): OnnxModel {
  return { ...model, metadata: { ...model.metadata, quantization } };
}
