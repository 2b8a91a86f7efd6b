import type { ProtocolPreset } from '../latency/protocol.ts';

/**
 * How a latency is measured by a program, as data. One `measure` is one session: a process started
 * anew. Sessions come in blocks between two sessions of a fixed reference model.
 */
export interface CommandProtocol {
  readonly sessions: {
    readonly min: number;
    readonly max: number;
    /** Pause before each, to spread them in time. */
    readonly gapMs: number;
  };
  /** What the program is told to run in one session. */
  readonly sampling: { readonly warmupS: number; readonly minSamples: number; readonly durationS: number };
  readonly reference: {
    /** A block is rejected when the reference model's time beside it departs by more from its running median. */
    readonly tolerance: number;
    /** Rejected blocks are repeated up to so many in all; then blocks count as they are, and `stable` is false. */
    readonly maxRejected: number;
  };
  /** Sessions are added until the interval of p50 is this tight (half-width, relative). */
  readonly interval: { readonly level: number; readonly tolerance: number };
  /** The same of a p90's or p99's, where one is asked for. */
  readonly tail: { readonly tolerance: number };
  /** No session beyond the minimum is started, and no block repeated, after so long. */
  readonly capMs: number;
}

/**
 * The presets of local measuring, for programs. Starting one costs a good part of a second, so there
 * are fewer sessions; `thorough` has samples enough for a p99.
 */
export const commandProtocols: Readonly<Record<ProtocolPreset, CommandProtocol>> = {
  quick: {
    sessions: { min: 3, max: 6, gapMs: 20 },
    sampling: { warmupS: 0.15, minSamples: 20, durationS: 0.1 },
    reference: { tolerance: 0.15, maxRejected: 3 },
    interval: { level: 0.95, tolerance: 0.1 },
    tail: { tolerance: 0.25 },
    capMs: 30_000,
  },
  thorough: {
    sessions: { min: 5, max: 12, gapMs: 300 },
    sampling: { warmupS: 0.5, minSamples: 60, durationS: 0.3 },
    reference: { tolerance: 0.1, maxRejected: 8 },
    interval: { level: 0.95, tolerance: 0.03 },
    tail: { tolerance: 0.1 },
    capMs: 180_000,
  },
};
