import type { WindowAttributes } from '../../models/graph.ts';
import type { TrainingNodeOf } from '../training-graph.ts';
import type { Lower } from './elementwise.ts';
import type { PlainGraph } from './graph.ts';

// Pools see each plane for itself, so `[c, n·h·w]` may be read as c images of n channels.

/** `[c, n, h·w]` → `[c, n]` */
export const lowerGlobalAveragePool: Lower<'global-average-pool'> = (node, plain) => {
  const [x] = node.inputs as [string];
  plain.bind(node.outputs[0] as string, plain.op('ReduceMean', [plain.planes(x)], { axes: [2], keepdims: 0 }));
};

/** Stays one value a plane; whoever needs it whole has it spread. */
export const lowerGlobalAveragePoolGradient: Lower<'global-average-pool-gradient'> = (node, plain) => {
  const [dy] = node.inputs as [string];
  const [dx] = node.outputs as [string];
  const [batch, channels, height, width] = plain.shape(dx) as [number, number, number, number];
  const share = plain.op('Mul', [plain.value(dy), plain.scalar(1 / (height * width))]);
  plain.bindPerPlane(dx, plain.view(share, [channels, batch, 1]));
};

/** Padding counts neither as a largest value nor in a mean: both operators' own defaults. */
export const lowerPool: Lower<'max-pool' | 'average-pool'> = (node, plain) => {
  const [x] = node.inputs as [string];
  const [y] = node.outputs as [string];
  const opType = node.op === 'max-pool' ? 'MaxPool' : 'AveragePool';
  plain.bind(y, plain.view(plain.op(opType, [images(plain, x)], windowAttributes(node.attributes)), plain.extents(y)));
};

/**
 * Each window's values lie along one axis, in row-major order; ArgMax takes the first of equal ones, and dy goes
 * to the tap that won. A transposed convolution by one-hot kernels then puts every tap where it was read
 * and sums windows that overlap. One window over the whole plane needs neither.
 */
export const lowerMaxPoolGradient: Lower<'max-pool-gradient'> = (node, plain) => {
  const [dy, x] = node.inputs as [string, string];
  const [dx] = node.outputs as [string];
  const { kernel, stride, pads } = node.attributes;
  const [batch, channels, height, width] = plain.shape(x) as [number, number, number, number];
  const [outHeight, outWidth] = plain.shape(dy).slice(2) as [number, number];
  const [planes, taps, outputs] = [channels * batch, kernel * kernel, outHeight * outWidth];
  const isGlobal = kernel === height && kernel === width && pads.every((pad) => pad === 0);

  const values = isGlobal ? plain.view(plain.value(x), [planes, taps, 1]) : windowTaps(node, plain);
  const winner = plain.op('ArgMax', [values], { axis: 1, keepdims: 1 });
  const numbers = plain.ints(
    Array.from({ length: taps }, (_, tap) => tap),
    [taps, 1],
  );
  const gradients = plain.view(plain.value(dy), [planes, 1, outputs]);
  const won = plain.op('Where', [plain.op('Equal', [numbers, winner]), gradients, plain.scalar(0)]);
  if (isGlobal) return plain.bind(dx, plain.view(won, plain.extents(dx)));

  const oneHot = plain.floats(`one-hot ${kernel}`, [taps, 1, kernel, kernel], () =>
    new Float32Array(taps * taps).map((_, index) => (index % (taps + 1) === 0 ? 1 : 0)),
  );
  const [top, left, bottom, right] = pads;
  const spread = plain.op('ConvTranspose', [plain.view(won, [planes, taps, outHeight, outWidth]), oneHot], {
    ...windowAttributes(node.attributes),
    // Rows and columns past the last window.
    output_padding: [
      height + top + bottom - (outHeight - 1) * stride - kernel,
      width + left + right - (outWidth - 1) * stride - kernel,
    ],
  });
  plain.bind(dx, plain.view(spread, plain.extents(dx)));
};

/** x as `[c·n, kernel², oh·ow]`: every value of every window, minus infinity in padding. */
function windowTaps(node: TrainingNodeOf<'max-pool-gradient'>, plain: PlainGraph): string {
  const [dy, x] = node.inputs as [string, string];
  const { kernel, stride, pads } = node.attributes;
  const [top, left, bottom, right] = pads;
  const [batch, channels, outHeight, outWidth] = plain.shape(dy) as [number, number, number, number];
  const around = plain.ints([0, 0, top, left, 0, 0, bottom, right]);
  const padded = plain.op('Pad', [images(plain, x), around, plain.scalar(Number.NEGATIVE_INFINITY)]);
  const taps = Array.from({ length: kernel * kernel }, (_, tap) => {
    const [i, j] = [Math.floor(tap / kernel), tap % kernel];
    const end = [i + (outHeight - 1) * stride + 1, j + (outWidth - 1) * stride + 1];
    const [axes, steps] = [plain.ints([2, 3]), plain.ints([stride, stride])];
    const values = plain.op('Slice', [padded, plain.ints([i, j]), plain.ints(end), axes, steps]);
    return plain.view(values, [channels * batch, 1, outHeight * outWidth]);
  });
  return plain.op('Concat', taps, { axis: 1 });
}

/** Means over windows are means over rows, then over columns: dx = rowsᵀ · dy · columns on every plane. */
export const lowerAveragePoolGradient: Lower<'average-pool-gradient'> = (node, plain) => {
  const [dy] = node.inputs as [string];
  const [dx] = node.outputs as [string];
  const { kernel, stride, pads } = node.attributes;
  const [batch, channels, height, width] = plain.shape(dx) as [number, number, number, number];
  const [outHeight, outWidth] = plain.shape(dy).slice(2) as [number, number];
  const [top, left] = pads;
  const means = (out: number, extent: number, before: number): string =>
    plain.floats(`means ${[out, extent, kernel, stride, before].join()}`, [out, extent], () =>
      windowMeans(out, extent, { kernel, stride, before }),
    );
  const rowsOfDy = plain.view(plain.value(dy), [channels * batch * outHeight, outWidth]);
  const wide = plain.matMul(rowsOfDy, means(outWidth, width, left));
  const planes = plain.view(wide, [channels * batch, outHeight, width]);
  const whole = plain.matMul(means(outHeight, height, top), planes, { transA: 1 });
  plain.bind(dx, plain.view(whole, plain.extents(dx)));
};

/** `[out, extent]`: 1 ÷ (pixels of the window) where a window along one axis has a pixel, else 0. */
function windowMeans(
  out: number,
  extent: number,
  { kernel, stride, before }: { kernel: number; stride: number; before: number },
): Float32Array {
  const means = new Float32Array(out * extent);
  for (let window = 0; window < out; window++) {
    const start = Math.max(0, window * stride - before);
    const end = Math.min(extent, window * stride - before + kernel);
    means.fill(1 / (end - start), window * extent + start, window * extent + end);
  }
  return means;
}

/** A tensor as `[c, n, h, w]`. */
function images(plain: PlainGraph, tensor: string): string {
  const [batch, channels, height, width] = plain.shape(tensor) as [number, number, number, number];
  return plain.view(plain.value(tensor), [channels, batch, height, width]);
}

function windowAttributes({ kernel, stride, pads }: WindowAttributes) {
  return { kernel_shape: [kernel, kernel], strides: [stride, stride], pads };
}
