import { z } from 'zod';
import { arithmeticKinds, fusions, kernelKinds } from '../models/kernels.ts';

/** Number formats of weights and activations that a latency may be asked for. */
export const precisions = ['fp32', 'fp16', 'bf16', 'int8'] as const;
export type Precision = (typeof precisions)[number];

const positive = z.number().positive();
const byPrecision = z.partialRecord(z.enum(precisions), positive);
const share = z.number().positive().max(1);

const errorsSchema = z.strictObject({
  networks: z.int().nonnegative(),
  /** Share within ±10 %. */
  within10: z.number().min(0).max(1),
  medianError: z.number().nonnegative(),
});

/** Numbers of a row as one text: a model of a thousand rows stays readable, and is read fast. */
const rowSchema = z.union([
  z.array(z.number()).readonly(),
  z
    .string()
    .transform((text): readonly number[] => text.split(' ').map(Number))
    .refine((row) => row.every(Number.isFinite), 'expected numbers with spaces between them'),
]);

/**
 * Kernel times that were learned from measurements of this device and runtime (latency/kernel-model.ts): a smooth roofline for
 * each group of kernels, times the exponential of a Gaussian process over the logarithms of their extents.
 */
export const learnedModelSchema = z.strictObject({
  precision: z.enum(precisions),
  threads: z.int().positive(),
  /** Names of the features, in their order: a model of others is of no use. */
  features: z.array(z.string()).readonly(),
  /** 95 % intervals reach this many of the kernels' mean deviations to both sides, in logarithms. */
  intervalFactor: positive,
  groups: z.record(
    z.string(),
    z.strictObject({
      roofline: z.tuple([z.number(), z.number(), z.number()]).readonly(),
      active: z.array(z.int().nonnegative()).readonly(),
      process: z.strictObject({
        amplitude: positive,
        noise: positive,
        lengths: z.array(positive).readonly(),
        points: z.array(rowSchema).readonly(),
        weights: rowSchema,
      }),
    }),
  ),
});

/**
 * A device in the constants of the kernel-wise roofline (latency/roofline.ts). What is not known of it
 * is left out, and the bound it would make is not applied: nothing here is a guess in disguise.
 */
export const deviceProfileSchema = z.strictObject({
  /** What `--on` calls it. */
  id: z.string().regex(/^[A-Za-z0-9][\w.-]*$/, 'expected an id of letters, digits, ".", "_" and "-"'),
  name: z.string().min(1),
  /** Dense peak of the units that multiply matrices, 2 FLOP a multiply-accumulate (TOP/s for `int8`). A precision not here is refused. */
  peakTflops: byPrecision.refine(
    (peaks) => Object.keys(peaks).length > 0,
    'expected the peak of at least one precision',
  ),
  /** Dense peak of everything else, which depthwise convolutions run on. */
  vectorTflops: byPrecision.optional(),
  /** Device memory, in 10⁹ bytes as vendors count. */
  memory: z.strictObject({ gigabytes: positive.optional(), gigabytesPerS: positive.optional() }).optional(),
  /** On-chip memory that holds activations between kernels when they fit. */
  cache: z.strictObject({ megabytes: positive, gigabytesPerS: positive }).optional(),
  /** Matrix products are padded up to these extents, and fill `units` of them when there are too few tiles. */
  matrixUnit: z
    .strictObject({
      rows: z.int().positive(),
      inner: z.int().positive(),
      columns: z.int().positive(),
      units: z.int().positive().optional(),
    })
    .optional(),
  /** Fixed time of a kernel on the device: start, ramp and tail. */
  kernelOverheadUs: z.number().nonnegative().optional(),
  /** Time the host spends on each kernel; it bounds the whole run where the device is faster. 0 for compiled graphs. */
  dispatchUs: z.number().nonnegative().default(0),
  /** Fixed time of a run beside its kernels: copies in and out, start and end. */
  runOverheadUs: z.number().nonnegative().default(0),
  /** Shares of the peaks that kernels of a kind reach: of arithmetic where that bounds them, of bandwidth where memory does. */
  efficiency: z.strictObject({
    arithmetic: z.record(z.enum(arithmeticKinds), share),
    memory: z.record(z.enum(kernelKinds), share),
  }),
  /** What the runtime on it fuses into one kernel. */
  fusion: z.enum(fusions).default('epilogue'),
  /** How sure it is, where measurements of this very device and runtime made it so. */
  calibration: z
    .strictObject({
      /** What was measured in, and so all that is calibrated; see {@link calibratedIn} for profiles that do not say. */
      precision: z.enum(precisions).optional(),
      /** Networks measured. */
      points: z.int().positive(),
      /** Standard deviation of ln(measured ÷ predicted) on networks that were left out. */
      logDeviation: z.number().nonnegative(),
      /** What `ridgepoint calibrate` adds. */
      seed: z.string().optional(),
      runtime: z.string().optional(),
      cpu: z.string().optional(),
      /** Kernels of those networks. */
      kernels: z.int().nonnegative().optional(),
      /** Median relative error of single kernels of networks that were left out. */
      kernelError: z.number().nonnegative().optional(),
      /** Share of the runtime's kernels that the fusion rules foretold. */
      agreement: z.number().min(0).max(1).optional(),
      /** Networks that were left out. */
      heldOut: errorsSchema.optional(),
      /** Networks measured twice, the second time beside the first: what no model can beat. */
      noiseCeiling: errorsSchema.optional(),
      /** Errors with the first quarter, half, three quarters and all of the observations, and what these cost. */
      byBudget: z.array(errorsSchema.omit({ networks: true }).extend({ seconds: z.number().nonnegative() })).optional(),
    })
    .optional(),
  /** Kernel times learned from this device; the constants above are for kernels it does not know. */
  learned: learnedModelSchema.optional(),
});
export type DeviceProfile = z.infer<typeof deviceProfileSchema>;

/**
 * The precision whose latencies measurements of the device back: peaks of others are the vendor's word. Undefined
 * where nothing was measured, and where `calibration` of several precisions' peaks does not say in which.
 */
export function calibratedIn({ calibration, learned, peakTflops }: DeviceProfile): Precision | undefined {
  if (!calibration) return undefined;
  const peaks = precisions.filter((precision) => peakTflops[precision] !== undefined);
  return calibration.precision ?? learned?.precision ?? (peaks.length === 1 ? peaks[0] : undefined);
}

/** FLOP a byte from which arithmetic bounds a kernel; undefined where peak or bandwidth is not known. */
export function ridgePoint(profile: DeviceProfile, precision: Precision): number | undefined {
  const [peak, bandwidth] = [profile.peakTflops[precision], profile.memory?.gigabytesPerS];
  return peak === undefined || bandwidth === undefined ? undefined : (peak * 1e3) / bandwidth;
}
