import { Random } from '../core/random.ts';
import { Blocks, pause } from './blocks.ts';
import {
  leastForP99,
  measure,
  type MeasureContext,
  type MeasureRequest,
  type TimedRun,
  withSession,
} from './measure.ts';
import type { Server, ServerPoint, ServerQuestion } from './scenario.ts';
import { quantile } from '../core/quantile.ts';
import { quantileInterval } from './statistics.ts';

/** Waiting so many times the limit (or a tenth as many services, without one) is a queue that only grows. */
const hopeless = 10;
/** A disturbed session of arrivals is repeated, but so often at most at one rate: it takes as long as its arrivals. */
const mostRepeated = 2;
/** Between two reports of progress in a session of arrivals. */
const tellEveryMs = 2000;
/** The search for the highest rate ends when it is known to this share of what the device could serve at most. */
const rateResolution = 0.02;

/**
 * Response times of requests that arrive at a rate, as the device is in truth: arrivals have their own clock and
 * do not wait for the device, so a slow run delays what comes after it (timing requests one after another never sees
 * that). Gaps between arrivals are exponential (Poisson), drawn from a seed; the same draws, scaled, serve every rate.
 *
 * With a limit and no rate, bisection between 0 and what the device could serve at most looks for the highest rate
 * whose *interval* lies within the limit: bounded in steps, and rather too low than too high.
 * @param question.limit of a response time. @throws {InterruptedError} when aborted, between runs or while waiting.
 */
export async function measureServer(
  request: MeasureRequest,
  context: MeasureContext,
  question: ServerQuestion,
): Promise<Server> {
  const { percentile: _ofResponses, ...single } = request;
  const service = await measure(single, context);
  const { ratePerS, limit, seed } = question;
  const points: ServerPoint[] = [];
  const attempt = async (rate: number): Promise<ServerPoint> => {
    const point = await serveAt(rate, request, context, question, service.p50Ms);
    points.push(point);
    return point;
  };
  if (ratePerS !== undefined) await attempt(ratePerS);
  else if (limit && service.p50Ms < limit.ms) await bisect(1e3 / service.p50Ms, request.protocol.server.rates, attempt);
  const met = points.filter(({ meets }) => meets).map((point) => point.ratePerS);
  return {
    scenario: 'server',
    service,
    seed,
    limit: limit ?? null,
    points,
    highestRatePerS: met.length > 0 ? Math.max(...met) : null,
    stable: service.stable && points.every(({ stable }) => stable),
    fingerprint: context.fingerprint,
  };
}

/**
 * Halves the range that holds the highest rate that meets the limit. It ends where a rate brings too few arrivals in
 * its time to be judged: lower ones bring fewer.
 */
async function bisect(most: number, steps: number, attempt: (rate: number) => Promise<ServerPoint>): Promise<void> {
  let [lo, hi] = [0, most];
  for (let step = 0; step < steps && hi - lo > rateResolution * most; step++) {
    const middle = (lo + hi) / 2;
    const { meets, saturated, intervalMs } = await attempt(middle);
    if (meets) lo = middle;
    else if (saturated || intervalMs.hi !== null) hi = middle;
    else return;
  }
}

/** What one session of arrivals gave, in milliseconds. */
interface Served {
  readonly responsesMs: number[];
  waitMs: number;
  busyMs: number;
  wallMs: number;
  saturated: boolean;
}

