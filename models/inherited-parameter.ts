import type { Random } from '../core/random.ts';

/**
 * Of every channel of a tensor, the channel that it equals in a smaller network. Channels of one origin are copies of each
 * other, the first of them the channel itself.
 */
export type Origins = Int32Array;

/** The channels in order, and again from the first until there are enough: each is copied as often as the next, or once more. */
export function widened(from: number, to: number): Origins {
  return Int32Array.from({ length: to }, (_, channel) => channel % from);
}

/** Of every channel, how many have its origin, itself included. */
export function copiesOf(origins: Origins): Int32Array {
  const copies = new Map<number, number>();
  for (const origin of origins) copies.set(origin, (copies.get(origin) ?? 0) + 1);
  return origins.map((origin) => copies.get(origin) as number);
}

/** Where a parameter keeps the value of (output, input, tap): at output · outputStride + input · inputStride + tap. */
export interface ParameterLayout {
  readonly outputs: number;
  /** Of one output: all channels that come in, or those of its group. */
  readonly inputs: number;
  /** Of the kernel. */
  readonly taps: number;
  readonly outputStride: number;
  readonly inputStride: number;
}

/** A parameter of a network that grew out of a smaller one, as made from the smaller one's. */
export interface InheritedParameter {
  readonly from: ParameterLayout;
  readonly to: ParameterLayout;
  readonly outputs: Origins;
  /** Of the inputs of every group of outputs, one after the other, counted within the origin's group. */
  readonly inputs: readonly Origins[];
}

/** Noise by which copies cease to be equal: each value of a copy times 1 + `deviation` · z, z standard normal. */
export interface CopyNoise {
  readonly deviation: number;
  readonly random: Random;
}

/**
 * Values for which the larger network computes what the smaller does: those of the origins, divided by the copies of the
 * input, so that the copies together weigh what it weighed. Linear in the values, noise included.
 * @param noise of all copies but the first; without it the function stays exactly.
 * @see Chen, Goodfellow & Shlens (2016), "Net2Net", algorithm 1. We differ: channels are copied in turn where they draw
 * which to copy, and noise is relative to each value.
 */
export function inheritedValues(parameter: InheritedParameter, values: Float32Array, noise?: CopyNoise): Float32Array {
  const grown = gather(parameter, values, (_output, inputCopies) => inputCopies);
  if (noise) addNoise(parameter, grown, noise);
  return grown;
}

/**
 * Gradients, or what is made of them: the larger network's are the smaller one's divided by the copies of the *output*, each
 * of which moves the loss by its part.
 * @param power of the gradient that the values are of: 2 of its square.
 */
export function inheritedGradients(
  parameter: InheritedParameter,
  gradients: Float32Array,
  power: number,
): Float32Array {
  const copies = copiesOf(parameter.outputs);
  return gather(parameter, gradients, (output) => (copies[output] as number) ** power);
}

/** @param divisorOf what the value of an output and an input with so many copies is divided by. */
function gather(
  { from, to, outputs, inputs }: InheritedParameter,
  values: Float32Array,
  divisorOf: (output: number, inputCopies: number) => number,
): Float32Array {
  const grown = new Float32Array(to.outputs * to.inputs * to.taps);
  const copies = inputs.map(copiesOf);
  const perGroup = to.outputs / inputs.length;
  for (let output = 0; output < to.outputs; output++) {
    const group = Math.floor(output / perGroup);
    const [origins, ofInputs] = [inputs[group] as Origins, copies[group] as Int32Array];
    for (let input = 0; input < to.inputs; input++) {
      const start = (outputs[output] as number) * from.outputStride + (origins[input] as number) * from.inputStride;
      const at = output * to.outputStride + input * to.inputStride;
      const divisor = divisorOf(output, ofInputs[input] as number);
      for (let tap = 0; tap < to.taps; tap++) grown[at + tap] = (values[start + tap] as number) / divisor;
    }
  }
  return grown;
}

function addNoise({ to, outputs }: InheritedParameter, values: Float32Array, { deviation, random }: CopyNoise): void {
  const seen = new Set<number>();
  for (let output = 0; output < to.outputs; output++) {
    const origin = outputs[output] as number;
    if (!seen.has(origin)) {
      seen.add(origin);
      continue;
    }
    for (let input = 0; input < to.inputs; input++)
      for (let tap = 0; tap < to.taps; tap++) {
        const at = output * to.outputStride + input * to.inputStride + tap;
        values[at] = (values[at] as number) * (1 + deviation * random.normal());
      }
  }
}
