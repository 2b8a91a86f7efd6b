import { z } from 'zod';

const share = z.number().positive().max(1);

/** How a latency is measured, as data: what to run, what to reject, when to stop. */
export const protocolSchema = z.strictObject({
  /** Runs of a fresh session that are not counted, until two windows of runs agree. */
  warmup: z.strictObject({
    minRuns: z.int().positive(),
    /** Runs in each of the two windows whose medians are compared. */
    window: z.int().positive(),
    /** Relative difference of those medians that counts as steady. */
    tolerance: share,
    /** After so long it counts as steady anyway; slow drifts show in the interval between sessions. */
    maxMs: z.number().positive(),
  }),
  /** Samples are taken in blocks, each between two observations of the reference kernel. */
  block: z.strictObject({
    /** A block ends after so long, once it has `minSamples`, or with `maxSamples`. */
    ms: z.number().positive(),
    minSamples: z.int().positive(),
    maxSamples: z.int().positive(),
    /** Runs dropped at the start of each block: the reference kernel has cooled the caches. */
    discard: z.int().nonnegative(),
  }),
  /** A fixed kernel whose time should never change; when it does, the machine did. */
  reference: z.strictObject({
    /** Runs of one observation; their median counts. */
    runs: z.int().positive(),
    /** A block is rejected when an observation beside it departs by more from the fast end of what is remembered. */
    tolerance: share,
    /** Rejected blocks are repeated up to so many in all; then blocks count as they are, and `stable` is false. */
    maxRejected: z.int().nonnegative(),
    /** Pause before observing while idle threads of the model's session may still spin. */
    settleMs: z.number().nonnegative(),
    /**
     * Share of the host's cores that other processes may use; a block that saw more is rejected too. The reference
     * alone is blind to a busy neighbour: it lives in its core's cache (docs/log.md).
     */
    otherLoad: share,
  }),
  /** Fresh sessions differ by more than samples inside one: they are the units of the interval. */
  sessions: z.strictObject({
    min: z.int().min(3),
    max: z.int().min(3),
    /** Blocks counted of each session. */
    blocks: z.int().positive(),
    /** Pause before each session, to spread them in time. */
    gapMs: z.number().nonnegative(),
  }),
  /** Sessions are added until the interval of the percentile asked for is this tight. */
  interval: z.strictObject({
    level: z.number().gt(0).lt(1),
    /** Largest half-width of the p50's, relative. */
    tolerance: share,
  }),
  /** What holds instead where a p90 or a p99 is asked for: it takes more samples, and is known less well. */
  tail: z.strictObject({ tolerance: share, capMs: z.number().positive() }),
  /** Arrivals at a rate; see latency/server.ts. */
  server: z.strictObject({
    /** Fresh sessions at each rate: the units of the interval. */
    sessions: z.int().min(3),
    /** Arrivals that count in each. */
    arrivals: z.int().positive(),
    /** Share of arrivals before them that do not count, while the queue fills from empty. */
    rampUp: z.number().nonnegative().max(1),
    /** Rates tried at most in looking for the highest that meets a limit. */
    rates: z.int().positive(),
    /** No arrival at a rate is awaited after so long. */
    capMs: z.number().positive(),
  }),
  /** No session beyond the minimum is opened after so long; within the minimum a block shrinks to `minSamples`. */
  capMs: z.number().positive(),
});
export type Protocol = z.infer<typeof protocolSchema>;

export const protocolPresets = ['quick', 'thorough'] as const;
export type ProtocolPreset = (typeof protocolPresets)[number];

/**
 * `quick` ranks the candidates of a search (under a second for networks below some milliseconds);
 * `thorough` is what delivered files are judged by, with samples enough for a p99. Both spend their
 * time on sessions rather than samples: equal sessions differ by 10–25 % on a busy two-core host.
 */
export const protocols: Readonly<Record<ProtocolPreset, Protocol>> = {
  quick: {
    warmup: { minRuns: 10, window: 5, tolerance: 0.05, maxMs: 150 },
    block: { ms: 50, minSamples: 3, maxSamples: 60, discard: 1 },
    reference: { runs: 11, tolerance: 0.15, maxRejected: 6, settleMs: 10, otherLoad: 0.1 },
    sessions: { min: 5, max: 10, blocks: 1, gapMs: 20 },
    interval: { level: 0.95, tolerance: 0.1 },
    tail: { tolerance: 0.25, capMs: 10_000 },
    server: { sessions: 5, arrivals: 160, rampUp: 0.1, rates: 5, capMs: 30_000 },
    capMs: 3000,
  },
  thorough: {
    warmup: { minRuns: 20, window: 10, tolerance: 0.03, maxMs: 1000 },
    block: { ms: 150, minSamples: 5, maxSamples: 100, discard: 2 },
    reference: { runs: 21, tolerance: 0.1, maxRejected: 30, settleMs: 10, otherLoad: 0.1 },
    sessions: { min: 8, max: 24, blocks: 2, gapMs: 200 },
    interval: { level: 0.95, tolerance: 0.03 },
    tail: { tolerance: 0.1, capMs: 90_000 },
    server: { sessions: 8, arrivals: 250, rampUp: 0.1, rates: 7, capMs: 120_000 },
    capMs: 30_000,
  },
};

/**
 * Whole runs of a network in a calibration: three short sessions. Many networks teach a model more than many samples of
 * one; what sessions differ by averages out over networks.
 */
export const calibrationProtocol: Protocol = {
  ...protocols.quick,
  warmup: { minRuns: 3, window: 2, tolerance: 0.05, maxMs: 100 },
  block: { ms: 40, minSamples: 5, maxSamples: 40, discard: 1 },
  reference: { runs: 7, tolerance: 0.1, maxRejected: 4, settleMs: 10, otherLoad: 0.1 },
  sessions: { min: 3, max: 3, blocks: 1, gapMs: 0 },
  capMs: 5000,
};
