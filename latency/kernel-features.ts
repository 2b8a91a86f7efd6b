import type { Kernel, KernelProgram } from '../models/kernels.ts';
import { blockedSuffix } from '../models/onnxruntime-kernels.ts';

/** What a kernel's time is learned from. */
export interface KernelFeatures {
  /** Kernels of one group share a model: operator, layout, and what kind of convolution or broadcast it is. */
  readonly group: string;
  /** Those of padded channels among them. */
  readonly macs: number;
  /** Activations read and written, and weights. */
  readonly bytes: number;
  /** Logarithms of extents, and what is fused; the same order in every group. */
  readonly x: readonly number[];
}

const elements = (dims: readonly number[]): number => dims.reduce((product, extent) => product * extent, 1);
/** So that a model's points are the same numbers in a file of text. */
const rounded = (value: number): number => Math.round(value * 1e4) / 1e4;
const log = (value: number): number => Math.log(Math.max(1, value));

/** Names of the entries of {@link KernelFeatures.x}. */
export const featureNames = [
  'batch',
  'plane',
  'row',
  'channels in',
  'channels out',
  'window',
  'stride',
  'bytes',
  'weights',
  'exponential',
  'piecewise',
  'adds',
  'unfilled channels',
  'unfilled pixels',
  'network bytes',
] as const;

/** Tiles that the runtime's blocked kernels compute at a time: so many blocks of 16 channels at so many pixels. */
const tile = { channels: 64, pixels: 6 };
const unfilled = (count: number, size: number): number =>
  Math.log((Math.ceil(count / size) * size) / Math.max(1, count));

const bytesMoved = ({ reads, writes, weightElements }: Kernel): number =>
  4 * ([...reads, ...writes].reduce((sum, traffic) => sum + traffic.elements, 0) + weightElements);

const exponential = new Set(['Sigmoid', 'Tanh', 'QuickGelu']);

/**
 * Features of a program's kernels, in its order. What the whole network moves is one of each kernel's: in a small one
 * weights are still in a cache from the run before.
 * @throws {RangeError} for a kernel that is not a runtime's own.
 */
export function programFeatures(program: KernelProgram): readonly KernelFeatures[] {
  const networkBytes = program.kernels.reduce((sum, kernel) => sum + bytesMoved(kernel), 0);
  return program.kernels.map((kernel) => kernelFeatures(kernel, networkBytes));
}

function kernelFeatures(kernel: Kernel, networkBytes: number): KernelFeatures {
  const { runtime } = kernel;
  if (!runtime) throw new RangeError(`${kernel.name}: expected a runtime's own kernel, got one of generic fusion`);
  const { operator, isBlocked, inputs, output, activation, adds } = runtime;
  const [batch = 1, channels = 1, ...plane] = output;
  const weight = kernel.products ? (inputs[1] ?? []) : [];
  const bytes = bytesMoved(kernel);
  const source = inputs[0] ?? [];
  const x = [
    log(batch),
    log(elements(plane)),
    log(plane.at(-1) ?? 1),
    log(kernel.products ? (weight[weight.length === 4 ? 1 : 0] ?? 1) : (source[1] ?? 1)),
    log(channels),
    log(elements(weight.slice(2))),
    log(elements(source.slice(2)) / Math.max(1, elements(plane))),
    log(bytes),
    log(kernel.weightElements),
    activation !== undefined && exponential.has(activation) ? 1 : 0,
    activation !== undefined && !exponential.has(activation) ? 1 : 0,
    adds ? 1 : 0,
    weight.length === 4 ? unfilled(channels, tile.channels) : 0,
    weight.length === 4
      ? unfilled(kernel.kind === 'pointwise' ? elements(plane) : (plane.at(-1) ?? 1), tile.pixels)
      : 0,
    log(networkBytes),
  ];
  // Padding is computed like everything else.
  const macs = weight.length === 4 ? elements(output) * elements(weight.slice(1)) : kernel.macs;
  return { group: groupOf(kernel, operator, isBlocked), macs, bytes, x: x.map(rounded) };
}

function groupOf({ kind, runtime }: Kernel, operator: string, isBlocked: boolean): string {
  const layout = isBlocked ? ' blocked' : '';
  const [first = [], second] = runtime?.inputs ?? [];
  if (operator === 'Conv' || operator === 'FusedConv') {
    // The first convolution, and others of few channels, read images as they are.
    const source = isBlocked && !runtime?.reads[0]?.endsWith(blockedSuffix) ? ' from planes' : '';
    return `Conv ${kind}${layout}${source}`;
  }
  const isBroadcast = second !== undefined && second.length > 0 && elements(second) !== elements(first);
  return `${operator.replace(/^Fused/, '')}${layout}${isBroadcast && !/Gemm|MatMul|Concat/.test(operator) ? ' broadcast' : ''}`;
}
