import { encodeOnnx } from '../models/onnx.ts';
import type { Session, TensorValue } from './accelerator.ts';

/** A convolution of fixed size with constant weights: bytes of its ONNX file, and what to feed it. */
export interface ProbeKernel {
  readonly model: Uint8Array;
  readonly feeds: Readonly<Record<string, TensorValue>>;
}

const ramp = (length: number): Float32Array => Float32Array.from({ length }, (_, index) => ((index % 17) - 8.5) / 16);

/**
 * One 3×3 convolution, stride 1, `channels` in and out, on a `side` × `side` image, batch 1:
 * 9·channels²·side² multiply-accumulates, and the average of each channel. Values are a fixed ramp.
 * The average keeps the output small: outputs past 128 kB are mapped and faulted in anew each run,
 * which made the time of an equal run jump between 0.19 and 0.25 ms.
 */
export function convolutionKernel(channels: number, side: number): ProbeKernel {
  const dims = [1, channels, side, side];
  const model = encodeOnnx({
    name: `convolution-${channels}x${side}`,
    inputs: [{ name: 'x', dtype: 'float32', shape: dims }],
    outputs: [{ name: 'y', dtype: 'float32', shape: [1, channels, 1, 1] }],
    nodes: [
      {
        opType: 'Conv',
        name: 'convolution',
        inputs: ['x', 'w'],
        outputs: ['c'],
        attributes: { kernel_shape: { ints: [3, 3] }, pads: { ints: [1, 1, 1, 1] } },
      },
      { opType: 'GlobalAveragePool', name: 'average', inputs: ['c'], outputs: ['y'] },
    ],
    initializers: [{ name: 'w', dims: [channels, channels, 3, 3], data: ramp(channels * channels * 9) }],
  });
  return { model, feeds: { x: { dtype: 'float32', dims, data: ramp(channels * side * side) } } };
}

/** Runs the kernel once and checks that its output has the right size and is finite. */
export async function runsCorrectly(session: Session, kernel: ProbeKernel): Promise<boolean> {
  const { y } = await session.run(kernel.feeds);
  return (
    y?.data.length === kernel.feeds['x']?.dims[1] && y?.data instanceof Float32Array && y.data.every(Number.isFinite)
  );
}
