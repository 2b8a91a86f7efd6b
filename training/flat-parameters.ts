import { elements, type Parameter, type Weights } from '../models/graph.ts';

/**
 * All trainable parameters end to end in one vector: the optimizer is then a handful of nodes over
 * it, where one update a tensor would cost hundreds.
 */
export interface FlatParameters {
  readonly parameters: readonly Parameter[];
  /** Elements of each, in order. */
  readonly sizes: readonly number[];
  readonly length: number;
}

/** Lays parameters out in the order given. */
export function flatParameters(parameters: readonly Parameter[]): FlatParameters {
  const sizes = parameters.map(({ shape }) => elements(shape));
  return { parameters, sizes, length: sizes.reduce((sum, size) => sum + size, 0) };
}

/** @throws {RangeError} when a value is missing or of another size than its parameter. */
export function packParameters({ parameters, sizes, length }: FlatParameters, weights: Weights): Float32Array {
  const vector = new Float32Array(length);
  let offset = 0;
  parameters.forEach(({ name }, index) => {
    const values = weights.get(name);
    const size = sizes[index] as number;
    if (values?.length !== size)
      throw new RangeError(`parameter ${name}: expected ${size} values, got ${values?.length ?? 'none'}`);
    vector.set(values, offset);
    offset += size;
  });
  return vector;
}

/** Copies out of the vector, by name. */
export function unpackParameters(
  { parameters, sizes }: FlatParameters,
  vector: Float32Array,
): Map<string, Float32Array> {
  let offset = 0;
  return new Map(
    parameters.map(({ name }, index) => {
      const start = offset;
      offset += sizes[index] as number;
      return [name, vector.slice(start, offset)];
    }),
  );
}
