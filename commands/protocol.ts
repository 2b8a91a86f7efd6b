import { z } from 'zod';
import { infeasibleReasonSchema } from '../core/trial.ts';
import { latencySchema } from '../latency/latency.ts';

/**
 * `ridgepoint.command/1`: how Ridgepoint and a user's own program talk. Ridgepoint starts the program
 * with the path of a request file; the program writes one result file and may print events. What a
 * program must do is in docs/commands.md; here are the shapes.
 */
export const protocolName = 'ridgepoint.command/1';

/** What a program can be asked. `describe` must be known to all, the rest is what it says it can. */
export const operations = ['describe', 'prepare', 'measure', 'train', 'build', 'train-model'] as const;
export type Operation = (typeof operations)[number];

/** What a program says by its exit code, besides 0 (the result speaks) and everything else (it failed). */
export const exitCodes = { preempted: 75, environmentBroken: 78 } as const;

/** Events are the lines on stdout that begin so; the rest of the line is JSON. */
export const eventPrefix = '@ridgepoint ';

const seconds = z.number().positive();
const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'expected sha256:<64 hex digits>');
const precision = latencySchema.shape.precision;
export type Precision = z.infer<typeof precision>;

const envelope = {
  protocol: z.literal(protocolName),
  limits: z.strictObject({
    /** The program is stopped after so long, */
    wallS: seconds,
    /** or when it sent no event for so long; */
    silenceS: seconds,
    /** by SIGTERM, and by SIGKILL so long after it. */
    graceS: z.number().nonnegative(),
  }),
  /** All absolute. */
  paths: z.strictObject({
    /** Empty; deleted some time after the program has ended. */
    work: z.string(),
    /** Kept: the same for all requests about one network and seed, whatever the attempt and fidelity. */
    state: z.string(),
    /** Empty; files that the result names go here. */
    out: z.string(),
    /** Where the result goes: written beside and renamed, so that it is whole or not there. */
    result: z.string(),
  }),
};

const model = z.strictObject({
  /** ONNX file. */
  onnx: z.string(),
  digest,
  /** JSON file of the network spec, where the model is one of Ridgepoint's. */
  spec: z.string().optional(),
  /** What `prepare` made of it. */
  prepared: z.string().optional(),
});

const modelRequest = {
  ...envelope,
  target: z.string(),
  model,
  /** What the model takes, the batch filled in. */
  inputs: z.array(
    z.strictObject({
      name: z.string(),
      dtype: z.string(),
      shape: z.array(z.int().nonnegative()),
      /** Whether the file leaves an extent open: some runtimes must be told the shape then, and only then. */
      open: z.boolean(),
    }),
  ),
  batch: z.int().positive(),
  /** Threads inside one inference, where the device has such. */
  threads: z.int().positive(),
  precision,
};

/** What every training is told. */
const training = {
  ...envelope,
  study: z.string(),
  trial: z.string(),
  /** Counts from 1; what the last attempt left is in `paths.state`. */
  attempt: z.int().positive(),
  seed: z.int().nonnegative(),
  data: z.strictObject({
    /** Training and hold-out split at the network's resolution, as Ridgepoint prepared them. */
    file: z.string(),
    /** Of the whole data set. */
    digest,
    name: z.string(),
    classNames: z.array(z.string()),
    /** Normalisation per channel, of pixels scaled to [0, 1]; the network is shipped with it. */
    mean: z.array(z.number()),
    std: z.array(z.number()),
  }),
  fidelity: z.strictObject({ examples: z.int().positive() }),
  params: z.record(z.string(), z.json()),
};

const trainRequest = z.strictObject({
  ...training,
  op: z.literal('train'),
  spec: z.strictObject({
    file: z.string(),
    digest,
    padding: z.literal('same'),
    bnEps: z.number().positive(),
    params: z.int().positive(),
  }),
  files: z.strictObject({
    /** The network to train as operators, tensors and parameters (JSON). */
    graph: z.string(),
    /** Starting values of all parameters (safetensors, float32), by the names to return. */
    weights: z.string(),
    /** The same as an ONNX file for inference, batch norm folded. */
    onnx: z.string(),
  }),
  /** Whether the result must hold trained weights. */
  keepWeights: z.boolean(),
  /** What a `handle` event of an attempt that was cut off said last: the job may still be running. */
  handle: z.json().optional(),
});

/** A network of a factory's, by what was asked for. */
const scaled = {
  multipliers: z.strictObject({
    depth: z.number().positive(),
    width: z.number().positive(),
    resolution: z.number().positive(),
  }),
  /** Side of the pictures that it must take, in pixels. */
  resolution: z.int().positive(),
  channels: z.int().positive(),
  classes: z.int().positive(),
};

const requests = {
  describe: z.strictObject({ ...envelope, op: z.literal('describe') }),
  prepare: z.strictObject({ ...modelRequest, op: z.literal('prepare') }),
  measure: z.strictObject({
    ...modelRequest,
    op: z.literal('measure'),
    percentiles: z.array(z.number()),
    /** How much to run in this one session; what is timed here is one of several. */
    sampling: z.strictObject({ warmupS: seconds, minSamples: z.int().positive(), durationS: seconds }),
  }),
  train: trainRequest,
  build: z.strictObject({ ...envelope, op: z.literal('build'), ...scaled, params: z.record(z.string(), z.json()) }),
  'train-model': z.strictObject({
    ...training,
    op: z.literal('train-model'),
    ...scaled,
    /** What `build` wrote for it. */
    model: z.strictObject({ onnx: z.string(), digest }),
  }),
} satisfies Record<Operation, z.ZodType>;

