import { z } from 'zod';
import { ConfigError } from '../core/errors.ts';
import type { NetworkSpec } from './spec.ts';

const schema = z.strictObject({
  /** Not part of the identity. */
  name: z.string().optional(),
  kind: z.literal('transformer'),
  /** Distinct tokens; 256 for bytes. */
  vocabulary: z.int().min(2).max(1_000_000),
  /** Sequence length in tokens. */
  context: z.int().min(1).max(1_000_000),
  layers: z.int().min(1).max(1000),
  /** Of the residual stream; a multiple of `heads`. */
  width: z.int().min(1).max(65_536),
  heads: z.int().min(1).max(1024),
  /** Hidden width of the feed-forward block; 4 · width, or with a gate two thirds of that, when left out. */
  feedForward: z.int().min(1).max(262_144).optional(),
  /** SwiGLU instead of GELU: three feed-forward matrices instead of two. */
  gated: z.boolean().default(false),
  norm: z.enum(['layer-norm', 'rms-norm']).default('layer-norm'),
  /** The output head shares the embedding's matrix. */
  tiedHead: z.boolean().default(true),
  /** A learned vector for each position; without them order is known from the causal mask alone. */
  learnedPositions: z.boolean().default(true),
  /** Of all matrices but the head, and shifts of layer norms. */
  biases: z.boolean().default(false),
});

/**
 * A decoder-only transformer (Radford et al. 2019, GPT-2, with what later ones changed as options): embedding, blocks of
 * causal attention and feed-forward, each behind a norm and beside a residual connection, a last norm and the head.
 */
export const transformerSpecSchema = schema
  .transform(({ feedForward, ...spec }) => ({
    ...spec,
    feedForward: feedForward ?? (spec.gated ? Math.ceil((8 * spec.width) / 3 / 8) * 8 : 4 * spec.width),
  }))
  .check(({ value, issues }) => {
    const complain = (key: string, message: string) =>
      issues.push({ code: 'custom', path: [key], message, input: value });
    if (value.width % value.heads !== 0)
      complain('width', `expected a multiple of the ${value.heads} heads, got ${value.width}`);
    if (value.norm === 'rms-norm' && value.biases)
      complain('biases', 'expected false with rms-norm, which has no shift, got true');
  });
export type TransformerSpec = z.output<typeof transformerSpecSchema>;

/** Whatever can be built, trained, measured and shipped. */
export type ModelSpec = NetworkSpec | TransformerSpec;

/** Whether a spec is a transformer's rather than a convolution network's. */
export function isTransformer(spec: object): spec is TransformerSpec {
  return 'kind' in spec && spec.kind === 'transformer';
}

/**
 * Checks untrusted data as a transformer.
 * @param where names the source in the error, e.g. a file path.
 * @throws {ConfigError} naming every offending key.
 */
export function parseTransformerSpec(data: unknown, where: string): TransformerSpec {
  const parsed = transformerSpecSchema.safeParse(data);
  if (!parsed.success) throw new ConfigError(`${where}: not a transformer\n${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
