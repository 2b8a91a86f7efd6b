import type { Accelerator, Session, TensorValue } from '../accelerators/accelerator.ts';
import type { Clock } from '../core/clock.ts';
import { InterruptedError } from '../core/errors.ts';
import { randomInputs } from './inputs.ts';
import type { Fingerprint, Latency, LatencySetting } from './latency.ts';
import type { Protocol } from './protocol.ts';
import type { Reference } from './reference.ts';
import { geometricInterval, median, quantile, relativeHalfWidth } from './statistics.ts';

/** What to measure, and how. */
export interface MeasureRequest {
  /** Bytes of an ONNX file. */
  readonly model: Uint8Array;
  readonly setting: LatencySetting;
  readonly protocol: Protocol;
  /** What the caller knows of the file's arithmetic, for the record; fp32 by default. */
  readonly precision?: Latency['precision'];
}

/** How far a measurement is. */
export interface MeasureProgress {
  readonly session: number;
  readonly blocks: number;
  readonly rejectedBlocks: number;
  /** Of the sessions so far. */
  readonly p50Ms: number;
}

/** Where a measurement happens. */
export interface MeasureContext {
  readonly accelerator: Accelerator;
  readonly reference: Reference;
  /** Its `now` must be monotonic and finer than a microsecond: {@link steadyClock}, or a simulated one. */
  readonly clock: Clock;
  readonly fingerprint: Fingerprint;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: MeasureProgress) => void;
}

/**
 * Measures a model by a protocol, on a machine that is otherwise quiet (see host-lock.ts) and in a
 * process of its own (see isolate.ts).
 *
 * p50 is the geometric mean of the medians of fresh sessions, the centre of its interval; p90 and
 * p99 are of all samples together. A time is one `run` with its inputs and outputs in host memory.
 * Unstable is a verdict in the record, not an error.
 * @throws {InterruptedError} when aborted; it is heard between runs.
 * @throws {RidgepointError} what opening the session throws.
 */
export async function measure(request: MeasureRequest, context: MeasureContext): Promise<Latency> {
  const { protocol } = request;
  const startMs = context.clock.now();
  const overtime = (): boolean => context.clock.now() - startMs > protocol.capMs;
  const blocks = new Blocks(protocol, context, request.setting, overtime);
  const sessions: number[][] = [];
  const enough = (): boolean => {
    if (sessions.length < protocol.sessions.min) return false;
    return relativeHalfWidth(intervalOf(sessions, protocol)) <= protocol.interval.tolerance || overtime();
  };
  while (sessions.length < protocol.sessions.max && !enough()) {
    await pause(context, protocol.sessions.gapMs);
    sessions.push(await measureSession(request, context, blocks));
    context.onProgress?.({
      session: sessions.length,
      blocks: blocks.observedMs.length,
      rejectedBlocks: blocks.rejected,
      p50Ms: Math.exp(sessions.reduce((sum, samples) => sum + Math.log(median(samples)), 0) / sessions.length),
    });
  }
  return summarise(request, context, sessions, blocks);
}

/** The machine's monotonic clock, in fractions of a millisecond since the process started. */
export function steadyClock(clock: Clock): Clock {
  return { now: () => performance.now(), sleep: clock.sleep };
}

/** Opens a fresh session, warms it up and returns the times of its accepted blocks. */
async function measureSession(request: MeasureRequest, context: MeasureContext, blocks: Blocks): Promise<number[]> {
  const { setting, protocol } = request;
  const session = await context.accelerator.open(request.model, { threads: setting.threads });
  try {
    const run = timedRun(session, randomInputs(session.inputs, setting.batch), context);
    await warmUp(run, protocol, context.clock);
    const samples: number[] = [];
    for (let block = 0; block < protocol.sessions.blocks; block++) {
      // The minimum number of sessions outranks the cap, the number of their blocks does not.
      if (block > 0 && blocks.overtime()) break;
      samples.push(...(await blocks.take(run)));
    }
    return samples;
  } finally {
    await session.close();
  }
}

type TimedRun = () => Promise<number>;

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
  // Two runs at least: the first allocates and is often many times slower.
  while (timesMs.length < 2 || (!steady() && clock.now() - startMs < maxMs)) timesMs.push(await run());
}

