import type { TrainingNodeOf } from '../training-graph.ts';
import type { BlockedGraph, Fusion } from './graph.ts';

/** A convolution of some examples of its input, `[c/B, n, h·w, B]` or as an image is fed; the bias is `[c]`. */
export type Convolve = (x: string, batch: number, options: Fusion & { readonly bias?: string }) => string;

/**
 * Binds a convolution's output. What only batch norms read is made less a constant a channel: its mean
 * in the first example, from a pilot convolution of that one. A norm is blind to the constant, and sums
 * of squares of values near 0 keep their digits, at a fraction of what centring all values would cost.
 * @param asFed whether the input is taken as it is fed, `[n, c, h, w]`, and not in blocks.
 * @param fuses whether `convolve` may add and activate, which is then left to the output's reader.
 */
export function bindConvolved(
  node: TrainingNodeOf<'conv'>,
  graph: BlockedGraph,
  convolve: Convolve,
  { fuses = false, asFed = false }: { readonly fuses?: boolean; readonly asFed?: boolean } = {},
): void {
  const [x, , bias] = node.inputs as [string, string, string | undefined];
  const [y] = node.outputs as [string];
  const [batch] = graph.shape(x) as [number];
  const input = asFed ? x : graph.blocked(x);
  const given = bias === undefined ? {} : { bias: graph.blocked(bias) };
  if (!graph.isOnlyNormed(y))
    return fuses
      ? graph.bindDeferred(y, (fusion) => convolve(input, batch, { ...fusion, ...given }))
      : graph.bindBlocked(y, convolve(input, batch, given));
  const [, , height, width] = graph.shape(y) as [number, number, number, number];
  const pilot = convolve(firstExample(graph, x, input, asFed), 1, given);
  const offset = graph.mean(graph.view(pilot, [1, graph.channels(y), height, width]));
  const less = bias === undefined ? graph.op('Neg', [offset]) : graph.op('Sub', [graph.blocked(bias), offset]);
  graph.bindAffine(y, { value: convolve(input, batch, { bias: less }), offset, per: 'channel' });
}

function firstExample(graph: BlockedGraph, x: string, value: string, asFed: boolean): string {
  const [batch, channels, height, width] = graph.shape(x) as [number, number, number, number];
  if (batch === 1) return value;
  const axis = asFed ? 0 : 1;
  const extents = asFed ? [batch, channels, height, width] : [graph.blocks(x), batch, height * width * graph.block];
  return graph.op('Slice', [graph.view(value, extents), graph.ints([0]), graph.ints([1]), graph.ints([axis])]);
}
