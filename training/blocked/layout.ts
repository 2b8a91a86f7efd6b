import { elements, type Parameter } from '../../models/graph.ts';
import type { StoredParameter } from '../flat-parameters.ts';

/**
 * How onnxruntime's blocked kernels (domain `com.microsoft.nchwc`) keep values in memory: channels in
 * blocks of B that lie next to each other, B being the floats of one vector register (16 with AVX-512,
 * else 8). Channels are padded with zeros to whole blocks. The one place that knows these orders:
 *
 * | values | own order | stored order |
 * |---|---|---|
 * | activations, channel-major | `[c, m]` | `[c/B, m, B]` |
 * | weights of a convolution over blocks ("OIHWBiBo") | `[o, i, k]` | `[o/B, i/B, k, Bi, Bo]` |
 * | weights of a depthwise convolution ("OHWBo") | `[c, k]` | `[c/B, k, B]` |
 * | weights of a convolution over an unblocked image ("OIHWBo") | `[o, i, k]` | `[o/B, i, k, Bo]` |
 * | one value a channel | `[c]` | `[c/B, B]` |
 *
 * with m = batch · height · width and k = kernel height · width.
 */
export interface Layout {
  /** Extents in the values' own order. */
  readonly extents: readonly number[];
  /** Block of each axis; 1 where it is not cut into blocks. */
  readonly blocks: readonly number[];
  /** Of the axes cut in two, `[outer 0, inner 0, outer 1, inner 1, …]`, the order in which they are stored. */
  readonly order: readonly number[];
}

/** Activations `[c, m]`. */
export function activationLayout(channels: number, size: number, block: number): Layout {
  return { extents: [channels, size], blocks: [block, 1], order: [0, 2, 1, 3] };
}

/** Weights of a convolution over all channels of a blocked input; `shape` is `[o, i, kh, kw]`. */
export function denseWeightLayout([out, inward, ...kernel]: readonly number[], block: number): Layout {
  const extents = [out as number, inward as number, elements(kernel)];
  return { extents, blocks: [block, block, 1], order: [0, 2, 4, 5, 3, 1] };
}

/** Weights of a depthwise convolution; `shape` is `[c, 1, kh, kw]`. */
export function depthwiseWeightLayout([channels, , ...kernel]: readonly number[], block: number): Layout {
  return { extents: [channels as number, elements(kernel)], blocks: [block, 1], order: [0, 2, 1, 3] };
}

/** Weights of a convolution over an image of less than B channels as it is fed; `shape` is `[o, i, kh, kw]`. */
export function imageWeightLayout([out, inward, ...kernel]: readonly number[], block: number): Layout {
  const extents = [out as number, inward as number, elements(kernel)];
  return { extents, blocks: [block, 1, 1], order: [0, 2, 3, 4, 5, 1] };
}

/** One value a channel. */
export function channelLayout(channels: number, block: number): Layout {
  return { extents: [channels], blocks: [block], order: [0, 1] };
}

/** The next multiple of `block`. */
export function padded(extent: number, block: number): number {
  return Math.ceil(extent / block) * block;
}

/** Extents with padding, every axis a multiple of its block. */
export function paddedExtents({ extents, blocks }: Layout): number[] {
  return extents.map((extent, axis) => padded(extent, blocks[axis] as number));
}

/** Padded extents with every axis cut in two. */
export function cutExtents({ extents, blocks }: Layout): number[] {
  return extents.flatMap((extent, axis) => {
    const block = blocks[axis] as number;
    return [Math.ceil(extent / block), block];
  });
}

/** Extents as stored. */
export function storedExtents(layout: Layout): number[] {
  const cut = cutExtents(layout);
  return layout.order.map((axis) => cut[axis] as number);
}

/** From the values' own order to the stored one; padding is 0. */
export function pack(layout: Layout, values: Float32Array): Float32Array {
  const stored = new Float32Array(elements(paddedExtents(layout)));
  forEachPlace(layout, (own, place) => (stored[place] = values[own] as number));
  return stored;
}

/** Back; padding is dropped. */
export function unpack(layout: Layout, stored: Float32Array): Float32Array {
  const values = new Float32Array(elements(layout.extents));
  forEachPlace(layout, (own, place) => (values[own] = stored[place] as number));
  return values;
}

/** A parameter kept in this layout. */
export function storedIn(layout: Layout, parameter: Parameter): StoredParameter {
  return {
    parameter,
    size: elements(paddedExtents(layout)),
    pack: (values) => pack(layout, values),
    unpack: (stored) => unpack(layout, stored),
  };
}

/** Visits every value with its index in its own order and in the stored one. */
function forEachPlace(layout: Layout, visit: (own: number, place: number) => void): void {
  const { extents, blocks, order } = layout;
  const stored = storedExtents(layout);
  // Distance in memory between neighbours along each half of an axis.
  const strides = order.map(() => 0);
  let stride = 1;
  for (let position = order.length - 1; position >= 0; position--) {
    strides[order[position] as number] = stride;
    stride *= stored[position] as number;
  }
  const descend = (axis: number, own: number, place: number): void => {
    const extent = extents[axis];
    if (extent === undefined) return visit(own, place);
    const block = blocks[axis] as number;
    const [outer, inner] = [strides[2 * axis] as number, strides[2 * axis + 1] as number];
    for (let index = 0; index < extent; index++)
      descend(axis + 1, own * extent + index, place + Math.floor(index / block) * outer + (index % block) * inner);
  };
  descend(0, 0, 0);
}
