import { ridgepointVersion } from '../core/version.ts';
import { specDigest } from '../models/spec.ts';
import type { ModelSpec } from '../models/transformer.ts';
import { inDocstring, pythonString } from './python-text.ts';

/** Names of the files that source is handed over with. */
export const sourceFileName = 'model.py';
export const weightsFileName = 'weights.safetensors';
export const parityFileName = 'parity.safetensors';

/** What source is written from. */
export interface SourceOptions {
  /** Whether trained or initial weights lie beside it, with inputs and logits to compare with: then it can check itself. */
  readonly withWeights: boolean;
  /** Largest difference of a logit, relative to the largest; see {@link ./parity.ts}. */
  readonly tolerance: number;
}

/** First lines of a file: what it is, and what it needs. */
export function sourceDocstring(spec: ModelSpec, needs: string): string {
  const name = spec.name === undefined ? 'of a spec' : inDocstring(spec.name);
  return `"""The network ${name}, as Ridgepoint ${ridgepointVersion()} wrote it.

Spec: ${specDigest(spec)}.
Needs ${needs}.
"""`;
}

/** What PyTorch source needs, for people. */
export function torchNeeds({ withWeights }: SourceOptions): string {
  return withWeights ? 'torch, and safetensors to load the weights' : 'torch';
}

/** The imports of PyTorch source. @param usesMath whether Python's own module is among them. */
export function torchImports({ withWeights }: SourceOptions, usesMath = false): string {
  const own = [
    ...(usesMath ? ['import math'] : []),
    ...(withWeights ? ['import sys', 'from pathlib import Path'] : []),
  ];
  const others = [
    'import torch',
    ...(withWeights ? ['from safetensors.torch import load_file'] : []),
    'from torch import Tensor, nn',
    'from torch.nn import functional as F',
  ];
  return [...own, ...(own.length > 0 ? [''] : []), ...others].join('\n');
}

/** Loads the weights beside a file of PyTorch source, whose `expression` is a network with fresh ones. */
export function torchLoad(expression: string, kind: string): string {
  return `def load(weights: str | Path = Path(__file__).with_name(${pythonString(weightsFileName)})) -> ${kind}:
    """The network with the weights that lie beside this file, ready for inference."""
    model = ${expression}
    model.load_state_dict(load_file(weights))
    return model.eval()`;
}

/** The end of a file of PyTorch source: run as a program it compares itself with the ONNX file. @param input of the network, from the tensors of the parity file. */
export function torchCheck(input: string, { tolerance }: SourceOptions): string {
  return `def check() -> float:
    """Largest difference from the logits that the ONNX file of the same weights gave, by the largest of them."""
    expected = load_file(Path(__file__).with_name(${pythonString(parityFileName)}))
    with torch.inference_mode():
        logits = load()(${input})
    return ((logits - expected["logits"]).abs().max() / expected["logits"].abs().max()).item()


${checkProgram(tolerance)}`;
}

/** Runs `check` of a source file; ends with 1 when it finds too much. */
export function checkProgram(tolerance: number): string {
  return `if __name__ == "__main__":
    difference = check()
    print(f"difference {difference:.2e}, tolerance ${tolerance}")
    sys.exit(0 if difference <= ${tolerance} else 1)`;
}
