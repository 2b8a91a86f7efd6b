import { z } from 'zod';
import { digestJson } from '../core/digest.ts';
import { ConfigError } from '../core/errors.ts';

/**
 * A key that specs did not always have. Its value `without` is dropped on parsing: a network has one form and one
 * digest, whether the file says so, leaves the key out, or was written before the key existed.
 */
function added<Schema extends z.ZodType>(schema: Schema, without: z.output<Schema>) {
  return schema.transform((value) => (value === without ? undefined : value)).optional();
}

/** Element-wise non-linearities a block may use. `silu` is also called swish. */
export const activationSchema = z.enum(['relu', 'relu6', 'silu', 'hard-swish']);
export type Activation = z.infer<typeof activationSchema>;

/**
 * Squeeze-and-excitation (Hu et al. 2018), or 0 for none. A number is the squeeze width ÷ the block's *input*
 * channels, rounded down (EfficientNet, RegNet). MobileNetV3's is
 * `{ ratio: 0.25, of: expanded, multiple: 8, activation: relu, gate: hard-sigmoid }`.
 */
const squeezeExciteSchema = z.union(
  [
    z.number().min(0).max(1),
    z.strictObject({
      ratio: z.number().gt(0).max(1),
      /** What `ratio` is of: the block's input channels, or those that are gated. */
      of: z.enum(['input', 'expanded']).default('input'),
      /** The squeeze width is a multiple of this, rounded as channels are; 1 rounds down. */
      multiple: z.int().min(1).max(256).default(1),
      /** Between the two 1×1 convolutions; the block's own when left out. */
      activation: activationSchema.optional(),
      gate: z.enum(['sigmoid', 'hard-sigmoid']).default('sigmoid'),
    }),
  ],
  { error: 'expected a ratio from 0 to 1, or a mapping of ratio, of, multiple, activation and gate' },
);
export type SqueezeExcite = z.infer<typeof squeezeExciteSchema>;

/** Keys of every stage. */
const stageKeys = {
  kernel: z.int().min(1).max(15),
  /** Of the first block; the others have 1. */
  stride: z.int().min(1).max(4),
  /** Output channels. */
  width: z.int().min(1).max(8192),
  repeats: z.int().min(1).max(200),
  activation: activationSchema.default('relu'),
  /** Pixels between the taps of the k×k convolutions; above 1 it takes the place of a stride. */
  dilation: added(z.int().min(1).max(16), 1),
};

/** Keys of the two inverted bottlenecks. */
const invertedKeys = {
  ...stageKeys,
  /** Expanded width ÷ input width. */
  expansion: z.number().min(1).max(16),
  squeezeExcite: squeezeExciteSchema.default(0),
  /** Residual connection where stride is 1 and widths match. */
  skip: z.boolean().default(true),
  /**
   * A learned 2×2 convolution of stride 2 with batch norm and activation before the stage turns pixels into channels
   * (EfficientNet-X, Li et al. 2021). From there to the first block of the next stage of stride 2 everything runs at
   * half the side with 4 × `width` channels and kernels of ⌈`kernel` ÷ 2⌉; that block then has stride 1, and its
   * expansion and squeeze are of a quarter of its input channels, as the squeeze of the first block is.
   */
  learnedSpaceToDepth: added(z.boolean(), false),
};

/** Keys of the two residual blocks. */
const residualKeys = {
  ...stageKeys,
  /**
   * How the input reaches the sum where shape or width changes: by a 1×1 convolution with the stride (He et al.
   * 2016), or average-pooled by the stride and then by a 1×1 convolution (ResNet-D, He et al. 2019).
   */
  shortcut: z.enum(['convolution', 'average-pool']).default('convolution'),
};

/** Names the block kind in the message for a key it does not have. */
const unknownKeys: z.core.$ZodErrorMap = (issue) =>
  issue.code === 'unrecognized_keys'
    ? `expected keys of a stage of ${String((issue.input as { operator?: unknown }).operator)}, got ${issue.keys.join(', ')}`
    : undefined;

const mbconvSchema = z.strictObject({ operator: z.literal('mbconv'), ...invertedKeys }, { error: unknownKeys });

