import type { Accelerator, Session, TensorValue } from '../accelerators/accelerator.ts';
import type { Clock } from '../core/clock.ts';
import { InterruptedError } from '../core/errors.ts';
import { Blocks, pause, type Quietness, type Witnesses } from './blocks.ts';
import { randomInputs } from './inputs.ts';
import type { Fingerprint, Latency, LatencySetting, Percentile } from './latency.ts';
import type { Protocol } from './protocol.ts';
import { median, quantile } from '../core/quantile.ts';
import {
  boundedBy,
  geometricInterval,
  type Interval,
  leastSamples,
  quantileInterval,
  relativeHalfWidth,
} from './statistics.ts';

/** What to measure, and how. */
export interface MeasureRequest {
  /** Bytes of an ONNX file. */
  readonly model: Uint8Array;
  readonly setting: LatencySetting;
  readonly protocol: Protocol;
  /** The one whose interval decides when to stop, and whether the result is stable; 50 by default. */
  readonly percentile?: Percentile;
  /** What the caller knows of the file's arithmetic, for the record; fp32 by default. */
  readonly precision?: Latency['precision'];
}

/** How far a measurement is. */
export interface MeasureProgress {
  /** Sessions that are done. */
  readonly session: number;
  readonly blocks: number;
  readonly rejectedBlocks: number;
  /** Of the sessions so far; null before the first is done. */
  readonly p50Ms: number | null;
  /** What is being measured, where it is not a single stream: e.g. `120/s`. */
  readonly at?: string;
}

/** Where a measurement happens. */
export interface MeasureContext extends Witnesses {
  readonly accelerator: Accelerator;
  readonly fingerprint: Fingerprint;
  readonly onProgress?: (progress: MeasureProgress) => void;
}

/**
 * Measures a model by a protocol, on a machine that is otherwise quiet (see host-lock.ts) and in a
 * process of its own (see isolate.ts): a single stream, the next run as soon as the last one ended.
 *
 * p50 is the geometric mean of the medians of fresh sessions, the centre of its interval; p90 and
 * p99 are of all samples together, with an interval that counts sessions, not samples, as independent.
 * A time is one `run` with its inputs and outputs in host memory, by the host's clock.
 * Unstable is a verdict in the record, not an error: the interval of the percentile asked for is too
 * wide, or the machine was disturbed.
 * @throws {InterruptedError} when aborted; it is heard between runs.
 * @throws {RidgepointError} what opening the session throws.
 */
export async function measure(request: MeasureRequest, context: MeasureContext): Promise<Latency> {
  const { protocol, percentile = 50 } = request;
  const { interval, sessions } = protocol;
  const goal: Goal = {
    ...boundsOf(protocol, percentile),
    // A median's interval is of the sessions' medians; a tail's is of samples, which must be enough to bound it.
    samplesPerSession:
      percentile === 50 ? 1 : Math.ceil(leastSamples(percentile / 100, interval.level, sessions.min) / sessions.min),
    intervalOf: (samples) => percentileInterval(samples, percentile, interval.level),
  };
  return summarise(request, context, await sampleSessions(request, context, goal));
}

function boundsOf({ interval, capMs, tail }: Protocol, percentile: Percentile): Pick<Goal, 'tolerance' | 'capMs'> {
  return percentile === 50 ? { tolerance: interval.tolerance, capMs } : tail;
}

/** When samples are enough. */
export interface Goal {
  /** Largest half-width of the interval, relative. */
  readonly tolerance: number;
  readonly capMs: number;
  /** A session takes blocks until it has so many, unless the time is up. */
  readonly samplesPerSession: number;
  /** Its ends may be infinite where nothing bounds the value yet. */
  intervalOf(sessions: readonly (readonly number[])[]): Interval;
}

/** Times of runs by session, in milliseconds, and how quiet the machine was. */
export interface Sampled {
  readonly sessions: readonly (readonly number[])[];
  readonly quietness: Quietness;
}

/** Fresh sessions, one after the other, until the goal's interval between them is tight enough, or a cap is met. */
export async function sampleSessions(request: MeasureRequest, context: MeasureContext, goal: Goal): Promise<Sampled> {
  const { protocol, setting } = request;
  const startMs = context.clock.now();
  const overtime = (): boolean => context.clock.now() - startMs > goal.capMs;
  const sessions: number[][] = [];
  const tell = (): void => {
    const logs = sessions.map((session) => Math.log(median(session)));
    const p50Ms = logs.length === 0 ? null : Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length);
    const { accepted, rejected } = blocks;
    context.onProgress?.({ session: sessions.length, blocks: accepted, rejectedBlocks: rejected, p50Ms });
  };
  const blocks = new Blocks(protocol, { ...context, onRejected: tell }, setting.threads, overtime);
  const enough = (): boolean => {
    if (sessions.length < protocol.sessions.min) return false;
    return relativeHalfWidth(goal.intervalOf(sessions)) <= goal.tolerance || overtime();
  };
  while (sessions.length < protocol.sessions.max && !enough()) {
    await pause(context, protocol.sessions.gapMs);
    const samples = await withSession(request, context, async (run) => {
      const taken: number[] = [];
      // The minimum number of sessions outranks the cap, the number of their blocks does not.
      for (let block = 0; block === 0 || !overtime(); block++) {
        if (block >= protocol.sessions.blocks && taken.length >= goal.samplesPerSession) break;
        taken.push(...(await blocks.take(() => sampleBlock(run, protocol, context.clock, overtime))));
      }
      return taken;
    });
    sessions.push(samples);
    tell();
  }
  return { sessions, quietness: blocks.quietness };
}

