import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { elements } from '../../models/graph.ts';
import { encodeOnnx, type OnnxValue } from '../../models/onnx.ts';

// What the machine gives any program: work that is bound by one thing alone.

const side = 1024;
const count = 2 ** 24;

/** A product of two square matrices; adding two tensors of 64 MiB and then adding up all of the result. */
export const limits = {
  arithmetic: { dims: [side, side], resultDims: [side, side], operators: ['MatMul'], amount: 2 * side ** 3 },
  // Reduced, because a new output a run would be a measure of page faults.
  memory: { dims: [count], resultDims: [1], operators: ['Add', 'ReduceSum'], amount: 4 * 4 * count },
} as const satisfies Readonly<Record<string, Limit>>;
export type LimitId = keyof typeof limits;

interface Limit {
  readonly dims: readonly number[];
  readonly resultDims: readonly number[];
  /** The first on two tensors of the same extents, each later one on what came before. */
  readonly operators: readonly string[];
  /** Floating-point operations, or bytes read and written, of a run. */
  readonly amount: number;
}

const value = (name: string, shape: readonly number[]): OnnxValue => ({ name, dtype: 'float32', shape });

/** Opens such work. @returns how to run it once, and how to end. */
export async function openLimit(
  id: LimitId,
  threads: number,
): Promise<{ readonly run: () => Promise<void>; readonly close: () => Promise<void> }> {
  const { dims, resultDims, operators }: Limit = limits[id];
  const model = encodeOnnx({
    name: id,
    inputs: [value('a', dims), value('b', dims)],
    outputs: [value(operators.at(-1) as string, resultDims)],
    nodes: operators.map((opType, index) => {
      const inputs = index === 0 ? ['a', 'b'] : [operators[index - 1] as string];
      return { opType, name: opType, inputs, outputs: [opType] };
    }),
    initializers: [],
  });
  const session = await onnxRuntimeAccelerator('cpu').open(model, { threads });
  const fed = { dtype: 'float32' as const, dims, data: new Float32Array(elements(dims)).fill(0.5) };
  return { run: async () => void (await session.run({ a: fed, b: fed })), close: () => session.close() };
}
