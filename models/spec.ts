import { z } from 'zod';
import { digestJson } from '../core/digest.ts';
import { ConfigError } from '../core/errors.ts';

/** Element-wise non-linearities a block may use. `silu` is also called swish. */
export const activationSchema = z.enum(['relu', 'silu']);
export type Activation = z.infer<typeof activationSchema>;

/**
 * One stage: `repeats` equal blocks, the first of which changes width and stride.
 * - `mbconv`: 1×1 expand → k×k depthwise → squeeze-excite → 1×1 project (MobileNetV2, EfficientNet).
 * - `fused-mbconv`: k×k dense convolution to the expanded width → squeeze-excite → 1×1 project
 *   (EfficientNet-EdgeTPU, EfficientNet-X); with `expansion` 1 the projection is left out (EfficientNetV2).
 */
export const stageSchema = z.strictObject({
  operator: z.enum(['mbconv', 'fused-mbconv']),
  kernel: z.int().min(1).max(15),
  stride: z.int().min(1).max(4),
  /** Expanded width ÷ input width. */
  expansion: z.number().min(1).max(16),
  /** Output channels. */
  width: z.int().min(1).max(8192),
  repeats: z.int().min(1).max(200),
  /** Squeeze width ÷ the block's *input* channels; 0 leaves squeeze-excite out. */
  squeezeExcite: z.number().min(0).max(1).default(0),
  activation: activationSchema.default('relu'),
  /** Residual connection where stride is 1 and widths match. */
  skip: z.boolean().default(true),
});
export type Stage = z.infer<typeof stageSchema>;

/**
 * An image classifier as plain data: what is trained, scaled, counted, measured and shipped.
 * Input is float32 `[batch, channels, resolution, resolution]`; all padding is SAME
 * (out = ceil(in ÷ stride), the extra pixel at the end), batch norm follows every convolution.
 */
export const networkSpecSchema = z.strictObject({
  schema: z.literal(1).default(1),
  /** For people; not part of the network's identity. */
  name: z.string().optional(),
  input: z.strictObject({ channels: z.int().min(1).max(64).default(3), resolution: z.int().min(4).max(4096) }),
  classes: z.int().min(2).max(100_000),
  /** First convolution. Kernel 2 with stride 2 is EfficientNet-X's learned space-to-depth. */
  stem: z.strictObject({
    kernel: z.int().min(1).max(15),
    stride: z.int().min(1).max(8),
    width: z.int().min(1).max(8192),
    activation: activationSchema.default('relu'),
  }),
  stages: z.array(stageSchema).min(1).max(64),
  /** 1×1 convolution before pooling (`width` 0 leaves it out), then dropout and the classifier. */
  head: z.strictObject({
    width: z.int().min(0).max(65_536),
    activation: activationSchema.default('relu'),
    dropout: z.number().min(0).max(0.9).default(0),
  }),
  /** Survival probability of the last residual branch; falls linearly from 1 (stochastic depth). */
  survival: z.number().gt(0).max(1).default(1),
  batchNorm: z
    .strictObject({
      epsilon: z.number().positive().default(1e-3),
    })
    .prefault({}),
});
export type NetworkSpec = z.infer<typeof networkSpecSchema>;

/**
 * Checks untrusted data as a network.
 * @param where names the source in the error, e.g. a file path.
 * @throws {ConfigError} naming every offending key.
 */
export function parseNetworkSpec(data: unknown, where: string): NetworkSpec {
  const parsed = networkSpecSchema.safeParse(data);
  if (!parsed.success) throw new ConfigError(`${where}: not a network spec\n${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** Identity of the network: the digest of everything but its name. */
export function specDigest(spec: NetworkSpec): string {
  return digestJson({ ...spec, name: undefined });
}