/** Time of one run of an open session, in milliseconds. */
export type TimedRun = () => Promise<number>;

/** Opens a fresh session, warms it up, and closes it after `task`. */
export async function withSession<T>(
  { model, setting, protocol }: MeasureRequest,
  context: MeasureContext,
  task: (run: TimedRun) => Promise<T>,
): Promise<T> {
  const session = await context.accelerator.open(model, { threads: setting.threads });
  try {
    const run = timedRun(session, randomInputs(session.inputs, setting.batch), context);
    await warmUp(run, protocol, context.clock);
    return await task(run);
  } finally {
    await session.close();
  }
}

function timedRun(session: Session, feeds: Readonly<Record<string, TensorValue>>, context: MeasureContext): TimedRun {
  const { clock, signal } = context;
  return async () => {
    if (signal?.aborted) throw new InterruptedError('measuring latency: interrupted');
    const startMs = clock.now();
    await session.run(feeds);
    return clock.now() - startMs;
  };
}

async function warmUp(run: TimedRun, { warmup }: Protocol, clock: Clock): Promise<void> {
  const { minRuns, window, tolerance, maxMs } = warmup;
  const startMs = clock.now();
  const timesMs: number[] = [];
  const steady = (): boolean => {
    if (timesMs.length < Math.max(minRuns, 2 * window)) return false;
    const [earlier, later] = [median(timesMs.slice(-2 * window, -window)), median(timesMs.slice(-window))];
    return Math.abs(later / earlier - 1) <= tolerance;
  };
  while (!steady() && clock.now() - startMs < maxMs) timesMs.push(await run());
}

async function sampleBlock(
  run: TimedRun,
  { block }: Protocol,
  clock: Clock,
  overtime: () => boolean,
): Promise<number[]> {
  for (let dropped = 0; dropped < block.discard; dropped++) await run();
  const startMs = clock.now();
  const samples: number[] = [];
  const full = (): boolean => samples.length >= block.minSamples && (overtime() || clock.now() - startMs >= block.ms);
  while (samples.length < block.maxSamples && !full()) samples.push(await run());
  return samples;
}

/** Interval of a percentile: of session medians for the p50, of all samples in their sessions for tails. */
function percentileInterval(sessions: readonly (readonly number[])[], percentile: Percentile, level: number): Interval {
  if (percentile === 50)
    return geometricInterval(
      sessions.map((samples) => median(samples)),
      level,
    );
  return quantileInterval(sessions, percentile / 100, level);
}

/** The record of what was sampled. */
export function summarise(
  { setting, protocol, precision = 'fp32', percentile = 50 }: MeasureRequest,
  { fingerprint }: MeasureContext,
  { sessions, quietness }: Sampled,
): Latency {
  const { level } = protocol.interval;
  const { centre } = percentileInterval(sessions, 50, level);
  const interval = percentileInterval(sessions, percentile, level);
  const samples = sessions.flat();
  const sorted = Float64Array.from(samples).sort();
  const { undisturbed, ...witnessed } = quietness;
  // A geometric mean of medians may pass the pooled p90 when one session in ten is far off.
  const tail = (q: number): number => Math.max(quantile(sorted, q), centre);
  return {
    source: 'measured',
    ...setting,
    precision,
    p50Ms: centre,
    p90Ms: tail(0.9),
    p99Ms: samples.length < leastForP99 ? null : tail(0.99),
    intervalMs: { percentile, level, ...boundedBy(interval, sorted) },
    sessions: sessions.length,
    samples: samples.length,
    stable: relativeHalfWidth(interval) <= boundsOf(protocol, percentile).tolerance && undisturbed,
    ...witnessed,
    includesIo: true,
    clock: 'host',
    calibrated: true,
    fingerprint,
    sessionP50Ms: sessions.map((session) => median(session)),
    samplesMs: plottedSamples(samples),
  };
}

/** Below so many samples a p99 is a maximum in disguise. */
export const leastForP99 = 300;

/** Samples kept for plots, at most. */
const keptSamples = 200;

/** The samples that a record keeps for plots: every k-th in their order. */
export function plottedSamples(values: readonly number[]): number[] {
  const step = Math.max(1, Math.ceil(values.length / keptSamples));
  return values.filter((_, index) => index % step === 0);
}

/** Timers wake up to this much late; the rest of a sleep is spent awake, or arrivals would be late by as much. */
const timerMs = 2;

/** The machine's monotonic clock, in fractions of a millisecond since the process started. Its sleeps end on time. */
export function steadyClock(clock: Clock): Clock {
  return {
    now: () => performance.now(),
    async sleep(ms, signal) {
      const endMs = performance.now() + ms;
      if (ms > timerMs) await clock.sleep(ms - timerMs, signal);
      while (performance.now() < endMs);
    },
  };
}
