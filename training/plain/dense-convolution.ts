import { type ConvGeometry, convGeometry, type TrainingNodeOf } from '../training-graph.ts';
import type { PlainGraph } from './graph.ts';

// Convolutions over all channels or groups of several: 1×1 ones are matrix products, wider and grouped
// ones onnxruntime's `Conv` on *one* image in which the examples stand one below the other, far enough
// apart not to meet.

/** Whether the convolution is a matrix product over channels. */
export function isPointwise(g: ConvGeometry): boolean {
  return (
    g.groups === 1 && g.kernelHeight === 1 && g.kernelWidth === 1 && g.stride === 1 && g.pads.every((pad) => pad === 0)
  );
}

/** y = w · x (+ b), `[o, c]` by `[c, m]`. */
export function lowerPointwise(node: TrainingNodeOf<'conv'>, plain: PlainGraph): void {
  const [x, weight, bias] = node.inputs as [string, string, string | undefined];
  const [y] = node.outputs as [string];
  const [out, channels] = plain.shape(weight) as [number, number];
  const matrix = plain.view(plain.value(weight), [out, channels]);
  const operands = [matrix, plain.value(x)];
  if (bias) operands.push(plain.view(plain.value(bias), [out, 1]));
  plain.bind(y, plain.op(bias ? 'Gemm' : 'MatMul', operands));
}

/** dx = wᵀ · dy */
export function lowerPointwiseInputGradient(node: TrainingNodeOf<'conv-input-gradient'>, plain: PlainGraph): void {
  const [dy, weight] = node.inputs as [string, string];
  const [out, channels] = plain.shape(weight) as [number, number];
  const matrix = plain.view(plain.value(weight), [out, channels]);
  plain.bind(node.outputs[0] as string, plain.matMul(matrix, plain.value(dy), { transA: 1 }));
}

/** dw = dy · xᵀ */
export function lowerPointwiseWeightGradient(node: TrainingNodeOf<'conv-weight-gradient'>, plain: PlainGraph): void {
  const [x, dy] = node.inputs as [string, string];
  plain.bind(node.outputs[0] as string, plain.matMul(plain.value(dy), plain.value(x), { transB: 1 }));
}

/** Rows each example takes in the tall image: all that its outputs read, and a multiple of the stride. */
function pitchOf(g: ConvGeometry): { pitch: number; outPitch: number } {
  const read = Math.max((g.outHeight - 1) * g.stride + g.spanHeight, g.pads[0] + g.height);
  const outPitch = Math.ceil(read / g.stride);
  return { pitch: outPitch * g.stride, outPitch };
}

/** `[c, n·h·w]` → `[1, c, n·pitch, w]`, each example preceded by `above` zero rows. */
function stack(
  plain: PlainGraph,
  value: string,
  [channels, batch, height, width]: readonly [number, number, number, number],
  above: number,
  pitch: number,
): string {
  let rows = plain.view(value, [channels * batch, height * width]);
  const below = pitch - above - height;
  if (above + below > 0) rows = plain.op('Pad', [rows, plain.ints([0, above * width, 0, below * width])]);
  return plain.view(rows, [1, channels, batch * pitch, width]);
}

/** The inverse of {@link stack}: rows `above` … `above + height` of each example, flat. */
function unstack(
  plain: PlainGraph,
  image: string,
  [channels, batch, height, width]: readonly [number, number, number, number],
  above: number,
  pitch: number,
): string {
  let rows = plain.view(image, [channels * batch, pitch * width]);
  const ends = [plain.ints([above * width]), plain.ints([(above + height) * width]), plain.ints([1])];
  if (pitch !== height) rows = plain.op('Slice', [rows, ...ends]);
  return plain.view(rows, [channels, batch * height * width]);
}

/** Rows past the last example, so that the tall image yields exactly `n · outPitch` rows. */
function overhang(g: ConvGeometry): number {
  return Math.max(0, g.spanHeight - g.stride);
}

/** Wider kernels and groups, forward. */
export function lowerDenseConv(node: TrainingNodeOf<'conv'>, plain: PlainGraph): void {
  const [x, weight, bias] = node.inputs as [string, string, string | undefined];
  const [y] = node.outputs as [string];
  const g = convGeometry(plain.shape(x), plain.shape(weight), plain.shape(y), node.attributes);
  const { pitch, outPitch } = pitchOf(g);
  const [top, left, , right] = g.pads;
  const image = stack(plain, plain.value(x), [g.inChannels, g.batch, g.height, g.width], top, pitch);
  const operands = [image, plain.view(plain.value(weight), plain.shape(weight))];
  if (bias) operands.push(plain.value(bias));
  const convolved = plain.op('Conv', operands, {
    ...kernelAttributes(g),
    strides: [g.stride, g.stride],
    pads: [0, left, overhang(g), right],
  });
  plain.bind(y, unstack(plain, convolved, [g.outChannels, g.batch, g.outHeight, g.outWidth], 0, outPitch));
}