async function serveAt(
  ratePerS: number,
  request: MeasureRequest,
  context: MeasureContext,
  { limit, seed }: ServerQuestion,
  serviceMs: number,
): Promise<ServerPoint> {
  const { protocol, setting } = request;
  const { server, interval } = protocol;
  const startMs = context.clock.now();
  const overtime = (): boolean => context.clock.now() - startMs > server.capMs;
  const { reference } = protocol;
  const patient = { ...reference, maxRejected: Math.min(reference.maxRejected, mostRepeated) };
  const tell = (): void =>
    context.onProgress?.({
      session: sessions.length,
      blocks: blocks.accepted,
      rejectedBlocks: blocks.rejected,
      p50Ms: serviceMs,
      at: `${ratePerS.toPrecision(3)} requests/s`,
    });
  const witnesses = { ...context, onRejected: tell };
  const blocks = new Blocks({ ...protocol, reference: patient }, witnesses, setting.threads, overtime);
  const giveUpMs = hopeless * (limit?.ms ?? hopeless * serviceMs);
  const sessions: Served[] = [];
  while (sessions.length < server.sessions && !sessions.some(({ saturated }) => saturated)) {
    await pause(context, protocol.sessions.gapMs);
    // A block that is repeated meets the same arrivals.
    const gaps = (): Random => new Random(seed).child('arrivals', sessions.length);
    sessions.push(
      await withSession(request, context, (run) =>
        blocks.take(() => serve(run, context, { ratePerS, gaps: gaps(), giveUpMs, overtime, tell, ...server })),
      ),
    );
    tell();
  }
  const responses = sessions.map(({ responsesMs }) => responsesMs);
  const sorted = Float64Array.from(responses.flat()).sort();
  const sum = (key: 'waitMs' | 'busyMs' | 'wallMs'): number => sessions.reduce((total, one) => total + one[key], 0);
  const saturated = sessions.some((session) => session.saturated);
  const percentile = limit?.percentile ?? 99;
  const { lo, hi } =
    sessions.length > 1
      ? quantileInterval(responses, percentile / 100, interval.level)
      : { lo: sorted[0] as number, hi: Number.POSITIVE_INFINITY };
  const { undisturbed, referenceMs: _, ...quietness } = blocks.quietness;
  return {
    ratePerS,
    arrivals: sorted.length,
    p50Ms: quantile(sorted, 0.5),
    p90Ms: quantile(sorted, 0.9),
    p99Ms: sorted.length < leastForP99 ? null : quantile(sorted, 0.99),
    intervalMs: { percentile, level: interval.level, lo, hi: Number.isFinite(hi) ? hi : null },
    meanWaitMs: sum('waitMs') / sorted.length,
    utilisation: sum('busyMs') / sum('wallMs'),
    saturated,
    meets: limit ? !saturated && hi <= limit.ms : null,
    stable: undisturbed,
    ...quietness,
  };
}

interface Traffic {
  readonly ratePerS: number;
  /** Draws the gaps between arrivals. */
  readonly gaps: Random;
  readonly arrivals: number;
  readonly rampUp: number;
  /** A request that waited longer ends the session. */
  readonly giveUpMs: number;
  readonly overtime: () => boolean;
  /** Called every two seconds. */
  readonly tell: () => void;
}

/** One session: requests are served in the order of their arrival, whose times the device has no say in. */
async function serve(run: TimedRun, context: MeasureContext, traffic: Traffic): Promise<Served> {
  const { clock } = context;
  const { ratePerS, gaps, arrivals, rampUp, giveUpMs, overtime, tell } = traffic;
  const ramp = Math.ceil(rampUp * arrivals);
  const served: Served = { responsesMs: [], waitMs: 0, busyMs: 0, wallMs: 0, saturated: false };
  const startMs = clock.now();
  let arrivalMs = startMs;
  let toldMs = startMs;
  for (let request = 0; request < ramp + arrivals; request++) {
    arrivalMs += (-Math.log(1 - gaps.uniform()) * 1e3) / ratePerS;
    await pause(context, arrivalMs - clock.now());
    const waitMs = Math.max(0, clock.now() - arrivalMs);
    served.busyMs += await run();
    const endMs = clock.now();
    const responseMs = endMs - arrivalMs;
    if (endMs - toldMs > tellEveryMs) {
      tell();
      toldMs = endMs;
    }
    // One request at least, or there would be nothing to tell of.
    if (request >= ramp || waitMs > giveUpMs || overtime()) {
      served.responsesMs.push(responseMs);
      served.waitMs += waitMs;
    }
    served.saturated = waitMs > giveUpMs;
    if (served.saturated || overtime()) break;
  }
  served.wallMs = clock.now() - startMs;
  return served;
}
