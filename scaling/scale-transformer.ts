import type { Shares } from './apply.ts';
import { parseTransformerSpec, type TransformerSpec } from '../models/transformer.ts';

/**
 * A transformer scaled as a convolution network is: ⌈depth · layers⌉ layers (Tan & Le 2019, as their repeats), width in
 * whole heads of the base's size, and the context in the place of resolution. The feed-forward width keeps its ratio, up
 * to a multiple of 8.
 * @param context a multiplier, too; the scaled context is rounded and at least 1.
 */
export function scaleTransformer(
  spec: TransformerSpec,
  { depth, width, context }: { readonly depth: number; readonly width: number; readonly context: number },
): TransformerSpec {
  const headWidth = spec.width / spec.heads;
  const heads = Math.max(1, Math.round(width * spec.heads));
  const scaledWidth = heads * headWidth;
  return parseTransformerSpec(
    {
      ...spec,
      layers: Math.ceil(depth * spec.layers - 1e-9),
      heads,
      width: scaledWidth,
      feedForward:
        heads === spec.heads ? spec.feedForward : Math.ceil((spec.feedForward * scaledWidth) / spec.width / 8) * 8,
      context: Math.max(1, Math.round(context * spec.context)),
    },
    spec.name ?? 'transformer',
  );
}

/** A part of a transformer, of the same context; as `partOf` a convolution network. */
export function partOfTransformer(whole: TransformerSpec, { depth, width }: Shares): TransformerSpec {
  if (depth === 1 && width === 1) return whole;
  const part = scaleTransformer(whole, { depth, width, context: 1 });
  return { ...part, feedForward: Math.min(part.feedForward, whole.feedForward) };
}