const fusedMbconvSchema = z
  .strictObject(
    {
      operator: z.literal('fused-mbconv'),
      ...invertedKeys,
      /** Which convolution has the stride. `project` keeps the fused one at the input's size (EfficientNet-EdgeTPU). */
      strideAt: added(z.enum(['fused', 'project']), 'fused'),
    },
    { error: unknownKeys },
  )
  .refine(({ strideAt, expansion }) => strideAt !== 'project' || expansion > 1, {
    path: ['strideAt'],
    error: 'expected an expansion above 1 with strideAt project: with expansion 1 there is no projection',
  });

const basicSchema = z.strictObject({ operator: z.literal('basic'), ...residualKeys }, { error: unknownKeys });

const bottleneckSchema = z
  .strictObject(
    {
      operator: z.literal('bottleneck'),
      ...residualKeys,
      /** Channels of the k×k convolution ÷ `width`: 0.25 in ResNet, 1 in RegNet. */
      bottleneckRatio: z.number().gt(0).max(4).default(0.25),
      /** Channels of one group of the k×k convolution; all of them when left out. */
      groupWidth: z.int().min(1).max(8192).optional(),
      squeezeExcite: squeezeExciteSchema.default(0),
    },
    { error: unknownKeys },
  )
  .refine((stage) => bottleneckWidth(stage) % (stage.groupWidth ?? 1) === 0, {
    path: ['groupWidth'],
    error: ({ input }) => {
      const stage = input as { width: number; bottleneckRatio: number; groupWidth: number };
      return `expected a divisor of the ${bottleneckWidth(stage)} channels it groups, got ${stage.groupWidth}`;
    },
  });

/** Channels of a bottleneck's k×k convolution. */
export function bottleneckWidth({ width, bottleneckRatio }: { width: number; bottleneckRatio: number }): number {
  return Math.max(1, Math.round(width * bottleneckRatio));
}

const stageSchemas = [mbconvSchema, fusedMbconvSchema, basicSchema, bottleneckSchema] as const;
const operators = stageSchemas.map((schema) => schema.shape.operator.value);

/**
 * One stage: `repeats` equal blocks, the first of which changes width and stride.
 * - `mbconv`: 1×1 expand → k×k depthwise → squeeze-excite → 1×1 project (MobileNetV2, EfficientNet).
 * - `fused-mbconv`: k×k dense convolution to the expanded width → squeeze-excite → 1×1 project
 *   (EfficientNet-EdgeTPU, EfficientNet-X); with `expansion` 1 the projection is left out (EfficientNetV2).
 * - `basic`: k×k → k×k, added to a shortcut, then the activation (ResNet-18, He et al. 2016).
 * - `bottleneck`: 1×1 → k×k, possibly grouped → squeeze-excite → 1×1, added to a shortcut, then the activation
 *   (ResNet-50; RegNet, Radosavovic et al. 2020). The stride is in the k×k convolution.
 */
export const stageSchema = z
  .discriminatedUnion('operator', stageSchemas, {
    error: ({ input }) =>
      `expected one of ${operators.join(', ')}, got ${JSON.stringify((input as { operator?: unknown } | null)?.operator)}`,
  })
  .refine(({ dilation = 1, stride }) => dilation === 1 || stride === 1, {
    path: ['dilation'],
    error: 'expected stride 1 with a dilation above 1, which takes its place',
  });
export type Stage = z.infer<typeof stageSchema>;

/** Whether a region of learned space-to-depth begins with a stage. */
export function hasLearnedSpaceToDepth(stage: Stage): boolean {
  return 'learnedSpaceToDepth' in stage && stage.learnedSpaceToDepth === true;
}

