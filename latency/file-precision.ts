import { ConfigError, InvalidFileError } from '../core/errors.ts';
import { type OnnxDataType, readOnnx } from '../models/onnx.ts';
import type { Latency } from './latency.ts';

type Precision = Latency['precision'];

const precisions: Partial<Record<OnnxDataType, Precision>> = {
  float32: 'fp32',
  float16: 'fp16',
  bfloat16: 'bf16',
  int8: 'int8',
  uint8: 'int8',
};

/**
 * The precision a file computes in, read from its weights: the type that most of them have, or its first input's
 * where it has none. A provider may compute otherwise inside: onnxruntime's CPU widens fp16 to fp32.
 * @throws {InvalidFileError} when the bytes are not an ONNX model of types known here.
 */
export function filePrecision(model: Uint8Array): Precision {
  const { constants, inputs } = readOnnx(model, 'model');
  const weights = new Map<Precision, number>();
  for (const { dtype, dims } of constants.values()) {
    const precision = precisions[dtype];
    // Scalars are parameters of operators.
    if (precision && dims.length > 0) weights.set(precision, (weights.get(precision) ?? 0) + product(dims));
  }
  const [most] = [...weights].toSorted(([, a], [, b]) => b - a);
  return most?.[0] ?? precisions[inputs[0]?.dtype ?? 'float32'] ?? 'fp32';
}

function product(extents: readonly number[]): number {
  return extents.reduce((result, extent) => result * extent, 1);
}

/**
 * The precision of a measurement on an onnxruntime provider: the file's, for providers convert nothing. fp32 for
 * files that only the runtime reads; it tells what is wrong with those that nothing does.
 * @throws {ConfigError} when another one is asked for.
 */
export function precisionOn(provider: string, model: Uint8Array, asked: Precision | undefined): Precision {
  const precision = readable(model) ?? 'fp32';
  if (asked !== undefined && asked !== precision) throw new ConfigError(precisionRefusal(provider, precision, asked));
  return precision;
}

function readable(model: Uint8Array): Precision | undefined {
  try {
    return filePrecision(model);
  } catch (error) {
    if (error instanceof InvalidFileError) return undefined;
    throw error;
  }
}

/**
 * Precisions that our own networks are exported in for an onnxruntime provider: a file's types decide what it computes
 * in. fp16 where a provider lacks it is found out by asking for it: it may be refused, or run slower than fp32.
 */
export function exportedPrecisions(provider: string): readonly Precision[] {
  return provider === 'tensorrt' ? ['fp32'] : ['fp32', 'fp16'];
}

/** Why a provider cannot be asked for a precision that is not its file's, and what can. */
export function precisionRefusal(provider: string, precision: Precision, asked: Precision): string {
  const refusal = `expected ${precision} on ${provider}, got ${asked}`;
  if (provider === 'tensorrt')
    return `${refusal}: through onnxruntime-node TensorRT takes a device id only, no precision flag and no engine cache; measure ${asked} with trtexec as a command target (examples/commands)`;
  return `${refusal}: a provider runs a file as it is, and networks are exported in fp32 or fp16; for ${asked} measure a file that is ${asked} itself, or use a command target`;
}
