import { z } from 'zod';

/** Where a number came from: without it a latency is hearsay. */
export const fingerprintSchema = z.strictObject({
  host: z.string(),
  os: z.string(),
  cpu: z.string(),
  cores: z.int().describe('0 where it is not known'),
  runtime: z.string().describe('e.g. onnxruntime-node 1.30.0'),
  provider: z.string().describe('execution provider every node ran on'),
  node: z.string(),
  software: z
    .string()
    .optional()
    .describe("software driver that computed on the CPU in a GPU's place: no GPU's latency"),
});
export type Fingerprint = z.infer<typeof fingerprintSchema>;

/** Time of one run of a model on one accelerator, batch not divided out unless `per` says so. Measuring and predicting both give it. */
export const latencySchema = z.strictObject({
  source: z.enum(['measured', 'predicted', 'command']),
  accelerator: z.string(),
  batch: z.int().positive(),
  threads: z.int().positive(),
  precision: z.enum(['fp32', 'fp16', 'bf16', 'int8']),
  p50Ms: z.number().positive(),
  p90Ms: z.number().positive(),
  /** Null below 300 samples: a p99 of fewer is a maximum in disguise. */
  p99Ms: z.number().positive().nullable(),
  /** Interval of the percentile asked for, from the spread *between* sessions. */
  intervalMs: z.strictObject({ percentile: z.number(), level: z.number(), lo: z.number(), hi: z.number() }),
  sessions: z.int().nonnegative(),
  samples: z.int().nonnegative(),
  stable: z.boolean(),
  /** Largest relative departure of the reference kernel, over accepted blocks, from its time when the host is quiet. */
  drift: z.number().nonnegative(),
  rejectedBlocks: z.int().nonnegative(),
  /** Share of the host's cores that other processes used during accepted blocks. */
  otherLoad: z.number().nonnegative().optional(),
  /** Median time of the reference kernel over accepted blocks: what later measurements on this host compare theirs with. */
  referenceMs: z.number().positive().optional(),
  /** Whether copies to and from the device are in the time. */
  includesIo: z.boolean(),
  /** Whose clock: the host's around a call, waiting included, or the device's own. Absent where nobody said. */
  clock: z.enum(['host', 'device']).optional(),
  /** False for a prediction by a profile that no measurement in this precision backs: good for ranking only. */
  calibrated: z.boolean(),
  fingerprint: fingerprintSchema.nullable(),
  /** Nodes by the execution provider that the runtime's profile saw them on; of providers other than the CPU. */
  placement: z.record(z.string(), z.int()).optional(),
  /** True where a command gave percentiles only, not the samples they are of: hearsay that nobody can check. */
  reported: z.boolean().optional(),
  /** Session medians and a thinned sample of single runs, for plots. */
  sessionP50Ms: z.array(z.number()).optional(),
  samplesMs: z.array(z.number()).optional(),
  /** Where batches were compared: times are of one example, the batch divided out; absent: of one run. */
  per: z.literal('example').optional(),
  /**
   * The settings that this one was chosen from: median of a run and its percentile that a limit is of, or why there is
   * none. Absent where there was nothing to choose.
   */
  chosenFrom: z
    .array(
      z.strictObject({
        batch: z.int().positive(),
        precision: z.enum(['fp32', 'fp16', 'bf16', 'int8']),
        p50Ms: z.number().positive().nullable(),
        runMs: z.number().positive().nullable(),
        refusal: z.string().optional(),
      }),
    )
    .optional(),
  /** When it was measured, where a ledger's earlier measurement stands in for a new one. */
  reusedFrom: z.iso.datetime().optional(),
});
export type Latency = z.infer<typeof latencySchema>;

export const percentiles = [50, 90, 99] as const;
export type Percentile = (typeof percentiles)[number];

/** How a latency is asked for. */
export interface LatencySetting {
  readonly accelerator: string;
  readonly batch: number;
  readonly threads: number;
}

/**
 * A percentile of a latency. Where the p99 is not known the p90 stands in, so that a p99 limit can be judged early:
 * what fails on p90 fails on p99. That it is kept only a p99 can say; see `keepsLimit` in setting.ts.
 * @param percentile 50, 90 or 99.
 */
export function percentileMs(latency: Latency, percentile: number): number {
  if (percentile <= 50) return latency.p50Ms;
  return percentile >= 99 && latency.p99Ms !== null ? latency.p99Ms : latency.p90Ms;
}
