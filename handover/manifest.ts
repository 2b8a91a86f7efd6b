import { z } from 'zod';
import { latencySchema } from '../latency/latency.ts';

const share = z.number().min(0).max(1);

/** What is said of a network, and how it is known: what `ridgepoint verify` holds it to. */
const claimsSchema = z.strictObject({
  accuracy: z
    .strictObject({
      /** Share of right top-1 answers of this very file. */
      test: share,
      examples: z.int().positive().nullable(),
      /** The data whose test split it is; the digest is absent where it was not kept. */
      data: z.strictObject({ name: z.string(), digest: z.string() }).nullable(),
      how: z.string(),
    })
    .nullable(),
  /** Of the delivered file, with the protocol’s figures and the fingerprint of the machine. */
  latency: z.strictObject({ measured: latencySchema, how: z.string() }).nullable(),
});
export type Claims = z.infer<typeof claimsSchema>;

/**
 * A bundle’s bill of materials: every file with its digest, what the network is and who made it, what may be done with
 * it, and what is claimed of it.
 */
export const bundleManifestSchema = z.strictObject({
  schema: z.literal(1),
  kind: z.literal('ridgepoint-bundle'),
  name: z.string(),
  specDigest: z.string(),
  precision: z.enum(['fp32', 'fp16', 'int8']),
  versions: z.strictObject({
    ridgepoint: z.string(),
    onnxOpset: z.int().positive(),
    minimumRuntime: z.string(),
    /** That parity’s logits were computed by. */
    parityRuntime: z.string(),
  }),
  /** SPDX expressions; null where nobody has said. The owner of weights and data fills them in. */
  licences: z.strictObject({
    programs: z.string(),
    weights: z.string().nullable(),
    trainingData: z.string().nullable(),
  }),
  claims: claimsSchema,
  /** By path, everything but the manifest. */
  files: z.record(
    z.string().regex(/^[^/\\]+$/, 'expected a file name without a folder'),
    z.strictObject({ sha256: z.string(), bytes: z.int().nonnegative(), what: z.string() }),
  ),
});
export type BundleManifest = z.infer<typeof bundleManifestSchema>;

/** How pixels become the network’s input, as data: what a deployment must repeat exactly. */
export const preprocessingFileSchema = z.strictObject({
  schema: z.literal(1),
  input: z.strictObject({
    name: z.string(),
    dtype: z.literal('float32'),
    layout: z.literal('NCHW'),
    channels: z.int().positive(),
    height: z.int().positive(),
    width: z.int().positive(),
    channelOrder: z.enum(['RGB', 'grey', 'as-stored']),
  }),
  /** In this order. `crop` is of the largest centred square, after EXIF orientation and with transparency on black. */
  picture: z.strictObject({ crop: z.enum(['centre-square', 'none']), resizeFilter: z.string() }),
  /** x = (pixel ÷ 255 − mean) ÷ std, by channel. */
  mean: z.array(z.number()),
  std: z.array(z.number().positive()),
  output: z.strictObject({ name: z.string(), classes: z.int().positive(), values: z.literal('logits') }),
});
export type PreprocessingFile = z.infer<typeof preprocessingFileSchema>;

/** Names of a bundle’s files. */
export const bundleFiles = {
  model: 'model.onnx',
  labels: 'labels.json',
  preprocessing: 'preprocessing.json',
  parity: 'parity.safetensors',
  manifest: 'manifest.json',
} as const;
