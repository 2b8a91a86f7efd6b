import { elements, type Parameter, type Weights } from '../models/graph.ts';

/** A parameter as it is kept during training: perhaps in another order, with zeros between. */
export interface StoredParameter {
  readonly parameter: Parameter;
  /** Elements kept, padding included. */
  readonly size: number;
  /** From the parameter's own order to the stored one; padding is 0. */
  pack(values: Float32Array): Float32Array;
  /** Back; padding is dropped. */
  unpack(stored: Float32Array): Float32Array;
}

/**
 * All trainable parameters end to end in one vector: the optimizer is then a handful of nodes over
 * it, where one update a tensor would cost hundreds.
 */
export interface FlatParameters {
  readonly parameters: readonly StoredParameter[];
  readonly length: number;
}

const asItIs = (parameter: Parameter): StoredParameter => ({
  parameter,
  size: elements(parameter.shape),
  pack: (values) => values,
  unpack: (stored) => stored.slice(),
});

/** Lays parameters out in the order given. @param store how one is kept, where not as it is. */
export function flatParameters(
  parameters: readonly Parameter[],
  store?: (parameter: Parameter) => StoredParameter | undefined,
): FlatParameters {
  const stored = parameters.map((parameter) => store?.(parameter) ?? asItIs(parameter));
  return { parameters: stored, length: stored.reduce((sum, { size }) => sum + size, 0) };
}

/** A vector with one value for all stored elements of a parameter, padding included. */
export function filledVector(
  { parameters, length }: FlatParameters,
  valueOf: (parameter: Parameter) => number,
): Float32Array {
  const vector = new Float32Array(length);
  let offset = 0;
  for (const { parameter, size } of parameters) vector.fill(valueOf(parameter), offset, (offset += size));
  return vector;
}

/** @throws {RangeError} when a value is missing or of another size than its parameter. */
export function packParameters({ parameters, length }: FlatParameters, weights: Weights): Float32Array {
  const vector = new Float32Array(length);
  let offset = 0;
  for (const { parameter, size, pack } of parameters) {
    const values = weights.get(parameter.name);
    const expected = elements(parameter.shape);
    if (values?.length !== expected)
      throw new RangeError(`parameter ${parameter.name}: expected ${expected} values, got ${values?.length ?? 'none'}`);
    vector.set(pack(values), offset);
    offset += size;
  }
  return vector;
}

/** Copies out of the vector, by name. */
export function unpackParameters({ parameters }: FlatParameters, vector: Float32Array): Map<string, Float32Array> {
  let offset = 0;
  return new Map(
    parameters.map(({ parameter, size, unpack }) => {
      const stored = vector.subarray(offset, (offset += size));
      return [parameter.name, unpack(stored)];
    }),
  );
}
