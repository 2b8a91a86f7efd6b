import { z } from 'zod';

/**
 * How thoroughly a candidate is evaluated. Every fidelity is a complete training schedule of its
 * own: its learning-rate curve ends at zero after `examples`, it is never a prefix of a longer run.
 */
export const fidelitySchema = z.strictObject({
  /** Training examples seen, repeats counted. */
  examples: z.int().positive(),
  /** Training and scoring resolution in pixels when it differs from the network's own. */
  resolution: z.int().positive().optional(),
  /** Name of the training schedule whose stages change its settings as it goes on; they stay when absent. */
  schedule: z.string().optional(),
  /** Seeds initial weights, data order and augmentation. */
  seed: z.int().nonnegative(),
});
export type Fidelity = z.infer<typeof fidelitySchema>;

/** What an evaluation consumed. Absent parts are zero, never guessed. */
export const costSchema = z.strictObject({
  trainS: z.number().nonnegative(),
  /** Waiting until nobody on the host measured any more, before training began. */
  waitS: z.number().nonnegative().optional(),
  /** Other hosts were busy with it for so long before they were lost, and nothing of that is in the result. */
  lostS: z.number().nonnegative().optional(),
  measureS: z.number().nonnegative(),
  examples: z.int().nonnegative(),
  /** Median wall-clock time of one training step; of a run in stages, of its last one, as `imagesPerS`. */
  stepMs: z.number().nonnegative().optional(),
  imagesPerS: z.number().nonnegative().optional(),
  /** Floating-point operations of the training run: 2 × MACs × 3 (forward, and backward twice) × examples, each at the resolution it was seen at. */
  flops: z.number().nonnegative(),
  peakRssBytes: z.number().nonnegative(),
  deviceHours: z.number().nonnegative().optional(),
});
export type Cost = z.infer<typeof costSchema>;

/**
 * Measured values by name: `accuracy` (0–1, hold-out), `crossEntropy` (nats, hold-out, unsmoothed),
 * `latencyMs.<target>`, `params`, `macs`, `activations`, `peakBytes`, `weightBytes`.
 */
export const metricsSchema = z.record(z.string(), z.number());
export type Metrics = z.infer<typeof metricsSchema>;

/** What makes a candidate impossible; `unsupported` is an operator that a target lacks, or growth that a training schedule asks for. */
export const infeasibleReasonSchema = z.enum([
  'latency',
  'memory',
  'params',
  'diverged',
  'invalid-shape',
  'out-of-memory',
  'time',
  'unsupported',
]);
export type InfeasibleReason = z.infer<typeof infeasibleReasonSchema>;

/** A point of a training curve: loss and accuracy as trained, averaged since the point before. */
export const curvePointSchema = z.strictObject({
  examples: z.int(),
  loss: z.number(),
  accuracy: z.number().optional(),
  /** Mean L2 norm of all gradients together, before clipping; where the recipe clips. */
  gradientNorm: z.number().optional(),
});

/**
 * The answer of an evaluation.
 * - `ok`: the candidate was trained and scored.
 * - `infeasible`: a property of the *candidate* (too slow, too large, diverged); controllers learn from it.
 * - `failed`: a property of the *environment*; journalled, maybe retried, never learned from.
 */
export const outcomeSchema = z.discriminatedUnion('status', [
  z.strictObject({
    status: z.literal('ok'),
    metrics: metricsSchema,
    cost: costSchema,
    /** Artefact digest of the trained weights. */
    checkpoint: z.string().optional(),
    /** Training curve, at most a few dozen points. */
    curve: z.array(curvePointSchema).optional(),
  }),
  z.strictObject({
    status: z.literal('infeasible'),
    reason: infeasibleReasonSchema,
    detail: z.string().optional(),
    limit: z.number().optional(),
    observed: z.number().optional(),
    metrics: metricsSchema.optional(),
    cost: costSchema.optional(),
  }),
  z.strictObject({
    status: z.literal('failed'),
    code: z.string(),
    retry: z.boolean(),
    detail: z.string(),
    /** Seconds that a device was busy with it nevertheless, as far as is known. */
    spentS: z.number().nonnegative().optional(),
  }),
]);
export type Outcome = z.infer<typeof outcomeSchema>;

/**
 * What a controller proposes: a named value for every decision, e.g. `{ "stage1.kernel": 5 }` or
 * `{ depth: 1.2, width: 1.1, resolution: 1.15 }`. Flat, so that it can be printed, diffed and encoded.
 */
export const choicesSchema = z.record(z.string(), z.union([z.number(), z.string(), z.boolean()]));
export type Choices = Readonly<z.infer<typeof choicesSchema>>;
