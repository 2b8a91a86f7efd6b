/**
 * Numbers of eight bits and what they stand for: value = scale · (q − zeroPoint) (Jacob et al. 2018, "Quantization and
 * Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", eq. 1). Pure arithmetic; the graph is
 * rewritten by `quantize.ts`.
 */

/** Least and greatest value that are represented; what lies outside is clipped to the nearer. */
export interface ValueRange {
  readonly lo: number;
  readonly hi: number;
}

/** Of a whole tensor. `scale` is a float32 above 0, `zeroPoint` an integer from 0 to 255 that stands for exactly 0. */
export interface AffineScale {
  readonly scale: number;
  readonly zeroPoint: number;
}

const activationLevels = 255;
/** A range of 0 alone, of a dead activation, needs some scale; less than the least normal float32 a runtime may flush. */
const leastScale = 2 ** -126;
/** Biases keep clear of the ends of int32, to which sums of products are added. */
const mostBias = 2 ** 30;

/**
 * Unsigned, asymmetric, 256 levels. The range is widened to hold 0, which padding and rectifiers must keep exactly.
 * @param range finite, of one activation over calibration data.
 */
export function activationScale({ lo, hi }: ValueRange): AffineScale {
  const least = Math.min(lo, 0);
  const scale = Math.max(leastScale, Math.fround((Math.max(hi, 0) - least) / activationLevels));
  return { scale, zeroPoint: clamp(Math.round(-least / scale), 0, activationLevels) };
}

/** A tensor of weights in int8, a scale for each channel; the zero point is 0. */
export interface QuantizedWeights {
  readonly data: Int8Array;
  readonly scales: Float32Array;
}

/** The channels of a tensor that is stored row by row. */
export interface ChannelAxis {
  readonly dims: readonly number[];
  readonly axis: number;
}

/**
 * Symmetric, per channel: q = round(w ÷ scale), the greatest magnitude of a channel being the greatest level.
 *
 * With `bits` 7 the levels are −63…63: two products of a uint8 and a 7-bit weight fit the 16 bits in which x86 without
 * VNNI adds them (`vpmaddubsw`), where two of 8 bits saturate.
 * @param leastScales by channel, what its bias needs (see {@link biasScale}).
 */
export function quantizeWeights(
  values: Float32Array,
  { dims, axis }: ChannelAxis,
  leastScales: readonly number[],
  bits: 7 | 8,
): QuantizedWeights {
  const level = 2 ** (bits - 1) - 1;
  const channelOf = channelIndex({ dims, axis });
  const most = new Float64Array(dims[axis] ?? 0);
  for (const [index, value] of values.entries()) {
    const channel = channelOf(index);
    most[channel] = Math.max(most[channel] as number, Math.abs(value));
  }
  const scales = Float32Array.from(most, (magnitude, channel) =>
    Math.max(leastScale, magnitude / level, leastScales[channel] ?? 0),
  );
  const data = Int8Array.from(values, (value, index) =>
    clamp(Math.round(value / (scales[channelOf(index)] as number)), -level, level),
  );
  return { data, scales };
}

function channelIndex({ dims, axis }: ChannelAxis): (index: number) => number {
  const inner = dims.slice(axis + 1).reduce((product, extent) => product * extent, 1);
  const channels = dims[axis] ?? 1;
  return (index) => Math.floor(index / inner) % channels;
}

/**
 * The least scale of a channel's weights with which its bias fits int32. A channel whose weights training has all but
 * removed, after folding a batch norm too, would else ask for a bias of more bits than there are.
 * @param inputScale of the activation that the weights multiply.
 */
export function leastWeightScale(bias: number, inputScale: number): number {
  return Math.abs(bias) / (inputScale * mostBias);
}

/** Biases in int32 with the scale of the sums that they are added to, input scale · weight scale, per channel (Jacob et al. 2018, section 2.4). */
export function quantizeBias(
  bias: Float32Array,
  inputScale: number,
  weightScales: Float32Array,
): { readonly data: Int32Array; readonly scales: Float32Array } {
  const scales = weightScales.map((scale) => Math.max(leastScale, scale * inputScale));
  return { data: Int32Array.from(bias, (value, channel) => Math.round(value / (scales[channel] as number))), scales };
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