/** Takes blocks of samples between observations of the reference kernel, and judges them by these. */
class Blocks {
  /** The worse of the two observations beside each accepted block. */
  readonly observedMs: number[] = [];
  rejected = 0;
  readonly overtime: () => boolean;
  readonly #protocol: Protocol;
  readonly #context: MeasureContext;
  readonly #settleMs: number;

  constructor(protocol: Protocol, context: MeasureContext, setting: LatencySetting, overtime: () => boolean) {
    this.#protocol = protocol;
    this.#context = context;
    this.#settleMs = setting.threads > 1 ? protocol.reference.settleMs : 0;
    this.overtime = overtime;
  }

  /** Times of one accepted block; rejected ones are repeated while the protocol allows. */
  async take(run: TimedRun): Promise<number[]> {
    const { reference } = this.#context;
    const { tolerance, maxRejected } = this.#protocol.reference;
    let before = await this.#observe();
    for (;;) {
      const samples = await this.#sample(run);
      const after = await this.#observe();
      const worse = reference.departure(after) > reference.departure(before) ? after : before;
      if (reference.departure(worse) <= tolerance || this.rejected >= maxRejected || this.overtime()) {
        this.observedMs.push(worse);
        return samples;
      }
      this.rejected++;
      // What disturbed it may pass.
      await pause(this.#context, this.#protocol.sessions.gapMs);
      before = await this.#observe();
    }
  }

  async #observe(): Promise<number> {
    await pause(this.#context, this.#settleMs);
    return this.#context.reference.observe(this.#protocol.reference.runs);
  }

  async #sample(run: TimedRun): Promise<number[]> {
    const { ms, minSamples, maxSamples, discard } = this.#protocol.block;
    for (let dropped = 0; dropped < discard; dropped++) await run();
    const startMs = this.#context.clock.now();
    const samples: number[] = [];
    const full = (): boolean =>
      samples.length >= minSamples && (this.overtime() || this.#context.clock.now() - startMs >= ms);
    while (samples.length < maxSamples && !full()) samples.push(await run());
    return samples;
  }
}

async function pause({ clock, signal }: MeasureContext, ms: number): Promise<void> {
  if (signal?.aborted) throw new InterruptedError('measuring latency: interrupted');
  // The session's run yields to the event loop too, so an abort during a short pause is heard right after it.
  if (ms > 0) await clock.sleep(ms);
}

function intervalOf(sessions: readonly (readonly number[])[], protocol: Protocol) {
  return geometricInterval(
    sessions.map((samples) => median(samples)),
    protocol.interval.level,
  );
}

function summarise(
  { setting, protocol, precision = 'fp32' }: MeasureRequest,
  { reference, fingerprint }: MeasureContext,
  sessions: readonly (readonly number[])[],
  blocks: Blocks,
): Latency {
  const interval = intervalOf(sessions, protocol);
  const samples = sessions.flat();
  const sorted = Float64Array.from(samples).sort();
  const drift = Math.max(...blocks.observedMs.map((observed) => reference.departure(observed)));
  // A geometric mean of medians may pass the pooled p90 when one session in ten is far off.
  const tail = (q: number): number => Math.max(quantile(sorted, q), interval.centre);
  return {
    source: 'measured',
    ...setting,
    precision,
    p50Ms: interval.centre,
    p90Ms: tail(0.9),
    p99Ms: samples.length < 300 ? null : tail(0.99),
    intervalMs: { percentile: 50, level: protocol.interval.level, lo: interval.lo, hi: interval.hi },
    sessions: sessions.length,
    samples: samples.length,
    stable: relativeHalfWidth(interval) <= protocol.interval.tolerance && drift <= protocol.reference.tolerance,
    drift,
    rejectedBlocks: blocks.rejected,
    includesIo: true,
    calibrated: true,
    fingerprint,
    sessionP50Ms: sessions.map((session) => median(session)),
    samplesMs: thin(samples, 200),
  };
}

/** Every k-th of the values in their order, at most `count`. */
function thin(values: readonly number[], count: number): number[] {
  const step = Math.max(1, Math.ceil(values.length / count));
  return values.filter((_, index) => index % step === 0);
}
