import { Random } from '../../core/random.ts';
import type { ValueRange } from '../../models/affine-quantization.ts';
import type { OnnxModel, OnnxTensor } from '../../models/onnx.ts';

// A network small enough to be computed in integers by hand: a convolution, a rectifier, a depthwise convolution of
// stride 2 that may be negative, mean pooling and a classifier. What is here knows nothing of how files are quantised.

const side = 6;
const channels = 4;
const classes = 3;
const random = new Random('quantized');
const tensor = (name: string, dims: readonly number[], spread: number): OnnxTensor & { data: Float32Array } => ({
  name,
  dims,
  data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => spread * random.normal()),
});
const w1 = tensor('w1', [channels, 2, 3, 3], 0.4);
const b1 = tensor('b1', [channels], 0.3);
const w2 = tensor('w2', [channels, 1, 3, 3], 0.5);
const b2 = tensor('b2', [channels], 0.2);
const w3 = tensor('w3', [channels, classes], 1);
const b3 = tensor('b3', [classes], 0.5);

const window = (group: number, stride: number) => ({
  kernel_shape: { ints: [3, 3] },
  pads: { ints: [1, 1, 1, 1] },
  strides: { ints: [stride, stride] },
  group: { int: group },
});

/** `image` float32 `[1, 2, 6, 6]` → `logits` `[1, 3]`. */
export const tinyNetwork: OnnxModel = {
  name: 'tiny',
  inputs: [{ name: 'image', dtype: 'float32', shape: [1, 2, side, side] }],
  outputs: [{ name: 'logits', dtype: 'float32', shape: [1, classes] }],
  nodes: [
    { opType: 'Conv', name: 'c1', inputs: ['image', 'w1', 'b1'], outputs: ['c1'], attributes: window(1, 1) },
    { opType: 'Relu', name: 'r1', inputs: ['c1'], outputs: ['r1'] },
    { opType: 'Conv', name: 'c2', inputs: ['r1', 'w2', 'b2'], outputs: ['c2'], attributes: window(channels, 2) },
    { opType: 'GlobalAveragePool', name: 'p', inputs: ['c2'], outputs: ['p'] },
    { opType: 'Flatten', name: 'f', inputs: ['p'], outputs: ['f'], attributes: { axis: { int: 1 } } },
    { opType: 'Gemm', name: 'g', inputs: ['f', 'w3', 'b3'], outputs: ['logits'] },
  ],
  initializers: [w1, b1, w2, b2, w3, b3],
};

/** Ranges as a calibration could have found them; the last two tensors take the same values. */
export const tinyRanges: ReadonlyMap<string, ValueRange> = new Map([
  ['image', { lo: -2.1, hi: 2.4 }],
  ['r1', { lo: 0, hi: 4.2 }],
  ['c2', { lo: -3.7, hi: 4.9 }],
  ['p', { lo: -1.3, hi: 2.2 }],
  ['f', { lo: -1.3, hi: 2.2 }],
]);

export const tinyImage: Float32Array = Float32Array.from({ length: 2 * side * side }, () => random.normal());

interface Levels {
  readonly levels: readonly number[];
  readonly scale: number;
  readonly zero: number;
}

const byte = (value: number): number => Math.min(255, Math.max(0, value));

function scaleOf({ lo, hi }: ValueRange): { scale: number; zero: number } {
  const scale = Math.fround((hi - lo) / 255);
  return { scale, zero: byte(Math.round(-lo / scale)) };
}

/** What integers stand for, on the levels of another range. */
function rounded(values: readonly number[], range: ValueRange): Levels {
  const { scale, zero } = scaleOf(range);
  return { scale, zero, levels: values.map((value) => byte(Math.round(value / scale) + zero)) };
}

/** Integer sums of a product with the weights of one output channel, made real. */
function channelSums(
  weights: readonly number[],
  bias: number,
  bits: number,
  inputScale: number,
  sums: (integers: readonly number[]) => readonly number[],
): readonly number[] {
  const level = 2 ** (bits - 1) - 1;
  const scale = Math.fround(Math.max(...weights.map(Math.abs)) / level);
  const integers = weights.map((weight) => Math.round(weight / scale));
  const unit = scale * inputScale;
  return sums(integers).map((sum) => (sum + Math.round(bias / unit)) * unit);
}

function convolved(
  input: Levels,
  inputSide: number,
  [weight, bias]: readonly [Float32Array, Float32Array],
  { groups, stride, bits }: { readonly groups: number; readonly stride: number; readonly bits: number },
): readonly number[] {
  const inputs = input.levels.length / inputSide ** 2 / groups;
  const outSide = Math.ceil(inputSide / stride);
  return Array.from({ length: channels }, (_, out) => {
    const first = groups === 1 ? 0 : out * inputs;
    return channelSums(
      Array.from(weight.slice(out * inputs * 9, (out + 1) * inputs * 9)),
      bias[out] ?? 0,
      bits,
      input.scale,
      (w) =>
        Array.from({ length: outSide ** 2 }, (_, position) => {
          const [top, left] = [Math.floor(position / outSide) * stride - 1, (position % outSide) * stride - 1];
          return w.reduce((sum, weight, tap) => {
            const [y, x] = [top + Math.floor((tap % 9) / 3), left + (tap % 3)];
            if (y < 0 || x < 0 || y >= inputSide || x >= inputSide) return sum;
            const at = (first + Math.floor(tap / 9)) * inputSide ** 2 + y * inputSide + x;
            return sum + weight * ((input.levels[at] ?? 0) - input.zero);
          }, 0);
        }),
    );
  }).flat();
}

function range(name: string): ValueRange {
  return tinyRanges.get(name) as ValueRange;
}

/** Logits of the tiny network in eight-bit integers: Jacob et al. 2018, written out. */
export function tinyLogits(bits: 7 | 8): readonly number[] {
  const image = rounded([...tinyImage], range('image'));
  const first = convolved(image, side, [w1.data, b1.data], { groups: 1, stride: 1, bits });
  const rectified = rounded(
    first.map((value) => Math.max(0, value)),
    range('r1'),
  );
  const second = convolved(rectified, side, [w2.data, b2.data], { groups: channels, stride: 2, bits });
  const { levels, scale, zero } = rounded(second, range('c2'));
  const area = (side / 2) ** 2;
  const means = Array.from({ length: channels }, (_, channel) => {
    const plane = levels.slice(channel * area, (channel + 1) * area);
    return (scale * plane.reduce((sum, level) => sum + level - zero, 0)) / area;
  });
  const pooled = rounded(means, range('p'));
  return Array.from({ length: classes }, (_, column) => {
    const weights = Array.from({ length: channels }, (_, row) => w3.data[row * classes + column] ?? 0);
    return channelSums(weights, b3.data[column] ?? 0, bits, pooled.scale, (w) => [
      w.reduce((sum, weight, row) => sum + weight * ((pooled.levels[row] ?? 0) - pooled.zero), 0),
    ])[0] as number;
  });
}