/** What is wrong with the region of learned space-to-depth that begins with a stage, if anything. */
function regionProblem(stages: readonly Stage[], start: number): string | undefined {
  const end = stages.findIndex(({ stride }, index) => index > start && stride > 1);
  if (stages[start]?.stride !== 1 || stages[end]?.stride !== 2)
    return 'expected stride 1 here and a later stage of stride 2 that ends it';
  const [first, ...rest] = stages.slice(start, end + 1);
  if (![first, ...rest].every((stage) => stage?.operator === 'mbconv' || stage?.operator === 'fused-mbconv'))
    return 'expected only mbconv and fused-mbconv up to the stage of stride 2 that ends it';
  if (rest.some(hasLearnedSpaceToDepth)) return 'expected one before the stage of stride 2 that ends it, got two';
  return undefined;
}

/**
 * An image classifier as plain data: what is trained, scaled, counted, measured and shipped.
 * Input is float32 `[batch, channels, resolution, resolution]`; all padding is SAME
 * (out = ceil(in ÷ stride), the extra pixel at the end), batch norm follows every convolution but those of
 * squeeze-excite and `head.hidden`, which have biases.
 */
export const networkSpecSchema = z
  .strictObject({
    schema: z.literal(1).default(1),
    /** For people; not part of the network's identity. */
    name: z.string().optional(),
    input: z.strictObject({ channels: z.int().min(1).max(64).default(3), resolution: z.int().min(4).max(4096) }),
    classes: z.int().min(2).max(100_000),
    /** First convolution. */
    stem: z.strictObject({
      kernel: z.int().min(1).max(15),
      stride: z.int().min(1).max(8),
      width: z.int().min(1).max(8192),
      activation: activationSchema.default('relu'),
      /** Side of the pixel blocks that become channels before the convolution, by rearranging alone; 1 for none. */
      spaceToDepth: added(z.int().min(1).max(16), 1),
      /** Max-pooling after the activation, as ResNet's. */
      maxPool: z
        .strictObject({
          kernel: z.int().min(1).max(15).default(3),
          stride: z.int().min(1).max(8).default(2),
        })
        .optional(),
    }),
    stages: z.array(stageSchema).min(1).max(64),
    /** 1×1 convolution before pooling (`width` 0 leaves it out), then dropout and the classifier. */
    head: z.strictObject({
      width: z.int().min(0).max(65_536),
      activation: activationSchema.default('relu'),
      dropout: z.number().min(0).max(0.9).default(0),
      /** Over the whole plane; `average-max` puts the means and the maxima side by side, twice the features. */
      pooling: added(z.enum(['average', 'average-max']), 'average'),
      /** Width of a 1×1 convolution with bias and activation between pooling and dropout (MobileNetV3); 0 for none. */
      hidden: added(z.int().min(0).max(65_536), 0),
    }),
    /** Survival probability of the last residual branch; falls linearly from 1 (stochastic depth). */
    survival: z.number().gt(0).max(1).default(1),
    batchNorm: z
      .strictObject({
        epsilon: z.number().positive().default(1e-3),
      })
      .prefault({}),
    /**
     * Scaling leaves the widths of stem and head and the depth of the first and the last stage alone
     * (EfficientNet-Lite); of no consequence for the network itself.
     */
    fixedEnds: added(z.boolean(), false),
  })
  .check(({ value, issues }) => {
    const { input, stem, stages } = value;
    const complain = (path: PropertyKey[], message: string) =>
      issues.push({ code: 'custom', path, message, input: value });
    if (input.resolution % (stem.spaceToDepth ?? 1) !== 0)
      complain(
        ['stem', 'spaceToDepth'],
        `expected a divisor of the resolution ${input.resolution}, got ${stem.spaceToDepth}`,
      );
    stages.forEach((stage, start) => {
      const problem = hasLearnedSpaceToDepth(stage) ? regionProblem(stages, start) : undefined;
      if (problem) complain(['stages', start, 'learnedSpaceToDepth'], problem);
    });
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
export function specDigest(spec: { readonly name?: string | undefined }): string {
  const known = digests.get(spec) ?? digestJson({ ...spec, name: undefined });
  digests.set(spec, known);
  return known;
}

/** A study asks for the digest of the same spec many times. */
const digests = new WeakMap<object, string>();

/** Blocks of all stages. */
export function blockCount({ stages }: NetworkSpec): number {
  return stages.reduce((sum, { repeats }) => sum + repeats, 0);
}