/** A request file. */
export const requestSchema = z.discriminatedUnion('op', [
  requests.describe,
  requests.prepare,
  requests.measure,
  requests.train,
  requests.build,
  requests['train-model'],
]);
export type RequestOf<Op extends Operation> = z.infer<(typeof requests)[Op]>;

/** An event: `progress` shows that the program lives and how far it is; `handle` names a job elsewhere. */
export const eventSchema = z.discriminatedUnion('t', [
  z.strictObject({
    t: z.literal('progress'),
    examples: z.number().nonnegative().optional(),
    metrics: z.record(z.string(), z.number()).optional(),
    imagesPerS: z.number().nonnegative().optional(),
  }),
  z.strictObject({ t: z.literal('handle'), handle: z.json() }),
]);
export type CommandEvent = z.infer<typeof eventSchema>;

const device = z.looseObject({
  name: z.string().describe('e.g. NVIDIA A100-SXM4-40GB'),
  host: z.string().optional(),
});

const infeasible = z.strictObject({
  status: z.literal('infeasible'),
  reason: infeasibleReasonSchema,
  detail: z.string().optional(),
  limit: z.number().optional(),
  observed: z.number().optional(),
});
export type Infeasible = z.infer<typeof infeasible>;

const failed = z.strictObject({
  status: z.literal('failed'),
  code: z.string(),
  retry: z.boolean(),
  detail: z.string(),
});

const positiveMs = z.number().positive();

const describeOk = z.strictObject({
  status: z.literal('ok'),
  name: z.string(),
  version: z.string(),
  operations: z.array(z.enum(operations)).min(1),
  /** Whether it computes on the machine it is started on; then it takes turns with everything else there. */
  onThisHost: z.boolean().default(true),
  device: device.optional(),
  precisions: z.array(precision).min(1).optional(),
});

const prepareOk = z.strictObject({
  status: z.literal('ok'),
  /** Relative to `paths.out`. */
  prepared: z.string(),
  prepareS: z.number().nonnegative().optional(),
});

const measureOk = z
  .strictObject({
    status: z.literal('ok'),
    /** Every run in its order: a file of float64, little-endian, relative to `paths.out`; or the numbers. */
    samplesMs: z.union([z.string(), z.array(positiveMs).min(1)]).optional(),
    /** Only where samples cannot be had. */
    percentilesMs: z
      .strictObject({ p50: positiveMs, p90: positiveMs, p99: positiveMs.optional() })
      .refine(({ p50, p90, p99 = p90 }) => p50 <= p90 && p90 <= p99, 'expected p50 ≤ p90 ≤ p99')
      .optional(),
    /** Whether copies to and from the device are in the time. */
    includesIo: z.boolean(),
    /** Whose clock took the times: the host's around each run, or the device's own. */
    clock: z.enum(['host', 'device']).optional(),
    /** The arithmetic that ran. */
    precision,
    prepareS: z.number().nonnegative().optional(),
    peakBytes: z.number().nonnegative().optional(),
    device: device.optional(),
    versions: z.record(z.string(), z.string()).optional(),
  })
  .refine(
    ({ samplesMs, percentilesMs }) => (samplesMs === undefined) !== (percentilesMs === undefined),
    'expected either samplesMs or percentilesMs',
  );

const metric = z.strictObject({
  value: z.number(),
  split: z.enum(['holdout', 'train']),
  n: z.int().positive(),
});

const trainOk = z.strictObject({
  status: z.literal('ok'),
  /** `accuracy` (share of right top-1 answers on the hold-out, 0–1) is required. */
  metrics: z
    .object({
      accuracy: metric.extend({ value: z.number().min(0).max(1), split: z.literal('holdout') }),
      crossEntropy: metric.extend({ split: z.literal('holdout') }).optional(),
    })
    .catchall(metric),
  cost: z
    .strictObject({
      deviceHours: z.number().nonnegative().optional(),
      imagesPerS: z.number().nonnegative().optional(),
      stepMs: z.number().nonnegative().optional(),
      peakRssBytes: z.number().nonnegative().optional(),
    })
    .optional(),
  /** At least the weights, where the request asked for them: safetensors of float32 by the request's names. */
  artefacts: z
    .array(
      z.strictObject({
        kind: z.string(),
        /** Relative to `paths.out`. */
        path: z.string(),
        sha256: z.string().regex(/^(?:sha256:)?[0-9a-f]{64}$/, 'expected 64 hex digits'),
      }),
    )
    .default([]),
});

const buildOk = z.strictObject({
  status: z.literal('ok'),
  /** ONNX file with weights, relative to `paths.out`: one input `[batch, channels, resolution, resolution]`, logits `[batch, classes]` first among its outputs. */
  onnx: z.string(),
});

/** What a result file may say, by operation. */
export const resultSchemas = {
  describe: z.discriminatedUnion('status', [describeOk, failed]),
  prepare: z.discriminatedUnion('status', [prepareOk, infeasible, failed]),
  measure: z.discriminatedUnion('status', [measureOk, infeasible, failed]),
  train: z.discriminatedUnion('status', [trainOk, infeasible, failed]),
  build: z.discriminatedUnion('status', [buildOk, infeasible, failed]),
  /** Among the artefacts the trained network, of kind `onnx`. */
  'train-model': z.discriminatedUnion('status', [trainOk, infeasible, failed]),
} satisfies Record<Operation, z.ZodType>;
export type ResultOf<Op extends Operation> = z.infer<(typeof resultSchemas)[Op]>;
export type OkOf<Op extends Operation> = Extract<ResultOf<Op>, { readonly status: 'ok' }>;
