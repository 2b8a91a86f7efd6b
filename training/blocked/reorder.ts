import type { OnnxBuilder } from '../onnx-builder.ts';
import { blockedDomain } from './block-size.ts';
import { cutExtents, type Layout, paddedExtents, storedExtents } from './layout.ts';

/** `[c, m]` ↔ `[c/B, m, B]`, for which onnxruntime has operators of its own. */
const isPixelwise = ({ order }: Layout): boolean => order.join() === '0,2,1,3';

/** A value from its own order to the stored one, padded. */
export function toBlocks(builder: OnnxBuilder, layout: Layout, value: string): string {
  const { extents, order } = layout;
  const wide = paddedExtents(layout);
  const missing = wide.map((extent, axis) => extent - (extents[axis] as number));
  const begins = missing.map(() => 0);
  let whole = builder.view(value, extents);
  if (missing.some((count) => count > 0)) whole = builder.op('Pad', [whole, builder.ints([...begins, ...missing])]);
  if (extents.length === 1) return whole;
  if (!isPixelwise(layout)) return builder.op('Transpose', [builder.view(whole, cutExtents(layout))], { perm: order });
  const [channels, size] = wide as [number, number];
  return builder.op('ReorderInput', [builder.view(whole, [1, channels, 1, size])], {}, blockedDomain);
}

/** A value from its stored order to its own, without padding. */
export function fromBlocks(builder: OnnxBuilder, layout: Layout, stored: string): string {
  const { extents, order } = layout;
  const wide = paddedExtents(layout);
  if (isPixelwise(layout)) {
    const [channels] = extents as [number];
    const [blocks, size] = wide as [number, number];
    return builder.op('ReorderOutput', [builder.view(stored, [1, blocks, 1, size])], { channels }, blockedDomain);
  }
  let whole = stored;
  if (extents.length > 1) {
    const inverse = order.map((_, axis) => order.indexOf(axis));
    whole = builder.op('Transpose', [builder.view(stored, storedExtents(layout))], { perm: inverse });
  }
  whole = builder.view(whole, wide);
  if (wide.every((extent, axis) => extent === extents[axis])) return whole;
  const axes = extents.map((_, axis) => axis);
  const begins = builder.ints(axes.map(() => 0));
  return builder.op('Slice', [whole, begins, builder.ints(extents), builder.ints(axes)]);
}
