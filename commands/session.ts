import { readFileSync, statSync } from 'node:fs';
import type { Latency, Percentile } from '../latency/latency.ts';
import { leastForP99, plottedSamples } from '../latency/measure.ts';
import { quantile } from '../core/quantile.ts';
import {
  boundedBy,
  geometricInterval,
  type Interval,
  quantileInterval,
  relativeHalfWidth,
} from '../latency/statistics.ts';
import type { OkOf, Precision } from './protocol.ts';
import { type Answer, pathInOut } from './run.ts';
import type { CommandProtocol } from './sampling.ts';

/** A program cannot have spent more than this many times its own life on the runs it reports. */
const implausible = 4;

/** One session: what a program measured in one life. */
export interface Session {
  /** Absent where the program gave percentiles only. */
  readonly samplesMs?: Float64Array;
  readonly p50Ms: number;
  readonly p90Ms: number;
  /** Only where the program gave percentiles. */
  readonly p99Ms?: number | undefined;
  readonly answer: OkOf<'measure'>;
}

/**
 * A session from a program's answer.
 * @param asked the precision asked for.
 * @throws {Error} when the answer cannot be right.
 */
export function readSession(
  answer: OkOf<'measure'>,
  { out, wallS }: Pick<Answer<'measure'>, 'out' | 'wallS'>,
  asked: Precision,
): Session {
  const { samplesMs = [], percentilesMs, precision } = answer;
  if (precision !== asked) throw new Error(`expected a latency in ${asked}, got one in ${precision}`);
  if (percentilesMs) {
    const { p50, p90, p99 } = percentilesMs;
    return { p50Ms: p50, p90Ms: p90, p99Ms: p99, answer };
  }
  const samples = typeof samplesMs === 'string' ? readSamples(pathInOut(out, samplesMs)) : Float64Array.from(samplesMs);
  const totalS = samples.reduce((sum, ms) => sum + ms, 0) / 1e3;
  if (totalS > implausible * wallS)
    throw new Error(
      `expected samples in milliseconds, got ${samples.length} that add up to ${totalS.toPrecision(3)} s where the program ran for ${wallS.toPrecision(3)} s`,
    );
  const sorted = samples.toSorted();
  return { samplesMs: samples, p50Ms: quantile(sorted, 0.5), p90Ms: quantile(sorted, 0.9), answer };
}

/** Float64 values, little-endian, in milliseconds. */
function readSamples(path: string): Float64Array {
  const { size } = statSync(path, { throwIfNoEntry: false }) ?? { size: 0 };
  if (size === 0 || size % 8 !== 0) throw new Error(`${path}: expected a file of float64 values, got ${size} bytes`);
  const bytes = readFileSync(path);
  const samples = Float64Array.from({ length: size / 8 }, (_, index) => bytes.readDoubleLE(8 * index));
  const bad = samples.findIndex((ms) => !(Number.isFinite(ms) && ms > 0));
  if (bad >= 0) throw new Error(`${path}: expected positive times in milliseconds, got ${samples[bad]} at ${bad}`);
  return samples;
}

/** A percentile's interval from sessions, and how tight it should be. */
export interface Goal {
  readonly interval: Interval;
  /** The one asked for, or 90 where nothing is known of a p99. */
  readonly percentile: Percentile;
  /** Whether it is within the protocol's tolerance for this percentile. */
  readonly isTight: boolean;
}

/**
 * Of the p50, "the p50 of a session". Of a tail, that of all samples in their sessions; where a program gave
 * percentiles, its own are the samples; instead of a p99 that it left out the interval is the p90's, and never tight.
 */
export function goalOf(
  sessions: readonly Session[],
  { interval: { level, ...median }, tail }: CommandProtocol,
  percentile: Percentile,
): Goal {
  const tolerance = percentile === 50 ? median.tolerance : tail.tolerance;
  const of = (values: readonly number[]): Goal => {
    const interval = geometricInterval(values, level);
    return { interval, percentile, isTight: relativeHalfWidth(interval) <= tolerance };
  };
  if (percentile === 50) return of(sessions.map(({ p50Ms }) => p50Ms));
  const samples = sessions.flatMap(({ samplesMs }) => (samplesMs ? [[...samplesMs]] : []));
  if (samples.length === sessions.length) {
    const interval = quantileInterval(samples, percentile / 100, level);
    return { interval, percentile, isTight: relativeHalfWidth(interval) <= tolerance };
  }
  const given = sessions.flatMap(({ p90Ms, p99Ms }) => (percentile === 90 ? p90Ms : (p99Ms ?? [])));
  // Without one of each session the p90s are all there is.
  return given.length === sessions.length
    ? of(given)
    : { ...of(sessions.map(({ p90Ms }) => p90Ms)), percentile: 90, isTight: false };
}

/** Centre of values that what disturbs them multiplies. */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** What is not in the sessions themselves. */
export interface SessionContext extends Pick<
  Latency,
  'accelerator' | 'batch' | 'threads' | 'precision' | 'drift' | 'rejectedBlocks' | 'fingerprint'
> {
  readonly protocol: CommandProtocol;
  /** The one whose interval is asked for, 50 by default. */
  readonly percentile?: Percentile;
}

/**
 * The latency that sessions stand for: p50 the centre of their interval, tails of all samples
 * together. Where a program gave percentiles only, tails are the geometric means of its own.
 * @throws {Error} when sessions do not say the same about input and output.
 */
export function summariseSessions(
  sessions: readonly Session[],
  { protocol, percentile = 50, ...context }: SessionContext,
): Latency {
  const { centre } = goalOf(sessions, protocol, 50).interval;
  const goal = goalOf(sessions, protocol, percentile);
  const first = sessions[0]?.answer;
  const includesIo = first?.includesIo ?? false;
  for (const key of ['includesIo', 'clock'] as const)
    if (sessions.some(({ answer }) => answer[key] !== first?.[key]))
      throw new Error(`expected ${key} to be the same in all sessions, got several`);
  const tail = (ms: number): number => Math.max(ms, centre);
  const samples = sessions.flatMap(({ samplesMs = [] }) => [...samplesMs]);
  const sorted = Float64Array.from(samples).sort();
  const shared = {
    source: 'command',
    ...context,
    p50Ms: centre,
    intervalMs: {
      percentile: goal.percentile,
      level: protocol.interval.level,
      ...boundedBy(goal.interval, sorted),
    },
    sessions: sessions.length,
    stable: goal.isTight && context.drift <= protocol.reference.tolerance,
    includesIo,
    ...(first?.clock === undefined ? {} : { clock: first.clock }),
    calibrated: true,
    sessionP50Ms: sessions.map(({ p50Ms }) => p50Ms),
  } as const;
  if (sessions.some(({ samplesMs }) => samplesMs === undefined)) {
    const p99s = sessions.flatMap(({ p99Ms = [] }) => p99Ms);
    return {
      ...shared,
      p90Ms: tail(geometricMean(sessions.map(({ p90Ms }) => p90Ms))),
      p99Ms: p99s.length < sessions.length ? null : tail(geometricMean(p99s)),
      samples: 0,
      reported: true,
    };
  }
  return {
    ...shared,
    p90Ms: tail(quantile(sorted, 0.9)),
    p99Ms: samples.length < leastForP99 ? null : tail(quantile(sorted, 0.99)),
    samples: samples.length,
    samplesMs: plottedSamples(samples),
  };
}
