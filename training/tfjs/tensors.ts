import type * as tfc from '@tensorflow/tfjs-core';
import type { TensorValue } from '../../accelerators/accelerator.ts';
import type { Parameter, Weights } from '../../models/graph.ts';
import { channelsLast, type Known } from './forward.ts';
import type { TensorFlow } from './load.ts';

/** A session's feeds as tensors, pictures and their masks channel-last. */
export function fedTensors(tf: TensorFlow, feeds: Readonly<Record<string, TensorValue>>): Known {
  const tensors = Object.entries(feeds).map(([name, { data, dims }]): [string, tfc.Tensor] => {
    const tensor =
      data instanceof BigInt64Array
        ? tf.tensor(Int32Array.from(data, Number), [...dims], 'int32')
        : tf.tensor(data as Float32Array, [...dims]);
    return [name, channelsLast(tf, tensor)];
  });
  return new Map(tensors);
}

/** Parameters as they are stored. */
export function parameterTensors(tf: TensorFlow, parameters: readonly Parameter[], weights: Weights): Known {
  return new Map(parameters.map(({ name, shape }) => [name, tf.tensor(weights.get(name) as Float32Array, [...shape])]));
}

/** Values of a float32 tensor, row-major in its own layout. */
export function valuesOf(tensor: tfc.Tensor): Float32Array {
  return tensor.dataSync<'float32'>();
}

/** `tidy` for what is no tensor: frees every tensor that `compute` makes, whatever it ends by. */
export function scoped<Result>(tf: TensorFlow, compute: () => Result): Result {
  tf.engine().startScope();
  try {
    return compute();
  } finally {
    tf.engine().endScope();
  }
}