/** The adjoint of the forward pass step by step: pad dy to its pitch, transposed convolution, cut the rows out. */
export function lowerDenseInputGradient(node: TrainingNodeOf<'conv-input-gradient'>, plain: PlainGraph): void {
  const [dy, weight] = node.inputs as [string, string];
  const [dx] = node.outputs as [string];
  const g = convGeometry(plain.shape(dx), plain.shape(weight), plain.shape(dy), node.attributes);
  const { pitch, outPitch } = pitchOf(g);
  const [top, left, , right] = g.pads;
  const image = stack(plain, plain.value(dy), [g.outChannels, g.batch, g.outHeight, g.outWidth], 0, outPitch);
  const weights = plain.view(plain.value(weight), plain.shape(weight));
  const spread =
    g.stride === 1
      ? flippedConv(plain, image, weights, g)
      : plain.op('ConvTranspose', [image, weights], {
          ...kernelAttributes(g),
          strides: [g.stride, g.stride],
          pads: [0, left, overhang(g), right],
          // Input columns (and rows) that no output reads: the stride stepped past them.
          output_padding: [
            Math.max(0, g.stride - g.spanHeight),
            g.width + left + right - ((g.outWidth - 1) * g.stride + g.spanWidth),
          ],
        });
  plain.bind(dx, unstack(plain, spread, [g.inChannels, g.batch, g.height, g.width], top, pitch));
}

/** At stride 1 a transposed convolution is a convolution by the kernel turned about, which is faster. */
function flippedConv(plain: PlainGraph, image: string, weights: string, g: ConvGeometry): string {
  const [, left, , right] = g.pads;
  const taps = g.kernelHeight * g.kernelWidth;
  const [outPerGroup, inPerGroup] = [g.outChannels / g.groups, g.inChannels / g.groups];
  const grouped = plain.view(weights, [g.groups, outPerGroup, inPerGroup, taps]);
  const reversed = plain.ints(Array.from({ length: taps }, (_, tap) => taps - 1 - tap));
  const flipped = plain.op('Gather', [grouped, reversed], { axis: 3 });
  const turned = plain.op('Transpose', [flipped], { perm: [0, 2, 1, 3] });
  const kernel = plain.view(turned, [g.inChannels, outPerGroup, g.kernelHeight, g.kernelWidth]);
  return plain.op('Conv', [image, kernel], {
    ...kernelAttributes(g),
    pads: [g.spanHeight - 1, g.spanWidth - 1 - left, 0, g.spanWidth - 1 - right],
  });
}

/**
 * dw: x's channels as images, dy as the kernel over the batch. What is a stride forward dilates that
 * kernel, and what is a dilation is its stride; the outputs are the taps. Of a group's channels each
 * is an image, and the groups lie side by side.
 */
export function lowerDenseWeightGradient(node: TrainingNodeOf<'conv-weight-gradient'>, plain: PlainGraph): void {
  const [x, dy] = node.inputs as [string, string];
  const [dw] = node.outputs as [string];
  const g = convGeometry(plain.shape(x), plain.shape(dw), plain.shape(dy), node.attributes);
  const kernels = plain.view(plain.value(dy), [g.outChannels, g.batch, g.outHeight, g.outWidth]);
  const taps = plain.op('Conv', [groupImages(plain, plain.value(x), g), kernels], {
    kernel_shape: [g.outHeight, g.outWidth],
    dilations: [g.stride, g.stride],
    strides: [g.dilation, g.dilation],
    pads: g.pads,
    group: g.groups,
  });
  const [kh, kw] = [g.kernelHeight, g.kernelWidth];
  const positions = (extent: number, out: number): number =>
    Math.floor((extent - (out - 1) * g.stride - 1) / g.dilation) + 1;
  const hasExtra =
    positions(g.height + g.pads[0] + g.pads[2], g.outHeight) > kh ||
    positions(g.width + g.pads[1] + g.pads[3], g.outWidth) > kw;
  const kept = hasExtra
    ? plain.op('Slice', [taps, plain.ints([0, 0]), plain.ints([kh, kw]), plain.ints([2, 3])])
    : taps;
  plain.bind(dw, plain.op('Transpose', [kept], { perm: [1, 0, 2, 3] }));
}

/** `[c, n·h·w]` as `[c ÷ groups, groups · n, h, w]`. */
function groupImages(plain: PlainGraph, x: string, g: ConvGeometry): string {
  const perGroup = g.inChannels / g.groups;
  const rows = plain.view(x, [g.groups, perGroup, g.batch * g.height * g.width]);
  const images = g.groups === 1 ? x : plain.op('Transpose', [rows], { perm: [1, 0, 2] });
  return plain.view(images, [perGroup, g.groups * g.batch, g.height, g.width]);
}

/** Attributes of the convolution and of its adjoint. */
function kernelAttributes(g: ConvGeometry) {
  return {
    kernel_shape: [g.kernelHeight, g.kernelWidth],
    dilations: [g.dilation, g.dilation],
    group: g.groups,
  };
}
