import { totalmem } from 'node:os';
import type { Session, TensorValue } from '../accelerators/accelerator.ts';
import { ConfigError, InfeasibleModelError, InvalidFileError } from '../core/errors.ts';
import { Random } from '../core/random.ts';

/**
 * Constant random inputs of a model's declared shapes, the same for the same declaration.
 * Floats are uniform in [0, 1); integers are 0 or 1, which any embedding table holds; bytes are 0–255.
 * @param batch extent of the symbolic axis `batch`; a model with a fixed batch must be fixed at it.
 * @throws {ConfigError} naming a symbolic axis other than `batch`, or a fixed batch that differs.
 * @param memoryBytes what the inputs must fit; this process's share of the machine by default.
 * @throws {InvalidFileError} for an input type that cannot be filled.
 * @throws {InfeasibleModelError} for inputs larger than that.
 */
export function randomInputs(
  inputs: Session['inputs'],
  batch: number,
  memoryBytes = memoryOfProcess(),
): Readonly<Record<string, TensorValue>> {
  return Object.fromEntries(
    inputs.map((input) => {
      const dims = input.dims.map((extent, axis) => extentOf(input.name, extent, axis, batch));
      const count = dims.reduce((product, extent) => product * extent, 1);
      const bytes = count * (bytesOf[input.dtype] ?? 4);
      if (bytes > memoryBytes)
        throw new InfeasibleModelError(
          `input '${input.name}': expected values that fit in ${memoryBytes} bytes of memory, got [${dims.join(', ')}], ${bytes} bytes`,
          { reason: 'out-of-memory', limit: memoryBytes, observed: bytes },
        );
      return [input.name, fill(input.name, input.dtype, dims, count)];
    }),
  );
}

const bytesOf: Readonly<Record<string, number>> = { float16: 2, int64: 8, uint8: 1, bool: 1 };

/** What the machine has, or the container this runs in is allowed. */
function memoryOfProcess(): number {
  return Math.min(totalmem(), process.constrainedMemory?.() || Infinity);
}

/**
 * An extent of an input as it is run: a symbolic batch filled in, anything else as declared.
 * @throws {ConfigError} as {@link randomInputs} does.
 */
export function extentOf(input: string, extent: number | string, axis: number, batch: number): number {
  if (typeof extent === 'string') {
    if (/^(batch(_?size)?|n)$/i.test(extent)) return batch;
    const axisName = extent === '' ? 'unnamed' : `'${extent}'`;
    throw new ConfigError(
      `input '${input}': expected fixed extents and a symbolic 'batch' only, got the symbolic axis ${axisName} (axis ${axis}); give it a value in the file, e.g. with onnxruntime's make_dynamic_shape_fixed`,
    );
  }
  // A fixed first axis is the batch of every model but the odd scalar table; say so rather than mislabel a latency.
  if (axis === 0 && extent !== batch)
    throw new ConfigError(
      `input '${input}': expected batch ${batch}, got a file whose first axis is fixed at ${extent}`,
    );
  return extent;
}

function fill(name: string, dtype: string, dims: readonly number[], length: number): TensorValue {
  const random = new Random('latency inputs').child(name);
  // Array-like, not iterable: an iterable would be gathered in a list first, many times the size.
  const each = { length };
  switch (dtype) {
    case 'float32':
      return { dtype, dims, data: Float32Array.from(each, () => random.uniform()) };
    case 'float16':
      // Exponent 14 and a random fraction: [0.5, 1).
      return { dtype, dims, data: Uint16Array.from(each, () => 0x3800 | random.integer(1024)) };
    case 'int32':
      return { dtype, dims, data: Int32Array.from(each, () => random.integer(2)) };
    case 'int64':
      return { dtype, dims, data: BigInt64Array.from(each, () => BigInt(random.integer(2))) };
    case 'uint8':
      return { dtype, dims, data: Uint8Array.from(each, () => random.integer(256)) };
    case 'bool':
      return { dtype, dims, data: Uint8Array.from(each, () => random.integer(2)) };
    default:
      throw new InvalidFileError(
        `input '${name}': expected float32, float16, int32, int64, uint8 or bool, got ${dtype}`,
      );
  }
}
