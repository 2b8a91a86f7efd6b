import type { Accelerator } from '../../accelerators/accelerator.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import { activationLayout, pack } from './layout.ts';

/** Domain of onnxruntime's blocked kernels, which only its CPU provider has. */
export const blockedDomain = 'com.microsoft.nchwc';

/** More channels than any block: a multiple of every candidate. */
const channels = 64;

/**
 * Channels in a block on this machine: a ramp is reordered, and where its second pixel starts is read back.
 * @throws {RidgepointError} when the accelerator lacks the kernels.
 * @throws {RangeError} when the order is none of `[c/B, m, B]`.
 */
export async function detectBlockSize(accelerator: Accelerator): Promise<number> {
  const shape = [1, channels, 1, 2];
  const model = encodeOnnx({
    name: 'block-size',
    inputs: [{ name: 'ramp', dtype: 'float32', shape }],
    outputs: [{ name: 'blocked', dtype: 'float32', shape }],
    nodes: [{ opType: 'ReorderInput', name: 'reorder', domain: blockedDomain, inputs: ['ramp'], outputs: ['blocked'] }],
    initializers: [],
    opsets: { [blockedDomain]: 1 },
  });
  const session = await accelerator.open(model, { threads: 1, optimization: 'disabled' });
  try {
    const ramp = Float32Array.from({ length: channels * 2 }, (_, index) => index);
    const { blocked } = await session.run({ ramp: { dtype: 'float32', dims: shape, data: ramp } });
    const order = blocked?.data as Float32Array;
    const block = order.indexOf(1);
    const expected = block > 1 && channels % block === 0 ? pack(activationLayout(channels, 2, block), ramp) : undefined;
    if (!expected?.every((value, index) => value === order[index]))
      throw new RangeError(`expected channels in blocks, got the order ${[...order.subarray(0, 8)].join(' ')} …`);
    return block;
  } finally {
    await session.close();
  }
}
