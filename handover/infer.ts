import type { TensorValue } from '../accelerators/accelerator.ts';
import type { ProviderId } from '../accelerators/onnxruntime.ts';
import { childEntry, runChild } from '../core/child.ts';

/** What to compute: a network's logits of one input, on an accelerator. */
export interface InferRequest {
  /** An ONNX file's bytes. */
  readonly model: Uint8Array;
  /** The input's name. */
  readonly input: string;
  readonly value: TensorValue;
  readonly accelerator: ProviderId;
  /** Nodes that the provider lacks run on the CPU instead of being refused. */
  readonly allowFallback?: boolean;
}

export interface Inferred {
  readonly dims: readonly number[];
  readonly logits: Float32Array;
}

/** Runs an ONNX file once in a fresh process. @throws {InvalidFileError} when it has other inputs and outputs. */
export async function infer(request: InferRequest, signal?: AbortSignal): Promise<Inferred> {
  const { output } = await runChild<InferRequest, Inferred>({
    entry: childEntry(import.meta.url, './infer-child'),
    input: request,
    ...(signal && { signal }),
  });
  return output;
}
