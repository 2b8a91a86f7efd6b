import { z } from 'zod';
import { fingerprintSchema, latencySchema } from './latency.ts';

/** Traffic a model is measured under, after MLPerf's LoadGen; multi-stream is a batch there and here. */
export const scenarioNames = ['single-stream', 'offline', 'server'] as const;
export type ScenarioName = (typeof scenarioNames)[number];

const interval = z.strictObject({ level: z.number(), lo: z.number(), hi: z.number() });

/** Batches back to back: what counts is how many examples go through. */
export const offlineSchema = z.strictObject({
  scenario: z.literal('offline'),
  /** Time of one batch. */
  latency: latencySchema,
  examplesPerS: z.number().positive(),
  /** Of the throughput, from the spread between sessions. */
  intervalPerS: interval,
  /** Of the throughput; the batch's latency has a verdict of its own. */
  stable: z.boolean(),
});
export type Offline = z.infer<typeof offlineSchema>;

/** One arrival rate. Response time is waiting in the queue and being served. */
const serverPointSchema = z.strictObject({
  ratePerS: z.number().positive(),
  /** That counted. */
  arrivals: z.int().nonnegative(),
  p50Ms: z.number().positive(),
  p90Ms: z.number().positive(),
  /** Null below 300 arrivals. */
  p99Ms: z.number().positive().nullable(),
  /** Of the limit's percentile, or the p99; `hi` is null where too few arrivals bound it. */
  intervalMs: z.strictObject({ percentile: z.number(), level: z.number(), lo: z.number(), hi: z.number().nullable() }),
  /** Mean time in the queue. */
  meanWaitMs: z.number().nonnegative(),
  /** Share of the time the device was serving. */
  utilisation: z.number().nonnegative(),
  /** The queue grew until the arrivals were given up: no percentile describes it. */
  saturated: z.boolean(),
  /** Whether the interval lies within the limit; null without one. */
  meets: z.boolean().nullable(),
  /** Whether the machine was undisturbed. */
  stable: z.boolean(),
  drift: z.number().nonnegative(),
  rejectedBlocks: z.int().nonnegative(),
  otherLoad: z.number().nonnegative().optional(),
});
export type ServerPoint = z.infer<typeof serverPointSchema>;

/** Requests that arrive by themselves (Poisson), one served at a time, first come first served. */
export const serverSchema = z.strictObject({
  scenario: z.literal('server'),
  /** Of one request without a queue. */
  service: latencySchema,
  seed: z.int(),
  limit: z.strictObject({ percentile: z.number(), ms: z.number() }).nullable(),
  /** In the order they were tried. */
  points: z.array(serverPointSchema),
  /** The highest rate tried that met the limit; null where none did, or without a limit. */
  highestRatePerS: z.number().positive().nullable(),
  /** Service and every point. */
  stable: z.boolean(),
  fingerprint: fingerprintSchema.nullable(),
});
export type Server = z.infer<typeof serverSchema>;

/** What a server scenario is asked. */
export interface ServerQuestion {
  /** Requests a second to try; without it the highest that meets the limit is looked for. */
  readonly ratePerS?: number;
  readonly limit?: { readonly percentile: number; readonly ms: number };
  readonly seed: number;
}
