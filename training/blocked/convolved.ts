import { type ConvGeometry, convGeometry, type TrainingNodeOf } from '../training-graph.ts';
import type { BlockedGraph, Fusion } from './graph.ts';

/** A convolution of the input, with a bias of one value an output channel. */
export type Convolve = (options: Fusion & { readonly bias?: string }) => string;

/** How a convolution is bound. */
export interface Convolved {
  /** Its weights as kernels of a blocked convolution of one example. */
  readonly kernels: string;
  readonly group?: number;
  readonly convolve: Convolve;
  /** Whether `convolve` may add and activate, which is then left to the output's reader. */
  readonly fuses?: boolean;
  /** Whether the input is taken as it is fed, `[n, c, h, w]`, and not in blocks. */
  readonly asFed?: boolean;
}

/**
 * Binds a convolution's output. What only batch norms read is made less a constant a channel that is near
 * its mean: what the weights make of the mean of the input's first example. A norm is blind to the
 * constant, and sums of squares of values near 0 keep their digits, at a fraction of what centring all
 * values would cost.
 */
export function bindConvolved(
  node: TrainingNodeOf<'conv'>,
  graph: BlockedGraph,
  { kernels, group = 1, convolve, fuses = false, asFed = false }: Convolved,
): void {
  const [x, weight, bias] = node.inputs as [string, string, string | undefined];
  const [y] = node.outputs as [string];
  const given = bias === undefined ? {} : { bias: graph.blocked(bias) };
  if (!graph.isOnlyNormed(y))
    return fuses
      ? graph.bindDeferred(y, (fusion) => convolve({ ...fusion, ...given }))
      : graph.bindBlocked(y, convolve(given));
  const g = convGeometry(graph.shape(x), graph.shape(weight), graph.shape(y), node.attributes);
  const window = asFed ? minusMeanWindowAsFed(graph, x, g) : minusMeanWindow(graph, x, g);
  const less = graph.conv(window, kernels, group === 1 ? {} : { group });
  const constant = graph.op('Neg', [less]);
  const offset = bias === undefined ? constant : graph.op('Add', [graph.blocked(bias), constant]);
  graph.bindAffine(y, { value: convolve({ bias: less }), offset, per: 'channel' });
}

/**
 * By tap of the kernel, minus the share of windows in which it lies on a pixel and not on padding: times a
 * constant image, minus the mean of all its windows.
 */
function minusCoverage(g: ConvGeometry): Float32Array {
  const inside = (tap: number, before: number, extent: number, outExtent: number): number => {
    const pixels = Array.from({ length: outExtent }, (_, out) => out * g.stride + tap - before);
    return pixels.filter((pixel) => pixel >= 0 && pixel < extent).length / outExtent;
  };
  return Float32Array.from({ length: g.kernelHeight * g.kernelWidth }, (_, tap) => {
    const [row, column] = [Math.floor(tap / g.kernelWidth), tap % g.kernelWidth];
    return -inside(row, g.pads[0], g.height, g.outHeight) * inside(column, g.pads[1], g.width, g.outWidth);
  });
}

/** Minus the mean window, `[1, c, kh, kw]`, of an image that is the mean of x's first example everywhere. */
function minusMeanWindow(graph: BlockedGraph, x: string, g: ConvGeometry): string {
  const means = graph.once(`mean of the first of ${x}`, () => graph.meanOfFirst(x));
  const coverage = minusCoverage(g);
  if (coverage.length === 1) return graph.op('Mul', [means, graph.scalar(coverage[0] as number)]);
  const taps = graph.floats(`coverage ${coverage.join()}`, [coverage.length, 1], () => coverage);
  const window = graph.op('Mul', [graph.view(means, [graph.blocks(x), 1, graph.block]), taps]);
  return graph.view(window, [1, graph.channels(x), g.kernelHeight, g.kernelWidth]);
}

/** The same of the image as it is fed. */
function minusMeanWindowAsFed(graph: BlockedGraph, x: string, g: ConvGeometry): string {
  const first = graph.op('Slice', [x, graph.ints([0]), graph.ints([1]), graph.ints([0])]);
  const coverage = minusCoverage(g);
  const kernel = [1, 1, g.kernelHeight, g.kernelWidth];
  const taps = graph.floats(`coverage ${coverage.join()} as fed`, kernel, () => coverage);
  return graph.op('Mul', [graph.op('GlobalAveragePool', [first]), taps]);
}
